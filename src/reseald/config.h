/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * config - reseal.conf as a struct.
 *
 * Spec:     docs/man/reseal.conf.5; conf/reseal.conf is the sample
 * Trust:    the file belongs to root; unknown keys are refused
 * Owns:     a DaemonConfig owns its strings, among them the host names in https
 * Units:    microseconds, bytes
 * Errors:   CONFIG
 * Context:  start of the program
 * Programs: reseald
 */
#include <reseal/base/config.h>
#include <reseal/format/limits.h>
#include <reseal/source/https.h>
#include <reseal/tpm/tpm.h>

typedef struct DaemonConfig {
        char *state_dir, *keys_dir;
        char *source_anchors;      /* PEM; required; these two until a trust set is in force */
        char *tsa_url;             /* time-stamp authority; NULL: the time is never proven */
        char *firmware_anchors;    /* PEM; NULL: the writer alone judges manifests */
        char *writer_socket;
        uint64_t writer_retry_usec;
        uint64_t writer_retries;
        char *compatible[RS_COMPATIBLE_MAX]; /* for display: the writer holds the list that decides */
        unsigned n_compatible;
        TpmConfig tpm;
        ConfigNotes notes;         /* all of it as it was read, for GetPolicy */
        HttpsConfig https;         /* limits and hosts; identity is filled in by manager.c, anchors by the job */
} DaemonConfig;

int daemon_config_read(const char *path, DaemonConfig *ret, RsError *err);
void daemon_config_done(DaemonConfig *c);
