/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm - one call to the TPM: mutex, lock file, connection, cleaning up before and after, the storage root
 * key.
 *
 * Every public function of this room is `tpm_begin, work, tpm_end`.  ESYS contexts are not thread-safe, hence
 * the mutex; it also makes "at most three objects and three sessions" a property of single functions that can
 * be counted by reading.
 *
 * Bare TPM (shared = no).  Nobody below us saves and restores contexts, so two processes would take each
 * other's three places, and a killed one keeps its places until the next reset (both seen).  So: one call
 * holds an open-file-description lock (which the kernel drops with the last descriptor, kill or not), opens
 * the TPM, flushes every transient object and loaded session there is, since under the lock they can only be
 * left-overs, works, and closes the TPM again: /dev/tpm0 admits one opener.  The price is under a millisecond
 * on swtpm and two capability reads on a chip.
 *
 * Shared TPM.  The connection is kept.  Foreign handles are invisible or none of our business.
 *
 * After an error of the TCTI layer ESYS answers "called in the wrong order" for ever, so the connection is
 * thrown away; the command may have been executed, so whoever changes NV reads back before repeating
 * (state.c).
 *
 * The SRK is found by handle but believed by Name: a public key that an interposer on the bus offers in its
 * place would let it read what salted sessions protect.
 */
#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <tss2/tss2_tctildr.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

#include "blob.h"
#include "context.h"
#include "tss-cleanup.h"

#define LOCK_TIMEOUT_DEFAULT_USEC (TPM_LOCK_TIMEOUT_DEFAULT_SEC * UINT64_C(1000000))
#define ATTEMPTS 3u
#define LOCK_POLL_USEC 2000u
/* TPM2_TRANSIENT_FIRST and its like shift a signed int into its sign */
#define TRANSIENT_FIRST ((uint32_t) TPM2_HT_TRANSIENT << TPM2_HR_SHIFT)
#define LOADED_SESSION_FIRST ((uint32_t) TPM2_HT_LOADED_SESSION << TPM2_HR_SHIFT)

int tpm_srk_name_load(int dir_fd, uint8_t ret[TPM_NAME_SIZE], RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        char text[HEX_SIZE(TPM_NAME_SIZE)];
        size_t size;
        int r;

        r = file_read(dir_fd, RS_FILE_SRK_NAME, 256, &bytes, &size, err);
        if (r <= 0)
                return r;
        if (size == TPM_NAME_SIZE) {
                memcpy(ret, bytes, TPM_NAME_SIZE);
                return 1;
        }
        if (size > 0 && bytes[size - 1] == '\n')
                size--;
        if (size == sizeof(text) - 1) {
                memcpy(text, bytes, size);
                text[size] = '\0';
                if (hex_decode(text, ret, TPM_NAME_SIZE) == 0)
                        return 1;
        }
        return rs_fail(err, NOT_PROVISIONED, "%s is not the name of a key", RS_FILE_SRK_NAME);
}

int tpm_new(const TpmConfig *config, const uint8_t srk_name[TPM_NAME_SIZE], Tpm **ret, RsError *err) {
        Tpm *t = calloc(1, sizeof(*t));

        if (!t)
                return rs_fail_oom(err);
        t->lock_fd = -EBADF;
        t->srk = ESYS_TR_NONE;
        t->shared = config->shared;
        t->lock_timeout_usec =
                        config->lock_timeout_usec ? config->lock_timeout_usec : LOCK_TIMEOUT_DEFAULT_USEC;
        t->tcti_text = strdup(config->tcti ? config->tcti : TPM_TCTI_DEFAULT);
        t->lock_path = strdup(config->lock_path ? config->lock_path : RS_PATH_TPM_LOCK);
        if (srk_name) {
                t->srk_pinned = true;
                memcpy(t->srk_name, srk_name, TPM_NAME_SIZE);
        }
        (void) pthread_mutex_init(&t->mutex, NULL); /* never fails with default attributes on Linux */
        /* tpm2-tss writes every refused command to stderr, our reasons say it once; and asked to, what it unseals. */
        (void) setenv("TSS2_LOG", "all+NONE", 1);
        if (!t->tcti_text || !t->lock_path) {
                (void) tpm_free(t);
                return rs_fail_oom(err);
        }
        *ret = t;
        return 0;
}

