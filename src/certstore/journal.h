/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - what reseal-certstore tells an operator, with fields.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    texts of errors were made printable when they were raised
 * Owns:     nothing
 * Units:    none
 * Errors:   none: a journal that is away never stops a judgement
 * Context:  any thread
 * Programs: reseal-certstore
 */
#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define MESSAGE_CERTSTORE_STORED "bb0ffd86b55c4a8ab910f47b8b234488"
#define MESSAGE_CERTSTORE_REFUSED "992fbc8cd1ee49edbb5022ac51b4318a"
#define MESSAGE_CERTSTORE_VIOLATION "67449743b1ae452ca35e2cde27110f70"
#define MESSAGE_CERTSTORE_SANDBOX "adbd3f5eb87f4448915d63cecf2ec869"
#define MESSAGE_CERTSTORE_STOPPED "5438d1b6cf6546be9f7498fadac7e34e"

/* Prints to standard error as well when that is not the journal. */
void journal_init(void);
/* What happened, in words; field is "NAME=value" or NULL; error is NULL when nothing failed. */
void journal_say(int priority, const char *message_id, const char *field, const RsError *error,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
