/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * config - writer.conf as a value.
 *
 * Spec:     docs/man/writer.conf.5
 * Trust:    root's file; nothing in it weakens the gate but [policy] require-encryption
 * Owns:     a WriterConfig owns all it points to
 * Units:    seconds where a key says so, microseconds in memory
 * Errors:   CONFIG
 * Context:  main thread, before the sandbox closes
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/config.h>
#include <reseal/base/error.h>
#include <reseal/boot/boot.h>
#include <reseal/slot/map.h>
#include <reseal/tpm/tpm.h>

typedef struct WriterConfig {
        char *line;
        char *compatible;
        char *firmware_root, *source_root, *time_root, *recovery, *trust_set; /* all but the first may be NULL */
        bool require_encryption;
        bool require_time, require_crl, require_latest, allow_intermediate;
        uint64_t crl_grace_usec;
        char *state_dir;
        char *booted_path;
        char *client_user;          /* who may connect, beside root */
        char *health_user;          /* ... to health.sock */
        bool mark_by_daemon;        /* MARK good and bad are accepted on writer.sock as well */
        uint64_t idle_exit_usec;    /* when socket activated */
        TpmConfig tpm;
        BootConfig boot;
        SlotMap *map;
        ConfigNotes notes;          /* all of the above as it was read, for POLICY */
} WriterConfig;

int writer_config_load(const char *path, WriterConfig *ret, RsError *err);
void writer_config_done(WriterConfig *c);