/* As TctiLdr looks for it; what is missing here is told when the TPM is opened. */
void tpm_preload(const TpmConfig *config) {
        const char *text = config->tcti ? config->tcti : TPM_TCTI_DEFAULT;
        int n = (int) strcspn(text, ":");
        char name[PATH_MAX];

        if (memchr(text, '/', (size_t) n))
                (void) snprintf(name, sizeof(name), "%.*s", n, text);
        else
                (void) snprintf(name, sizeof(name), "libtss2-tcti-%.*s.so.0", n, text);
        (void) dlopen(name, RTLD_NOW); /* never closed */
}

static void disconnect(Tpm *t) {
        Esys_Finalize(&t->esys);
        Tss2_TctiLdr_Finalize(&t->tcti);
        t->srk = ESYS_TR_NONE;
        t->n_notes = 0;
        t->broken = false;
}

Tpm *tpm_free(Tpm *t) {
        if (!t)
                return NULL;
        disconnect(t);
        closep(&t->lock_fd);
        (void) pthread_mutex_destroy(&t->mutex);
        free(t->tcti_text);
        free(t->lock_path);
        free(t);
        return NULL;
}

static int take_lock(Tpm *t, RsError *err) {
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        const struct timespec pause = { .tv_nsec = LOCK_POLL_USEC * 1000 };
        uint64_t deadline = clock_boottime_usec() + t->lock_timeout_usec;
        _cleanup_(closep) int fd = open(t->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);

        if (fd < 0)
                return rs_fail_errno(err, errno, "TPM lock %s", t->lock_path);
        /* No blocking lock with an alarm: a thread cannot be interrupted without a process-wide signal. */
        while (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
                if (errno != EAGAIN && errno != EACCES && errno != EINTR)
                        return rs_fail_errno(err, errno, "TPM lock %s", t->lock_path);
                if (clock_boottime_usec() >= deadline)
                        return rs_fail(err, TPM_BUSY, "lock %s is held for longer than %llu ms", t->lock_path,
                                       (unsigned long long) (t->lock_timeout_usec / 1000));
                (void) nanosleep(&pause, NULL);
        }
        t->lock_fd = TAKE_FD(fd);
        return 0;
}

/* Past ESYS, which has no handle of its own for what another process left behind. */
static int flush_foreign(Tpm *t, TPM2_HANDLE handle, RsError *err) {
        uint8_t command[] = { 0x80,
                              0x01,
                              0,
                              0,
                              0,
                              14,
                              0,
                              0,
                              0x01,
                              0x65,
                              (uint8_t) (handle >> 24),
                              (uint8_t) (handle >> 16),
                              (uint8_t) (handle >> 8),
                              (uint8_t) handle };
        uint8_t answer[4096];
        size_t size = sizeof(answer);
        TSS2_RC rc = Tss2_Tcti_Transmit(t->tcti, sizeof(command), command);

        if (rc == TSS2_RC_SUCCESS)
                rc = Tss2_Tcti_Receive(t->tcti, &size, answer, TSS2_TCTI_TIMEOUT_BLOCK);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "flush what a process left in the TPM");
        return 0; /* the TPM's own refusal would show as a full TPM in the command that follows */
}

