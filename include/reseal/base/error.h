/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * error - the flat error value every fallible function of Reseal fills.
 *
 * Spec:     docs/errors.md; include/reseal/base/reason.def is the one table of reasons
 * Trust:    text may quote hostile input: rs_fail escapes control bytes on the way in
 * Owns:     nothing; lives on the caller's stack, may be copied, crosses sockets field by field
 * Units:    none
 * Errors:   rs_fail*() return the negative errno of the reason, so that `return rs_fail(...)` raises
 * Context:  any thread, no globals, no I/O
 * Programs: all
 *
 * The first cause wins: raising into an RsError that already holds a reason keeps that one and its
 * errno.  Callers may prepend words with rs_context().
 */
#include <errno.h>
#include <stdint.h>

typedef enum RsReason {
        RS_REASON_NONE = 0,
#define REASON(symbol, errnum, name, text) RS_REASON_##symbol,
#include <reseal/base/reason.def>
#undef REASON
        _RS_REASON_MAX,
} RsReason;

typedef struct RsError {
        RsReason reason;
        int errnum;         /* positive errno, of the reason or of the failed system call */
        uint32_t tss_rc;    /* TSS2_RC when the TPM stack failed, else 0 */
        uint64_t ssl_error; /* first OpenSSL error of the queue, else 0 */
        char origin[56];    /* "function:line" that raised it */
        char text[200];     /* what happened, one line, printable */
} RsError;

#define RS_ERROR_INIT ((RsError){ 0 })

/* Names */
const char *rs_reason_name(RsReason reason);       /* "ChunkDigest"; "None" for 0; never NULL */
const char *rs_reason_text(RsReason reason);       /* the table's sentence */
const char *rs_reason_dbus_name(RsReason reason);  /* "org.reseal1.Error.ChunkDigest" */
int rs_reason_errno(RsReason reason);              /* positive */
RsReason rs_reason_from_name(const char *name);    /* RS_REASON_NONE when unknown */

/* Raise.  err is never NULL.  rs_negative() lets compilers and analysers see what holds anyway. */
static inline int rs_negative(int r) {
        return r < 0 ? r : -EIO;
}

#define rs_fail(err, reason, ...) \
        rs_negative(rs_fail_at((err), RS_REASON_##reason, __func__, __LINE__, __VA_ARGS__))
#define rs_fail_errno(err, errnum, ...) \
        rs_negative(rs_fail_errno_at((err), (errnum), __func__, __LINE__, __VA_ARGS__))
#define rs_fail_ssl(err, reason, ...) \
        rs_negative(rs_fail_ssl_at((err), RS_REASON_##reason, __func__, __LINE__, __VA_ARGS__))
#define rs_fail_oom(err) rs_fail(err, NO_MEMORY, "out of memory")

int rs_fail_at(RsError *err, RsReason reason, const char *function, int line, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
/* For a failed system call: reason from errnum (ENOSPC -> NO_SPACE, ENOMEM -> NO_MEMORY, else IO). */
int rs_fail_errno_at(RsError *err, int errnum, const char *function, int line, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
/* Takes the first OpenSSL error of this thread into ssl_error and the text, then empties the queue. */
int rs_fail_ssl_at(RsError *err, RsReason reason, const char *function, int line, const char *format, ...)
        __attribute__((format(printf, 5, 6)));

/* Prepend words to the text of a failure that is passed on: "slot B: <text>".  Returns -errnum. */
#define rs_context(err, ...) rs_negative(rs_context_at((err), __VA_ARGS__))
int rs_context_at(RsError *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Take over a failure that was told elsewhere (by another process, by a nested call): it goes into err unless err
 * holds one already.  Never success, whatever `cause` says. */
#define rs_pass(err, cause) rs_negative(rs_pass_on((err), (cause)))
int rs_pass_on(RsError *err, const RsError *cause);
