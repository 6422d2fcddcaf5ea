/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * https - files at a web server, over TLS 1.3 with both sides authenticated.
 *
 * Spec:     DESIGN.md 5 and 9; RFC 9110 sections 13 and 14; threats T3 to T6
 * Trust:    only the anchors given are trusted, and only a certificate with the source EKU; every number a
 *           server states is checked against what was asked
 * Owns:     an Https owns its connections; it borrows everything in its HttpsConfig until it is freed
 * Units:    microseconds of CLOCK_BOOTTIME, bytes, bytes per second
 * Errors:   SCHEME, REDIRECT, CONNECT, AUTH_SOURCE, AUTH_DEVICE, ENTITLE, NOT_FOUND, HTTP, SLOW, TOO_MUCH,
 *           TRUNCATED, SOURCE_CHANGED, CANCELLED, INVALID (address), NOT_PROVISIONED (certificate does not
 *           fit the key), those of the key
 * Context:  one worker thread at a time; blocks; https_global_init once per process, before threads
 * Programs: reseald
 */
#include <stdbool.h>

#include <reseal/pki/path.h>
#include <reseal/source/source.h>

struct evp_pkey_st;

#define HTTPS_URL_MAX 2048u
#define HTTPS_HOSTS_MAX 16u
#define HTTPS_REDIRECTS_MAX 3u

/* The device's certificate chain and the key to it, which may live in the TPM. */
typedef struct HttpsIdentity HttpsIdentity;

int https_identity_new(const char *chain_path, struct evp_pkey_st *key /* taken */, HttpsIdentity **ret, RsError *err);
HttpsIdentity *https_identity_free(HttpsIdentity *i);
RS_DEFINE_CLEANUP(HttpsIdentity, https_identity_free)

typedef struct HttpsConfig {
        const TrustAnchors *anchors;           /* of the source PKI */
        uint64_t time_low, time_high;          /* the present lies there; certificates are judged by nothing else */
        const CrlSet *crls;                    /* NULL: none known */
        const HttpsIdentity *identity;         /* NULL: none is shown */
        /* After a failed handshake: did the key refuse, and why?  TLS itself passes no reason on.  May be NULL. */
        bool (*key_failure)(void *key_userdata, RsError *ret);
        void *key_userdata;
        /* Hosts that may be asked at all; with none listed any, but a redirect never leaves the host it comes from. */
        char *hosts[HTTPS_HOSTS_MAX];
        unsigned n_hosts;
        uint64_t connect_timeout_usec;
        uint64_t low_speed_usec;               /* fewer than low_speed_bytes per second over this long: SLOW */
        uint64_t low_speed_bytes;
        uint64_t deadline_usec;                /* for all that is done with one Https */
        uint64_t retry_usec;                   /* first pause, doubled each time and jittered */
        unsigned max_retries;                  /* without progress in between */
        int cancel_fd;                         /* eventfd or -EBADF; borrowed */
        /* Told before a pause, as long as a server may ask for: for whoever watches this thread.  May be NULL. */
        void (*on_pause)(void *pause_userdata, uint64_t usec);
        void *pause_userdata;
} HttpsConfig;

#define HTTPS_CONFIG_DEFAULT                                                       \
        ((HttpsConfig){                                                            \
                .time_high = UINT64_MAX,                                           \
                .connect_timeout_usec = 30 * UINT64_C(1000000),                    \
                .low_speed_usec = 60 * UINT64_C(1000000),                          \
                .low_speed_bytes = 1024,                                           \
                .deadline_usec = 6 * 3600 * UINT64_C(1000000),                     \
                .retry_usec = UINT64_C(500000),                                    \
                .max_retries = 5,                                                  \
                .cancel_fd = -EBADF,                                               \
        })

typedef struct Https Https;

int https_global_init(RsError *err);
int https_new(const HttpsConfig *config, Https **ret, RsError *err);
Https *https_free(Https *h);
RS_DEFINE_CLEANUP(Https, https_free)

/* Syntax and permission only, nothing is sent: https, a host that is allowed, no user name, no fragment. */
int https_check_url(const HttpsConfig *config, const char *url, RsError *err);
/* Fetches the first bytes, and with them size and validator. */
int https_open(Https *h, const char *url, Source **ret, RsError *err);
/* A whole small file; TOO_MUCH above max_size. */
int https_get(Https *h, const char *url, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err);
/* The same for what may be missing: no more than https_optional_usec() and one more attempt, whatever pause the server
 * asks for.  It is the caller who goes on without it. */
int https_get_optional(Https *h, const char *url, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err);
/* 15 seconds, or a quarter of the deadline where that is less. */
uint64_t https_optional_usec(const HttpsConfig *config);
/* The same limits for all that is done with an Https of its own. */
void https_make_optional(HttpsConfig *config);
/* A small question and its whole answer; repeated after a failure that may pass, so it must be safe to ask twice. */
int https_post(Https *h, const char *url, const char *type, Span body, size_t max_size, uint8_t **ret_data,
               size_t *ret_size, RsError *err);
/* Replaces everything behind the last '/' of the path (query dropped): where a bundle's tickets lie. */
int https_sibling(const char *url, const char *relative, char **ret, RsError *err);
