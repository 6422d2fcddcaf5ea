/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * tpm - one connection to the TPM 2.0, shared or alone, and the storage root key.
 *
 * Spec:     docs/tpm.md; TCG TPM 2.0 Library parts 1 to 3
 * Trust:    the bus between CPU and TPM is hostile: sessions that carry a secret are salted to the SRK, whose
 *           Name is pinned (srk_name), with parameter encryption
 * Owns:     a Tpm owns its ESYS and TCTI contexts; every transient object and session is flushed before a
 *           call returns
 * Units:    deadlines in microseconds
 * Errors:   TPM, TPM_GONE, TPM_LOCKED, TPM_FULL, TPM_BUSY, TPM_AUTH, TPM_STATE, TPM_OTHER, TPM_CLEARED,
 *           TPM_REDEFINED, NOT_PROVISIONED
 * Context:  a Tpm may be used from several threads (one mutex); calls block, so never on a main loop
 * Programs: reseald, reseal-writer, reseal-provision, initramfs
 *
 * shared = true:  something below schedules (/dev/tpmrm0, tpm2-abrmd); foreign handles are never flushed.
 * shared = false: bare TPM or swtpm; every public call takes a lock file (deadline lock_timeout_usec, then
 * TPM_BUSY), and the
 *                                 holder first flushes what a killed process left behind; at most 3 objects
 *                 and 3 sessions are used. After a TCTI error the connection is dropped and opened anew by
 *                 the next call.
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/names.h>
#include <reseal/base/secret.h>

#define TPM_HANDLE_SRK 0x81000001u
#define TPM_NV_FLOOR 0x01800200u   /* counter */
#define TPM_NV_ACCEPT 0x01800201u  /* counter */
#define TPM_NV_RECORD0 0x01800202u
#define TPM_NV_RECORD1 0x01800203u
#define TPM_NV_GATE 0x01800204u    /* its authValue permits writes to the other four */
#define TPM_NAME_SIZE 34u          /* algorithm and SHA-256 */

typedef struct TpmConfig {
        char *tcti;                 /* TctiLdr text, "device:/dev/tpmrm0", "swtpm:path=..." */
        bool shared;
        char *lock_path;            /* used when not shared */
        uint64_t lock_timeout_usec;
} TpmConfig;

#define TPM_TCTI_DEFAULT "device:/dev/tpmrm0"
#define TPM_LOCK_TIMEOUT_DEFAULT_SEC 10
/* Rows of a ConfigKey table: section [tpm], and what tpm_new() does without them. */
#define TPM_CONFIG_KEYS                            \
        { "tpm", "tcti", TPM_TCTI_DEFAULT },       \
        { "tpm", "shared", "no" },                 \
        { "tpm", "lock", RS_PATH_TPM_LOCK },       \
        { "tpm", "lock-timeout", TPM_TEXT(TPM_LOCK_TIMEOUT_DEFAULT_SEC) }
#define TPM_TEXT(x) TPM_TEXT_(x)
#define TPM_TEXT_(x) #x
/* Section [tpm] of both configuration files: tcti, shared, lock, lock-timeout.  For ConfigHandler. */
int tpm_config_set(TpmConfig *c, const char *key, const char *value, RsError *err);
void tpm_config_done(TpmConfig *c);

typedef struct Tpm Tpm;

/*
 * File srk.name of a directory: the Name itself, or (of earlier versions) its digits and a line break.  1 = there,
 * 0 = no such file, NOT_PROVISIONED = something else.
 */
int tpm_srk_name_load(int dir_fd, uint8_t ret[TPM_NAME_SIZE], RsError *err);
/* Connects lazily: the first command finds out whether there is a TPM.  srk_name NULL: provisioning only. */
int tpm_new(const TpmConfig *config, const uint8_t srk_name[TPM_NAME_SIZE], Tpm **ret, RsError *err);
Tpm *tpm_free(Tpm *t);
RS_DEFINE_CLEANUP(Tpm, tpm_free)

/* Loads the TCTI's library and keeps it: for a process that may not make files into code later. */
void tpm_preload(const TpmConfig *config);

typedef struct TpmPosture {
        char manufacturer[5];
        uint32_t lockout_counter;
        uint32_t max_tries;
        bool in_lockout;
        bool owner_auth_set;
        bool lockout_auth_set;
        bool endorsement_auth_set;
        bool platform_open; /* enabled with an empty platformAuth: anyone can undefine, evict, clear */
} TpmPosture;
int tpm_posture(Tpm *t, TpmPosture *ret, RsError *err);