static int flush_range(Tpm *t, TPM2_HANDLE first, RsError *err) {
        _cleanup_(esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
        TPMI_YES_NO more;
        TSS2_RC rc;
        int r;

        rc = TPM_TRY(Esys_GetCapability(t->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                        first, TPM2_MAX_CAP_HANDLES, &more, &data));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "list handles");
        for (UINT32 i = 0; i < data->data.handles.count; i++) {
                r = flush_foreign(t, data->data.handles.handle[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int connect_tpm(Tpm *t, RsError *err) {
        TSS2_RC rc;
        int r;

        if (t->esys)
                return 0;
        rc = Tss2_TctiLdr_Initialize(t->tcti_text, &t->tcti);
        if (rc != TSS2_RC_SUCCESS) /* whatever the loader calls it: there is no TPM at that address */
                return rs_fail(err, TPM_GONE, "no TPM at %s (0x%x)", t->tcti_text, rc);
        rc = Esys_Initialize(&t->esys, t->tcti, NULL);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "open the TPM");
        if (t->shared)
                return 0;

        /*
         * Firmware or the kernel have done it on a real device; a bare chip after a reset needs it from us.
         */
        rc = Esys_Startup(t->esys, TPM2_SU_CLEAR);
        if (rc != TSS2_RC_SUCCESS && rc != TPM2_RC_INITIALIZE)
                return tpm_fail(t, rc, err, "start the TPM");
        r = flush_range(t, TRANSIENT_FIRST, err);
        if (r >= 0)
                r = flush_range(t, LOADED_SESSION_FIRST, err);
        return r;
}

int tpm_begin(Tpm *t, RsError *err) {
        int r = 0;

        (void) pthread_mutex_lock(&t->mutex);
        t->ossl_before = ossl_enter();
        if (!t->shared)
                r = take_lock(t, err);
        if (r >= 0)
                r = connect_tpm(t, err);
        if (r < 0) {
                disconnect(t);
                closep(&t->lock_fd);
                t->lock_fd = -EBADF;
                ossl_leave(t->ossl_before);
                (void) pthread_mutex_unlock(&t->mutex);
        }
        return r;
}

static void release(Tpm *t, TpmNote note) {
        /* On failure the place stays taken until the next holder, or the resource manager, cleans up. */
        if (note.flush) {
                if (Esys_FlushContext(t->esys, note.handle) != TSS2_RC_SUCCESS)
                        t->broken = true;
        } else
                (void) Esys_TR_Close(t->esys, &note.handle);
}

int tpm_end(Tpm *t, int r) {
        while (t->n_notes > 0 && !t->broken)
                release(t, t->notes[--t->n_notes]);
        if (t->broken || !t->shared)
                disconnect(t);
        closep(&t->lock_fd);
        t->lock_fd = -EBADF;
        ossl_leave(t->ossl_before);
        (void) pthread_mutex_unlock(&t->mutex);
        return r;
}

int tpm_reconnect(Tpm *t, RsError *err) {
        disconnect(t);
        return connect_tpm(t, err);
}

bool tpm_once_more(Tpm *t, int r, unsigned *attempt, RsError *err) {
        RsError again = RS_ERROR_INIT;

        if (r >= 0 || !t->broken || ++*attempt >= ATTEMPTS)
                return false;
        if (tpm_reconnect(t, &again) < 0)
                return false; /* err keeps the first cause */
        *err = RS_ERROR_INIT;
        return true;
}

void tpm_note(Tpm *t, ESYS_TR handle, bool flush) {
        assert(t->n_notes < TPM_NOTES_MAX);
        t->notes[t->n_notes++] = (TpmNote){ .handle = handle, .flush = flush };
}

void tpm_flush(Tpm *t, ESYS_TR handle) {
        for (unsigned i = 0; i < t->n_notes; i++)
                if (t->notes[i].handle == handle) {
                        TpmNote note = t->notes[i];

                        t->notes[i] = t->notes[--t->n_notes];
                        if (!t->broken)
                                release(t, note);
                        return;
                }
}

int tpm_find(Tpm *t, TPM2_HANDLE handle, ESYS_TR *ret, RsError *err) {
        ESYS_TR found;
        TSS2_RC rc = TPM_TRY(Esys_TR_FromTPMPublic(t->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                                   &found));

        if (tpm_rc_base(rc) == TPM2_RC_HANDLE)
                return 0;
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "read a public area");
        tpm_note(t, found, false);
        *ret = found;
        return 1;
}

/* ECC P-256 storage key of the TCG guidance, with noDA: power cuts must not lock the device out. */
TPM2B_PUBLIC tpm_srk_template(void) {
        return (TPM2B_PUBLIC){
                .publicArea = {
                        .type = TPM2_ALG_ECC,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM |
                                            TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                            TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
                        .parameters.eccDetail = {
                                .symmetric = { .algorithm = TPM2_ALG_AES,
                                               .keyBits.aes = 128,
                                               .mode.aes = TPM2_ALG_CFB },
                                .scheme.scheme = TPM2_ALG_NULL,
                                .curveID = TPM2_ECC_NIST_P256,
                                .kdf.scheme = TPM2_ALG_NULL,
                        },
                },
        };
}

/* Without a pinned Name (provisioning) the key must be of our kind: same public area but for the point. */
static int check_srk_kind(Tpm *t, ESYS_TR srk, RsError *err) {
        _cleanup_(esys_freep) TPM2B_PUBLIC *found = NULL;
        TPM2B_PUBLIC want = tpm_srk_template();
        TSS2_RC rc = TPM_TRY(Esys_ReadPublic(t->esys, srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &found,
                                             NULL, NULL));

        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "read the storage root key");
        if (found->publicArea.type == TPM2_ALG_ECC)
                want.publicArea.unique = found->publicArea.unique;
        if (!blob_same_public(found, &want))
                return rs_fail(err, TPM_STATE, "the key at 0x%x is not an ECC P-256 storage key with noDA",
                               TPM_HANDLE_SRK);
        return 0;
}

int tpm_use_srk(Tpm *t, ESYS_TR *ret, RsError *err) {
        _cleanup_(esys_freep) TPM2B_NAME *name = NULL;
        ESYS_TR srk;
        TSS2_RC rc;
        int r;

        if (t->srk != ESYS_TR_NONE) {
                *ret = t->srk;
                return 0;
        }
        r = tpm_find(t, TPM_HANDLE_SRK, &srk, err);
        if (r < 0)
                return r;
        if (r == 0 && t->srk_pinned)
                return rs_fail(err, TPM_CLEARED, "the storage root key of provisioning is gone from 0x%x",
                               TPM_HANDLE_SRK);
        if (r == 0)
                return rs_fail(err, NOT_PROVISIONED, "the TPM has no storage root key at 0x%x",
                               TPM_HANDLE_SRK);
        rc = Esys_TR_GetName(t->esys, srk, &name);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "name of the storage root key");
        if (t->srk_pinned) {
                if (name->size != TPM_NAME_SIZE || memcmp(name->name, t->srk_name, TPM_NAME_SIZE) != 0)
                        return rs_fail(err, TPM_OTHER,
                                       "the storage root key is not the one of provisioning: another TPM, "
                                       "a cleared one with a new key, or something between us and it");
        } else {
                r = check_srk_kind(t, srk, err);
                if (r < 0)
                        return r;
        }
        t->n_notes--; /* the last one noted, by tpm_find: this handle lives as long as the connection */
        *ret = t->srk = srk;
        return 0;
}

