/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * answer - the head of an HTTP answer: parsed, and held against what was asked.
 *
 * Spec:     RFC 9110 sections 8.8, 14.4, 15; threats T3, T4
 * Trust:    input is hostile
 * Owns:     flat values
 * Units:    bytes
 * Errors:   HTTP, NOT_FOUND, AUTH_DEVICE, ENTITLE, SOURCE_CHANGED
 * Context:  any thread, no I/O
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define ANSWER_TAG_MAX 128u

/* "bytes FIRST-LAST/TOTAL"; an unknown total or a multipart answer is no range for us. */
typedef struct ContentRange {
        uint64_t first, last, total;
} ContentRange;
int content_range_parse(Span value, ContentRange *ret); /* 0 or -EBADMSG */

/* What identifies a version of a file: strong entity tag or, without one, its date, and always the size. */
typedef struct Validator {
        bool known;
        char etag[ANSWER_TAG_MAX];          /* with its quotes; "" when absent or weak */
        char last_modified[ANSWER_TAG_MAX]; /* "" when absent */
        uint64_t total;
} Validator;

typedef struct Answer {
        unsigned status;
        bool has_range, broken;
        ContentRange range;
        char etag[ANSWER_TAG_MAX];
        char last_modified[ANSWER_TAG_MAX];
        bool has_length;
        bool chunked, bad_transfer;
        uint64_t length;
} Answer;

typedef struct Question {
        bool ranged;
        uint64_t first, last;   /* inclusive */
        bool open_end;          /* the file may end before `last` */
        uint64_t max_size;      /* of an answer to a question without range */
} Question;

/* One header line, status line first, without its line end. */
void answer_feed(Answer *a, Span line);
/* After the empty line: is this an answer to the question, from the version known so far?  Fills *v when it was not
 * known.  0 = yes; statuses from 300 on are left to answer_refusal. */
int answer_judge(const Answer *a, const Question *q, Validator *v, RsError *err);
/* A status that is no success, as a reason; body = the first bytes of the page.  *ret_again: trying later may help. */
int answer_refusal(const Answer *a, Span body, const Validator *v, bool *ret_again, RsError *err);
