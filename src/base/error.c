/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * error - raising, naming and passing on the reasons of base/reason.def.
 *
 * All tables below are made from that one file, so a reason that has a name has an errno and a
 * sentence as well.  Two things must hold: whatever is raised returns a negative errno (a caller
 * that only looks at `r < 0` can never take a failure for a success), and the first cause wins,
 * because the second is almost always a consequence of the first (a failed close after a failed
 * write).  Texts quote foreign input; they are made printable here, on the way in, so that no later
 * reader (journal, bus, terminal) has to remember it.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

typedef struct ReasonEntry {
        int errnum;
        const char *name;
        const char *text;
        const char *dbus_name;
} ReasonEntry;

static const ReasonEntry reasons[_RS_REASON_MAX] = {
        [RS_REASON_NONE] = { 0, "None", "no failure", RS_BUS_ERROR_PREFIX "None" },
#define REASON(symbol, errnum, name, text) \
        [RS_REASON_##symbol] = { (errnum), (name), (text), RS_BUS_ERROR_PREFIX name },
#include <reseal/base/reason.def>
#undef REASON
};

#define REASON(symbol, errnum, name, text) _Static_assert((errnum) > 0, name " needs a positive errno");
#include <reseal/base/reason.def>
#undef REASON

/* A reason can arrive through a socket: a number outside the table reads as Internal. */
static const ReasonEntry *entry_of(RsReason reason) {
        if ((unsigned) reason >= _RS_REASON_MAX)
                reason = RS_REASON_INTERNAL;
        return &reasons[reason];
}

const char *rs_reason_name(RsReason reason) {
        return entry_of(reason)->name;
}

const char *rs_reason_text(RsReason reason) {
        return entry_of(reason)->text;
}

const char *rs_reason_dbus_name(RsReason reason) {
        return entry_of(reason)->dbus_name;
}

int rs_reason_errno(RsReason reason) {
        int errnum = entry_of(reason)->errnum;

        return errnum > 0 ? errnum : EIO;
}

RsReason rs_reason_from_name(const char *name) {
        for (unsigned i = 1; i < _RS_REASON_MAX; i++)
                if (strcmp(reasons[i].name, name) == 0)
                        return (RsReason) i;
        return RS_REASON_NONE;
}

/* What a failure returns; never 0, whatever came over a wire into the struct. */
static int result_of(const RsError *err) {
        return err->errnum > 0 && err->errnum < INT_MAX ? -err->errnum : -EIO;
}

static void set_text(RsError *err, const char *prefix, const char *rest) {
        char joined[2 * sizeof(err->text) + 4];

        if (rest && *rest)
                (void) snprintf(joined, sizeof(joined), "%s: %s", prefix, rest);
        else
                (void) snprintf(joined, sizeof(joined), "%s", prefix);
        (void) text_printable(SPAN(joined, strlen(joined)), err->text, sizeof(err->text));
}

static void raise_at(RsError *err, RsReason reason, int errnum, const char *function, int line) {
        *err = RS_ERROR_INIT;
        err->reason = reason;
        err->errnum = errnum > 0 ? errnum : EIO;
        (void) snprintf(err->origin, sizeof(err->origin), "%s:%d", function, line);
}

int rs_fail_at(RsError *err, RsReason reason, const char *function, int line, const char *format, ...) {
        char text[2 * sizeof(err->text)];
        va_list ap;

        if (err->reason != RS_REASON_NONE)
                return result_of(err);

        raise_at(err, reason, rs_reason_errno(reason), function, line);
        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        set_text(err, text, NULL);
        return result_of(err);
}

int rs_fail_errno_at(RsError *err, int errnum, const char *function, int line, const char *format, ...) {
        char text[2 * sizeof(err->text)], described[128];
        RsReason reason = RS_REASON_IO;
        va_list ap;

        if (err->reason != RS_REASON_NONE)
                return result_of(err);
        if (errnum < 0 && errnum != INT_MIN)
                errnum = -errnum; /* both signs are in use; neither may turn into success */
        if (errnum == ENOSPC || errnum == EDQUOT)
                reason = RS_REASON_NO_SPACE;
        else if (errnum == ENOMEM)
                reason = RS_REASON_NO_MEMORY;

        raise_at(err, reason, errnum, function, line);
        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        set_text(err, text, strerror_r(err->errnum, described, sizeof(described)));
        return result_of(err);
}

int rs_fail_ssl_at(RsError *err, RsReason reason, const char *function, int line, const char *format, ...) {
        unsigned long first = ERR_get_error();
        char text[2 * sizeof(err->text)];
        va_list ap;

        /* Also when an earlier cause wins: what stays in the queue would be blamed on the next failure. */
        ERR_clear_error();
        if (err->reason != RS_REASON_NONE)
                return result_of(err);

        raise_at(err, reason, rs_reason_errno(reason), function, line);
        err->ssl_error = first;
        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        set_text(err, text, first != 0 ? ERR_reason_error_string(first) : NULL);
        return result_of(err);
}

int rs_context_at(RsError *err, const char *format, ...) {
        char prefix[sizeof(err->text)], rest[sizeof(err->text)];
        va_list ap;

        (void) snprintf(rest, sizeof(rest), "%s", err->text);
        va_start(ap, format);
        (void) vsnprintf(prefix, sizeof(prefix), format, ap);
        va_end(ap);
        set_text(err, prefix, rest);
        return result_of(err);
}

int rs_pass_on(RsError *err, const RsError *cause) {
        if (err->reason == RS_REASON_NONE) {
                *err = *cause;
                if ((unsigned) err->reason >= _RS_REASON_MAX || err->reason == RS_REASON_NONE)
                        err->reason = RS_REASON_INTERNAL;
                if (err->errnum <= 0)
                        err->errnum = rs_reason_errno(err->reason);
        }
        return result_of(err);
}
