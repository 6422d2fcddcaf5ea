/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - what the small services tell an operator, with fields.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    texts of errors were made printable when they were raised
 * Owns:     nothing
 * Units:    none
 * Errors:   none: a journal that is away never stops an installation
 * Context:  any thread, after journal_init
 * Programs: reseal-writer, reseal-certstore
 */
#include <reseal/base/error.h>

/* Prints to standard error as well, behind the program's name (borrowed), when that is not the journal. */
void journal_init(const char *program);
/* What happened, in words; field is "NAME=value" or NULL; error is NULL when nothing failed. */
void journal_say(int priority, const char *message_id, const char *field, const RsError *error, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
