/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - what reseal-writer tells an operator, with fields.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    texts of errors were made printable when they were raised
 * Owns:     nothing
 * Units:    none
 * Errors:   none: a journal that is away never stops an installation
 * Context:  any thread
 * Programs: reseal-writer
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define MESSAGE_WRITER_STEP "ff3fa756caf241bdb05af159bb29a1a4"
#define MESSAGE_WRITER_ACCEPTED "cb3345f5f03740c89d224f5a907d4ef5"
#define MESSAGE_WRITER_INSTALLED "d6ddb68586fe4a90a0e3d5b2509bc09d"
#define MESSAGE_WRITER_REFUSED "3d34af36bc7041529908b10b8ccd99cc"
#define MESSAGE_WRITER_VIOLATION "0679b0b39b3f4a5f92efb26d77a3931a"
#define MESSAGE_WRITER_MARKED "3beb7931cb684739a2f9f5b9a47c1d93"
#define MESSAGE_WRITER_EVIDENCE "c5d0b0a1f6a84d0f9f0f4e0a7a5c2d19"
#define MESSAGE_WRITER_SANDBOX "21a507180e9a4800abe6b827a584c593"

/* Prints to standard error as well when that is not the journal. */
void journal_init(void);
/* What happened, in words; field is "NAME=value" or NULL; error is NULL when nothing failed. */
void journal_say(int priority, const char *message_id, const char *field, const RsError *error,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
