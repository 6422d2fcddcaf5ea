/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * journal - one call per event, fields beside the sentence.
 *
 * sd_journal_sendv is asked directly, so that fields reach the journal as such.  In tests and on systems without it the
 * same sentence goes to standard error; under systemd that is the journal itself, and the line would stand twice.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <reseal/ipc/journal.h>

static const char *print_as; /* NULL: not to standard error */

void journal_init(const char *program) {
        print_as = getenv("JOURNAL_STREAM") ? NULL : program;
}

static void add(struct iovec *fields, size_t *n, char *line) {
        fields[(*n)++] = (struct iovec){ .iov_base = line, .iov_len = strlen(line) };
}

void journal_say(int priority, const char *message_id, const char *field, const RsError *error,
                 const char *format, ...) {
        char text[320], message[800], id[64], level[16], reason[64], number[24], extra[160];
        struct iovec fields[8];
        size_t n = 0;
        va_list args;

        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        if (error)
                (void) snprintf(message, sizeof(message), "MESSAGE=%s: %s (%s)", text, error->text,
                                rs_reason_name(error->reason));
        else
                (void) snprintf(message, sizeof(message), "MESSAGE=%s", text);
        (void) snprintf(id, sizeof(id), "MESSAGE_ID=%s", message_id);
        (void) snprintf(level, sizeof(level), "PRIORITY=%d", priority);
        add(fields, &n, message);
        add(fields, &n, id);
        add(fields, &n, level);
        if (field) {
                (void) snprintf(extra, sizeof(extra), "%s", field);
                add(fields, &n, extra);
        }
        if (error) {
                (void) snprintf(reason, sizeof(reason), "RESEAL_REASON=%s", rs_reason_name(error->reason));
                (void) snprintf(number, sizeof(number), "ERRNO=%d", error->errnum);
                add(fields, &n, reason);
                add(fields, &n, number);
        }
        (void) sd_journal_sendv(fields, (int) n); /* without a journal there is nobody to tell */
        if (print_as)
                (void) fprintf(stderr, "%s: %s\n", print_as, message + strlen("MESSAGE="));
}
