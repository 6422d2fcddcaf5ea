/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal - the fields of STYLE.md 11, by sd_journal_sendv.
 *
 * sd_journal_* drops lines silently where no journal runs (a container, a test, a system with another log):
 * the same line then goes to standard error, with the kernel's priority prefix, so that nothing is said only
 * to a wall.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <systemd/sd-journal.h>

#include <reseal/base/cleanup.h>

#include "journal.h"

#define FIELDS_MAX 16u
#define FIELD_SIZE 512u

static const struct {
        const char *id;
        int priority;
} MESSAGES[_JOURNAL_MAX] = {
#define MESSAGE(symbol, id, priority) [JOURNAL_##symbol] = { (id), (priority) },
#include "message.def"
#undef MESSAGE
};

typedef struct Line {
        char text[FIELDS_MAX][FIELD_SIZE];
        struct iovec fields[FIELDS_MAX];
        int n;
} Line;

static void add(Line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(Line *l, const char *format, ...) {
        va_list ap;

        if (l->n == FIELDS_MAX)
                return;
        va_start(ap, format);
        (void) vsnprintf(l->text[l->n], FIELD_SIZE, format, ap);
        va_end(ap);
        l->fields[l->n] = (struct iovec){ .iov_base = l->text[l->n], .iov_len = strlen(l->text[l->n]) };
        l->n++;
}

static void add_error(Line *l, const RsError *e) {
        if (!e || e->reason == RS_REASON_NONE)
                return;
        add(l, "RESEAL_REASON=%s", rs_reason_name(e->reason));
        add(l, "ERRNO=%d", e->errnum);
        add(l, "CODE_FUNC=%.*s", (int) strcspn(e->origin, ":"), e->origin);
        if (e->origin[strcspn(e->origin, ":")])
                add(l, "CODE_LINE=%s", e->origin + strcspn(e->origin, ":") + 1);
        if (e->tss_rc)
                add(l, "RESEAL_TSS_RC=0x%x", e->tss_rc);
}

void journal_send(JournalMessage m, const JournalFields *f, const char *format, ...) {
        Line l = { .n = 0 };
        char text[FIELD_SIZE - sizeof("MESSAGE=")];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);

        add(&l, "MESSAGE=%s", text);
        add(&l, "MESSAGE_ID=%s", MESSAGES[m].id);
        add(&l, "PRIORITY=%d", MESSAGES[m].priority);
        if (f && f->job)
                add(&l, "RESEAL_JOB=%u", f->job);
        if (f && f->source)
                add(&l, "RESEAL_SOURCE=%s", f->source);
        if (f && f->bundle)
                add(&l, "RESEAL_BUNDLE=%s", f->bundle);
        if (f && f->stage)
                add(&l, "RESEAL_STAGE=%s", f->stage);
        if (f && f->slot)
                add(&l, "RESEAL_SLOT=%s", f->slot);
        add_error(&l, f ? f->error : NULL);
        (void) sd_journal_sendv(l.fields, l.n);
        if (!getenv("JOURNAL_STREAM"))
                fprintf(stderr, "<%d>%s\n", MESSAGES[m].priority, text);
}