int tpm_session(Tpm *t, TPM2_SE type, ESYS_TR *ret, RsError *err) {
        static const TPMT_SYM_DEF aes = { .algorithm = TPM2_ALG_AES,
                                          .keyBits.aes = 128,
                                          .mode.aes = TPM2_ALG_CFB };
        static const TPMA_SESSION flags =
                        TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
        ESYS_TR srk, session;
        TSS2_RC rc;
        int r;

        r = tpm_use_srk(t, &srk, err);
        if (r < 0)
                return r;
        rc = TPM_TRY(Esys_StartAuthSession(t->esys, srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                           ESYS_TR_NONE, NULL, type, &aes, TPM2_ALG_SHA256, &session));
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "start a session");
        tpm_note(t, session, true);
        rc = Esys_TRSess_SetAttributes(t->esys, session, flags, 0xff);
        if (rc != TSS2_RC_SUCCESS)
                return tpm_fail(t, rc, err, "session attributes");
        *ret = session;
        return 0;
}

int tpm_set_auth(Tpm *t, ESYS_TR handle, const Secret *auth, RsError *err) {
        _cleanup_(auth_wipe) TPM2B_AUTH a = { 0 };
        TSS2_RC rc;

        if (auth) {
                if (secret_size(auth) > 32) /* more than the name algorithm's size is refused by chips */
                        return rs_fail(err, INVALID, "an authorization value of more than 32 bytes");
                a.size = (UINT16) secret_size(auth);
                memcpy(a.buffer, secret_bytes(auth), a.size);
        }
        rc = Esys_TR_SetAuth(t->esys, handle, &a);
        return rc == TSS2_RC_SUCCESS ? 0 : tpm_fail(t, rc, err, "authorization value");
}
