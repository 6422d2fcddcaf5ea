/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * https-private - one request and its answer, between https.c (what to ask) and the files that ask.
 *
 * Spec:     include/reseal/source/https.h
 * Trust:    as there
 * Owns:     an Exchange is a value on the stack of its caller and borrows all it points to
 * Units:    microseconds of CLOCK_BOOTTIME, bytes
 * Errors:   as there
 * Context:  one worker thread
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include <reseal/source/https.h>

#include "answer.h"

struct Https {
        HttpsConfig config;
        CURLM *multi;
        CURL *easy;              /* one for all requests: keeps the connection, and with it one TPM signature per job */
        uint64_t deadline;       /* absolute */
        unsigned n_post_handshake; /* messages of TLS since the handshake of the connection */
        RsError tls_error;       /* what the certificate check found in the handshake under way */
        char message[CURL_ERROR_SIZE];
};

#define REFUSAL_BODY_MAX 1024u   /* of an error page: enough to see why */
#define POST_HANDSHAKE_MAX 32u   /* servers send two session tickets */
#define HEAD_BYTES_MAX 32768u

typedef struct Exchange {
        Https *h;
        const char *url;
        Question question;
        Validator *validator;    /* in and out */
        Span post;               /* empty: GET */
        const char *post_type;
        SourceSink sink;
        void *userdata;

        /* outcome */
        uint64_t got;            /* bytes given to the sink */
        bool again;              /* a failure that a later attempt may not meet */
        uint64_t retry_after_usec;
        char *location;          /* redirect target, absolute; free() */

        /* while it runs */
        Answer answer;
        bool judged;
        int failure;             /* < 0: a callback refused, *err is filled */
        RsError *err;
        uint64_t head_bytes;
        uint64_t window_start, window_bytes;
        uint8_t body[REFUSAL_BODY_MAX];
        size_t body_size;
} Exchange;

/* 1 = answered in full, 0 = redirected (location set), < 0 failed (again says whether for good). */
int https_exchange(Exchange *x, RsError *err);
/* Trust, client key and verification of the peer for one new connection; installed through CURLOPT_SSL_CTX_FUNCTION. */
CURLcode https_setup_tls(CURL *easy, void *ssl_ctx, void *userdata /* Https */);
