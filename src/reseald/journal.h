/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - one structured line per event worth an operator's eye.
 *
 * Spec:     STYLE.md 11; src/reseald/message.def; systemd/reseal.catalog
 * Trust:    texts come from RsError and are printable already
 * Owns:     nothing
 * Units:    none
 * Errors:   none: a line that cannot be logged must not fail anything
 * Context:  any thread
 * Programs: reseald
 */
#include <reseal/base/error.h>

typedef enum JournalMessage {
#define MESSAGE(symbol, id, priority) JOURNAL_##symbol,
#include "message.def"
#undef MESSAGE
        _JOURNAL_MAX,
} JournalMessage;

typedef struct JournalFields {
        unsigned job;              /* 0 = none */
        const char *source;        /* NULL = none, likewise below */
        const char *bundle, *stage, *slot;
        const RsError *error;
} JournalFields;

void journal_send(JournalMessage m, const JournalFields *fields, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
