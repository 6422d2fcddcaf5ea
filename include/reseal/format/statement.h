/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * statement - "the latest release is n", signed for days, not years.
 *
 * Spec:     docs/format-chain.md, section 5; requirement S62; threats T7, T9
 * Trust:    parse only what a signature under the source root covers
 * Owns:     flat values
 * Units:    seconds since 1970 UTC
 * Errors:   FORMAT
 * Context:  any thread
 * Programs: reseal-writer, reseal-source
 */
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

typedef struct Statement {
        char line[RS_NAME_MAX + 1];
        uint64_t latest, seq, issued, expires;
} Statement;

#define STATEMENT_VALID_MAX (30u * 24 * 3600)
#define STATEMENT_CMS_MAX 8192u
#define STATEMENT_JSON_MAX 1024u

int statement_parse(Span json, Statement *ret, RsError *err);
int statement_encode(const Statement *s, Encoder *e, RsError *err);
