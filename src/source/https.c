/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * https - what is asked of a web server, how often, and where it may send us.
 *
 * One Https serves one job: one connection kept alive for bundle and ticket, one deadline over everything.
 * A stream is one range request to the end of what is wanted; when the connection drops, the rest is asked
 * for again, from the byte behind the last one that the sink has got, under the same validator.  Attempts
 * are bounded: max_retries in a row without real progress, a pause that doubles and is jittered (a fleet
 * must not come back in step after an outage), Retry-After where the server says so, and the deadline above
 * all.
 *
 * A redirect is followed at most three times, to https only, and only to a host that configuration lists,
 * or to the one it came from (T3).  What a redirect can choose is thus only where signed bytes come from,
 * within the operator's list.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/ossl.h>

#include "https-private.h"
#include "source-kind.h"

#define PAUSE_MAX_USEC (60 * UINT64_C(1000000))
#define OPTIONAL_USEC (15 * UINT64_C(1000000))
#define OPTIONAL_RETRIES 1u
#define PROGRESS_MIN (256u * 1024u) /* a server that gives a little and drops must not keep a job going for ever */

typedef struct HttpsSource {
        Source base;
        Https *h;
        char *url;
        Validator validator;
} HttpsSource;

static void curlu_freep(CURLU **u) {
        curl_url_cleanup(*u);
}

static void curl_stringp(char **s) {
        curl_free(*s);
}

int https_global_init(RsError *err) {
        /* libcurl would write the secrets of every connection to the file that this names. */
        if (unsetenv("SSLKEYLOGFILE") < 0)
                return rs_fail_errno(err, errno, "environment");
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return rs_fail(err, INTERNAL, "curl cannot be initialised");
        const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
        if (!v->ssl_version || !strstr(v->ssl_version, "OpenSSL"))
                return rs_fail(err, INTERNAL, "libcurl is not built with OpenSSL: %s", v->ssl_version ? v->ssl_version : "no TLS");
        return 0;
}

int https_new(const HttpsConfig *config, Https **ret, RsError *err) {
        _cleanup_(https_freep) Https *h = calloc(1, sizeof(*h));
        if (!h)
                return rs_fail_oom(err);

        h->config = *config;
        h->deadline = clock_boottime_usec() + config->deadline_usec;
        h->multi = curl_multi_init();
        h->easy = curl_easy_init();
        if (!h->multi || !h->easy)
                return rs_fail_oom(err);
        *ret = TAKE_PTR(h);
        return 0;
}

Https *https_free(Https *h) {
        if (!h)
                return NULL;
        OSSL_IN_CONTEXT; /* connections say good-bye */
        curl_easy_cleanup(h->easy);
        (void) curl_multi_cleanup(h->multi);
        free(h);
        return NULL;
}

uint64_t https_optional_usec(const HttpsConfig *config) {
        return config->deadline_usec / 4 < OPTIONAL_USEC ? config->deadline_usec / 4 : OPTIONAL_USEC;
}

void https_make_optional(HttpsConfig *config) {
        config->deadline_usec = https_optional_usec(config);
        if (config->max_retries > OPTIONAL_RETRIES)
                config->max_retries = OPTIONAL_RETRIES;
}

static bool host_listed(const HttpsConfig *config, const char *host) {
        for (unsigned i = 0; i < config->n_hosts; i++)
                if (strcasecmp(config->hosts[i], host) == 0)
                        return true;
        return false;
}

/* ret_host for curl_free() */
static int parse_url(const char *url, char **ret_host, RsError *err) {
        _cleanup_(curlu_freep) CURLU *u = curl_url();
        _cleanup_(curl_stringp) char *scheme = NULL, *host = NULL, *user = NULL, *fragment = NULL;

        if (!u)
                return rs_fail_oom(err);
        if (strlen(url) > HTTPS_URL_MAX)
                return rs_fail(err, INVALID, "the address has more than %u bytes", HTTPS_URL_MAX);
        if (strncasecmp(url, "https://", 8) != 0)
                return rs_fail(err, SCHEME, "only https:// is permitted: %.40s", url);
        if (url[8] == '/') /* curl would take what follows for the host */
                return rs_fail(err, INVALID, "the address names no host");
        for (const char *p = url; *p; p++)
                if ((unsigned char) *p <= 0x20 || (unsigned char) *p >= 0x7f)
                        return rs_fail(err, INVALID, "the address holds a character that must be percent-encoded");
        if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
                return rs_fail(err, INVALID, "not an address: %.80s", url);
        if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || strcmp(scheme, "https") != 0)
                return rs_fail(err, SCHEME, "only https:// is permitted: %.40s", url);
        if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
                return rs_fail(err, INVALID, "a user name has no place in the address");
        if (curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
                return rs_fail(err, INVALID, "a fragment has no place in the address");
        if (curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || !host || !host[0])
                return rs_fail(err, INVALID, "the address names no host");
        *ret_host = TAKE_PTR(host);
        return 0;
}

