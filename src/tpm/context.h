/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * context - the inside of a Tpm: one call to the TPM from begin to end, its sessions and what it must flush.
 *
 * Spec:     docs/tpm.md, "Connection"
 * Trust:    as tpm.h
 * Owns:     handles given to tpm_note() are flushed (or, for NV and persistent ones, forgotten) by tpm_end()
 * Units:    none
 * Errors:   as tpm.h
 * Context:  between tpm_begin() and tpm_end() the caller holds the mutex and, on a bare TPM, the lock file
 * Programs: all that use a TPM; private to src/tpm
 */
#include <pthread.h>
#include <stdatomic.h>

#include <tss2/tss2_esys.h>

#include <reseal/base/ossl.h>
#include <reseal/tpm/tpm.h>

#define TPM_NOTES_MAX 12u

typedef struct TpmNote {
        ESYS_TR handle;
        bool flush; /* transient object or session: takes a slot in the TPM */
} TpmNote;

struct Tpm {
        pthread_mutex_t mutex;
        char *tcti_text;
        char *lock_path;
        bool shared;
        uint64_t lock_timeout_usec;
        bool srk_pinned;
        uint8_t srk_name[TPM_NAME_SIZE];

        int lock_fd;
        TSS2_TCTI_CONTEXT *tcti;
        ESYS_CONTEXT *esys;
        ESYS_TR srk; /* found and compared in this connection, else ESYS_TR_NONE */
        OSSL_LIB_CTX *ossl_before; /* ESYS uses OpenSSL's default context: ours between begin and end */
        bool broken; /* the connection failed: nothing more can be said through it */
        TpmNote notes[TPM_NOTES_MAX];
        unsigned n_notes;

        atomic_uint_fast64_t n_sign;
        RsError sign_failure; /* of the last signature made for OpenSSL, which cannot carry a reason */
};

/* Begin takes mutex and lock, connects, cleans up after killed processes; on failure nothing is held.
 * End flushes, gives back everything and returns r. */
int tpm_begin(Tpm *t, RsError *err);
int tpm_end(Tpm *t, int r);
/* After a lost response, between begin and end: a fresh connection, notes forgotten. */
int tpm_reconnect(Tpm *t, RsError *err);
/* After a failure of the connection: opens a new one and lets the caller look again, twice. */
bool tpm_once_more(Tpm *t, int r, unsigned *attempt, RsError *err);

void tpm_note(Tpm *t, ESYS_TR handle, bool flush);
/* Flush one noted object or session early: a bare TPM has three places of each. */
void tpm_flush(Tpm *t, ESYS_TR handle);

/* The SRK; its Name compared with the pinned one, or its public area with the template. */
int tpm_use_srk(Tpm *t, ESYS_TR *ret, RsError *err);
TPM2B_PUBLIC tpm_srk_template(void);
/*
 * Salted to the SRK, AES-128-CFB for the first parameter both ways, continued.  type: TPM2_SE_HMAC,
 * _POLICY.
 */
int tpm_session(Tpm *t, TPM2_SE type, ESYS_TR *ret, RsError *err);
int tpm_set_auth(Tpm *t, ESYS_TR handle, const Secret *auth, RsError *err); /* NULL: overwrite with nothing */
/* Is there something at this handle of the TPM? 1 and a noted ESYS handle, or 0. */
int tpm_find(Tpm *t, TPM2_HANDLE handle, ESYS_TR *ret, RsError *err);

/* What a TSS2_RC means to us.  Also marks the connection broken where it is. */
int tpm_fail_at(Tpm *t, TSS2_RC rc, RsError *err, const char *function, int line, const char *what);
#define tpm_fail(t, rc, err, what) rs_negative(tpm_fail_at((t), (rc), (err), __func__, __LINE__, (what)))
/*
 * The TPM's own answer without the layer that passed it on and without parameter number; 0 for other
 * layers.
 */
uint32_t tpm_rc_base(TSS2_RC rc);
/* After an answer that asks to come again (NV_RATE, RETRY, TESTING): waits and says yes, a few times. */
bool tpm_again(TSS2_RC rc, unsigned *attempt);
#define TPM_TRY(call)                                      \
        ({                                                 \
                unsigned _try_attempt = 0;                 \
                TSS2_RC _try_rc;                           \
                do                                         \
                        _try_rc = (call);                  \
                while (tpm_again(_try_rc, &_try_attempt)); \
                _try_rc;                                   \
        })