int https_check_url(const HttpsConfig *config, const char *url, RsError *err) {
        _cleanup_(curl_stringp) char *host = NULL;

        int r = parse_url(url, &host, err);
        if (r < 0)
                return r;
        if (config->n_hosts && !host_listed(config, host))
                return rs_fail(err, POLICY, "the configuration does not list the host %.80s", host);
        return 0;
}

static int check_redirect(const HttpsConfig *config, const char *from, const char *to, RsError *err) {
        _cleanup_(curl_stringp) char *from_host = NULL, *to_host = NULL;
        RsError why = RS_ERROR_INIT;

        int r = parse_url(from, &from_host, err);
        if (r < 0)
                return r;
        if (parse_url(to, &to_host, &why) < 0)
                return rs_fail(err, REDIRECT, "%s", why.text);
        assert(from_host && to_host);
        if (strcasecmp(from_host, to_host) != 0 && !host_listed(config, to_host))
                return rs_fail(err, REDIRECT, "to the host %.80s, which the configuration does not list", to_host);
        return 0;
}

/* One request with the redirects it may take.  *x comes filled but for url. */
static int exchange(Exchange *x, const char *url, RsError *err) {
        _cleanup_(freep) char *here = strdup(url);
        const Exchange fresh = *x;

        if (!here)
                return rs_fail_oom(err);
        for (unsigned n = 0;; n++) {
                *x = fresh;
                x->url = here;
                int r = https_exchange(x, err);
                if (r != 0)
                        return r;

                _cleanup_(freep) char *to = TAKE_PTR(x->location);
                if (n == HTTPS_REDIRECTS_MAX)
                        return rs_fail(err, REDIRECT, "more than %u in a row", HTTPS_REDIRECTS_MAX);
                r = check_redirect(&x->h->config, here, to, err);
                if (r < 0)
                        return r;
                free(here);
                here = TAKE_PTR(to);
        }
}

/* Waits before another attempt; the pause is at least what the server asked for. */
static int pause_before_retry(Https *h, unsigned failures, uint64_t at_least_usec, const RsError *why, RsError *err) {
        uint64_t pause = h->config.retry_usec << (failures < 16 ? failures - 1 : 15);
        uint32_t jitter = 0;

        if (pause > PAUSE_MAX_USEC)
                pause = PAUSE_MAX_USEC;
        if (getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK) < 0)
                jitter = 0; /* the pause is simply the shorter one then */
        pause = pause / 2 + (pause / 2) * jitter / UINT32_MAX;
        if (pause < at_least_usec)
                pause = at_least_usec;
        if (clock_boottime_usec() + pause >= h->deadline)
                return rs_fail(err, SLOW, "the next attempt would come after the deadline; the last: %s: %s",
                               rs_reason_name(why->reason), why->text);

        if (h->config.on_pause)
                h->config.on_pause(h->config.pause_userdata, pause);
        struct pollfd p = { .fd = h->config.cancel_fd, .events = POLLIN };
        int n = poll(&p, 1, (int) (pause / 1000)); /* a negative fd is skipped; EINTR only makes the pause shorter */
        if (n > 0)
                return rs_fail(err, CANCELLED, "while waiting to ask the source again");
        return 0;
}

typedef struct Retry {
        unsigned failures;
        uint64_t since; /* bytes got since the last failure that counted as progress */
} Retry;

/* After a failed exchange: 0 = try again, else the failure to report. */
static int retry_after(Https *h, Retry *t, const Exchange *x, const RsError *why, RsError *err) {
        t->since += x->got;
        if (t->since >= PROGRESS_MIN) {
                t->failures = 0;
                t->since = 0;
        }
        if (!x->again || t->failures >= h->config.max_retries) {
                *err = *why;
                return -why->errnum;
        }
        t->failures++;
        return pause_before_retry(h, t->failures, x->retry_after_usec, why, err);
}

static int https_stream(Source *base, uint64_t offset, uint64_t size, SourceSink sink, void *userdata, RsError *err) {
        HttpsSource *s = (HttpsSource *) base;
        Retry retry = { 0 };

        for (;;) {
                RsError why = RS_ERROR_INIT;
                Exchange x = {
                        .h = s->h,
                        .question = { .ranged = true, .first = offset, .last = offset + size - 1 },
                        .validator = &s->validator,
                        .sink = sink,
                        .userdata = userdata,
                };
                int r = exchange(&x, s->url, &why);
                if (r >= 0)
                        return 0;
                offset += x.got;
                size -= x.got;
                r = retry_after(s->h, &retry, &x, &why, err);
                if (r < 0)
                        return r;
                if (size == 0) /* the last byte was there before the connection broke */
                        return 0;
        }
}

static Source *https_close(Source *base) {
        HttpsSource *s = (HttpsSource *) base;

        free(s->url);
        free(s);
        return NULL;
}

static const SourceKind HTTPS_KIND = { .name = "https", .stream = https_stream, .close = https_close };

typedef struct Collect {
        uint8_t *data;
        size_t size, max;
} Collect;

static int on_collect(void *userdata, Span bytes, RsError *err) {
        Collect *c = userdata;

        if (bytes.size > c->max - c->size)
                return rs_fail(err, TOO_MUCH, "more than %zu bytes", c->max);
        memcpy(c->data + c->size, bytes.data, bytes.size);
        c->size += bytes.size;
        return 0;
}

/* Both first contacts: all or nothing, begun anew after a failure that may pass. */
static int collect(Https *h, const char *url, const Question *q, Span post, const char *post_type, Validator *v,
                   Collect *c, RsError *err) {
        Retry retry = { 0 };

        for (;;) {
                RsError why = RS_ERROR_INIT;
                Exchange x = { .h = h,   .question = *q,          .validator = v, .post = post, .post_type = post_type,
                               .sink = on_collect, .userdata = c };

                *v = (Validator){ 0 };
                c->size = 0;
                int r = exchange(&x, url, &why);
                if (r >= 0)
                        return 0;
                x.got = 0;
                r = retry_after(h, &retry, &x, &why, err);
                if (r < 0)
                        return r;
        }
}

int https_open(Https *h, const char *url, Source **ret, RsError *err) {
        static const Question FIRST = { .ranged = true, .first = 0, .last = SOURCE_PREFIX_MAX - 1, .open_end = true };

        int r = https_check_url(&h->config, url, err);
        if (r < 0)
                return r;

        _cleanup_(source_closep) Source *base = calloc(1, sizeof(HttpsSource));
        if (!base)
                return rs_fail_oom(err);
        HttpsSource *s = (HttpsSource *) base;
        base->kind = &HTTPS_KIND;
        s->h = h;
        s->url = strdup(url);
        base->prefix = malloc(SOURCE_PREFIX_MAX);
        if (!s->url || !base->prefix)
                return rs_fail_oom(err);

        Collect prefix = { .data = base->prefix, .max = SOURCE_PREFIX_MAX };
        r = collect(h, url, &FIRST, SPAN_NULL, NULL, &s->validator, &prefix, err);
        if (r < 0)
                return r;
        base->prefix_size = prefix.size;
        base->size = s->validator.total;
        (void) snprintf(base->description, sizeof(base->description), "%.*s", (int) strcspn(url, "?"), url);
        (void) snprintf(base->validator, sizeof(base->validator), "%s",
                        s->validator.etag[0] ? s->validator.etag : s->validator.last_modified);
        *ret = TAKE_PTR(base);
        return 0;
}

static int fetch(Https *h, const char *url, Span post, const char *post_type, size_t max_size, uint8_t **ret_data,
                 size_t *ret_size, RsError *err) {
        const Question whole = { .max_size = max_size };
        Validator unused;

        int r = https_check_url(&h->config, url, err);
        if (r < 0)
                return r;
        _cleanup_(freep) uint8_t *data = malloc(max_size);
        if (!data)
                return rs_fail_oom(err);
        Collect c = { .data = data, .max = max_size };
        r = collect(h, url, &whole, post, post_type, &unused, &c, err);
        if (r < 0)
                return r;
        *ret_data = TAKE_PTR(data);
        *ret_size = c.size;
        return 0;
}

int https_get_optional(Https *h, const char *url, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err) {
        const uint64_t deadline = h->deadline;
        const unsigned retries = h->config.max_retries;

        h->deadline = clock_boottime_usec() + https_optional_usec(&h->config);
        if (h->deadline > deadline)
                h->deadline = deadline;
        h->config.max_retries = retries < OPTIONAL_RETRIES ? retries : OPTIONAL_RETRIES;
        int r = fetch(h, url, SPAN_NULL, NULL, max_size, ret_data, ret_size, err);
        h->deadline = deadline;
        h->config.max_retries = retries;
        return r;
}

int https_get(Https *h, const char *url, size_t max_size, uint8_t **ret_data, size_t *ret_size, RsError *err) {
        return fetch(h, url, SPAN_NULL, NULL, max_size, ret_data, ret_size, err);
}

int https_post(Https *h, const char *url, const char *type, Span body, size_t max_size, uint8_t **ret_data,
               size_t *ret_size, RsError *err) {
        if (body.size == 0)
                return rs_fail(err, INVALID, "nothing to send");
        return fetch(h, url, body, type, max_size, ret_data, ret_size, err);
}

int https_sibling(const char *url, const char *relative, char **ret, RsError *err) {
        size_t n = strcspn(url, "?#");

        while (n > 0 && url[n - 1] != '/')
                n--;
        if (n <= strlen("https://"))
                return rs_fail(err, INVALID, "the address names no file: %.80s", url);
        char *s = NULL;
        if (asprintf(&s, "%.*s%s", (int) n, url, relative) < 0)
                return rs_fail_oom(err);
        *ret = s;
        return 0;
}
