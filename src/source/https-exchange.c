/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * https-exchange - one HTTP request, driven to its end.
 *
 * curl's multi interface is used with a single transfer, so that the waiting is ours: the cancel descriptor
 * wakes it, and the two clocks run in one place.  The slow-source clock stands still while our own sink
 * works (the slot may be slow, the source is not to blame) and curl's own low-speed option could not know
 * that; the other is the deadline of the whole job.
 *
 * Nothing of the environment steers a request: no proxy variable, no .netrc, no cookies, no system trust.
 * Redirects are not followed by curl: where to is decided in https.c.  Byte counts are ours
 * (CURLOPT_MAXFILESIZE stops a running transfer only since curl 8.4, and Debian 12 has 7.88): the sink
 * never gets a byte more than was asked for.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/ossl.h>

#include "https-private.h"

static size_t on_head(char *data, size_t size, size_t n, void *userdata) {
        Exchange *x = userdata;
        Span line = SPAN(data, size * n);

        x->head_bytes += line.size;
        x->window_bytes += line.size;
        if (x->head_bytes > HEAD_BYTES_MAX) {
                x->failure = rs_fail(x->err, TOO_MUCH, "a head of more than %u bytes", HEAD_BYTES_MAX);
                return 0;
        }
        while (line.size && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
                line.size--;
        if (line.size) {
                if (!x->judged)  /* what comes behind the body as a trailer changes nothing any more */
                        answer_feed(&x->answer, line);
                return size * n;
        }
        if (x->answer.status < 200 || x->judged)
                return size * n;
        x->judged = true;
        x->failure = answer_judge(&x->answer, &x->question, x->validator, x->err);
        return x->failure < 0 ? 0 : size * n;
}

static uint64_t body_limit(const Exchange *x) {
        const Question *q = &x->question;

        return q->ranged ? x->answer.range.last - x->answer.range.first + 1 : q->max_size;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Exchange *x = userdata;
        size_t bytes = size * n;

        x->window_bytes += bytes;
        if (x->answer.status >= 300) {
                size_t room = sizeof(x->body) - x->body_size;
                if (room == 0)
                        return 0; /* enough of an error page; https_exchange looks at the status, not at this */
                memcpy(x->body + x->body_size, data, bytes < room ? bytes : room);
                x->body_size += bytes < room ? bytes : room;
                return bytes;
        }
        if (!x->judged || bytes > body_limit(x) - x->got) {
                x->failure = rs_fail(x->err, TOO_MUCH, "the answer has more than the %llu bytes it may have",
                                     (unsigned long long) body_limit(x));
                return 0;
        }

        uint64_t before = clock_boottime_usec();
        x->failure = x->sink(x->userdata, SPAN(data, bytes), x->err);
        x->window_start += clock_boottime_usec() - before;
        if (x->failure < 0)
                return 0;
        x->got += bytes;
        return bytes;
}

static int set_options(Exchange *x, struct curl_slist *headers, const char *range, RsError *err) {
        CURL *e = x->h->easy;
        bool ok = true;

#define SET(option, value) (ok = ok && curl_easy_setopt(e, CURLOPT_##option, (value)) == CURLE_OK)
        curl_easy_reset(e); /* keeps connections */
        SET(URL, x->url);
        SET(PROTOCOLS_STR, "https");
        SET(REDIR_PROTOCOLS_STR, "https");
        SET(FOLLOWLOCATION, 0L);
        SET(DISALLOW_USERNAME_IN_URL, 1L);
        SET(HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1); /* 2 costs a fifth more CPU and gains one stream nothing */
        SET(SSLVERSION, (long) (CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3));
        SET(CAINFO, NULL);
        SET(CAPATH, NULL);
        SET(CA_CACHE_TIMEOUT, 0L);
        SET(SSL_VERIFYPEER, 1L);
        SET(SSL_VERIFYHOST, 2L);
        SET(SSL_SESSIONID_CACHE, 0L); /* each connection proves both sides anew */
        SET(SSL_CTX_FUNCTION, https_setup_tls);
        SET(SSL_CTX_DATA, x->h);
        SET(PROXY, "");
        SET(NOPROXY, "*");
        SET(NETRC, (long) CURL_NETRC_IGNORED);
        SET(USERAGENT, "reseal/" RS_VERSION);
        SET(HTTPHEADER, headers);
        SET(RANGE, range);
        SET(BUFFERSIZE, 65536L); /* measured: 1.4 times cheaper than 16 KiB, more gains nothing */
        SET(HTTP_CONTENT_DECODING, 0L); /* also for Transfer-Encoding: curl would decode what nobody asked for */
        SET(QUICK_EXIT, 1L); /* a resolver that waits for a silent name server is left behind, not joined */
        SET(NOSIGNAL, 1L);
        SET(TCP_KEEPALIVE, 1L);
        SET(CONNECTTIMEOUT_MS, (long) (x->h->config.connect_timeout_usec / 1000));
        SET(HEADERFUNCTION, on_head);
        SET(HEADERDATA, x);
        SET(WRITEFUNCTION, on_body);
        SET(WRITEDATA, x);
        SET(ERRORBUFFER, x->h->message);
        if (x->post.size) {
                SET(POSTFIELDSIZE, (long) x->post.size);
                SET(POSTFIELDS, x->post.data);
        }
#undef SET
        x->h->message[0] = '\0';
        if (!ok)
                return rs_fail(err, INTERNAL, "curl does not take the options of a request");
        return 0;
}

/* Deadlines and cancellation, between two turns of curl. */
static int check_clocks(Exchange *x, RsError *err) {
        const HttpsConfig *c = &x->h->config;
        uint64_t now = clock_boottime_usec();

        if (now >= x->h->deadline)
                return rs_fail(err, SLOW, "not done within %llu seconds", (unsigned long long) (c->deadline_usec / 1000000));
        if (now < x->window_start + c->low_speed_usec)
                return 0;
        if (x->window_bytes * 1000000 < c->low_speed_bytes * c->low_speed_usec) {
                x->again = true;
                return rs_fail(err, SLOW, "%llu bytes in %llu ms", (unsigned long long) x->window_bytes,
                               (unsigned long long) (c->low_speed_usec / 1000));
        }
        x->window_start = now;
        x->window_bytes = 0;
        return 0;
}

/* Nobody here resumes a session or changes keys: a server that sends more than a few of these only spends our time. */
static int check_tls(const Exchange *x, RsError *err) {
        return x->h->n_post_handshake > POST_HANDSHAKE_MAX
                       ? rs_fail(err, TOO_MUCH, "more than %u messages of TLS behind the handshake", POST_HANDSHAKE_MAX)
                       : 0;
}

static int drive(Exchange *x, CURLcode *ret, RsError *err) {
        struct curl_waitfd cancel = { .fd = x->h->config.cancel_fd, .events = CURL_WAIT_POLLIN };
        unsigned n_extra = cancel.fd >= 0 ? 1 : 0;

        x->window_start = clock_boottime_usec();
        for (;;) {
                int running, queued, r;
                CURLMcode mc = curl_multi_perform(x->h->multi, &running);
                if (mc != CURLM_OK)
                        return rs_fail(err, INTERNAL, "curl: %s", curl_multi_strerror(mc));
                CURLMsg *m = curl_multi_info_read(x->h->multi, &queued);
                if (m && m->msg == CURLMSG_DONE) {
                        *ret = m->data.result;
                        return 0;
                }
                r = check_tls(x, err);
                if (r >= 0)
                        r = check_clocks(x, err);
                if (r < 0)
                        return r;
                cancel.revents = 0;
                mc = curl_multi_poll(x->h->multi, n_extra ? &cancel : NULL, n_extra, 500, NULL);
                if (mc != CURLM_OK)
                        return rs_fail(err, INTERNAL, "curl: %s", curl_multi_strerror(mc));
                if (cancel.revents)
                        return rs_fail(err, CANCELLED, "while waiting for the source");
        }
}

/* The alerts by which a TLS 1.3 server refuses the client's certificate; they may come with the first read only. */
static bool peer_refused_us(const char *message) {
        static const char *const ALERTS[] = { "alert certificate", "alert bad certificate", "alert unknown ca",
                                              "alert unsupported certificate", "alert access denied" };

        for (size_t i = 0; i < ELEMENTSOF(ALERTS); i++)
                if (strstr(message, ALERTS[i]))
                        return true;
        return false;
}

/*
 * The key in the TPM raises its failure as OpenSSL's "user" library; that name in the message says that this handshake
 * ended there.  Otherwise a TPM that is away would read as a source that cannot prove who it is.
 */
static bool key_refused(const Exchange *x, const char *message, RsError *ret) {
        const HttpsConfig *c = &x->h->config;

        return strstr(message, "lib(128)") && c->key_failure && c->key_failure(c->key_userdata, ret);
}

/* curl says so too when a line of the head is longer than it cares to hold (100 KiB). */
static int fail_of_memory(const Exchange *x, RsError *err) {
        void *as_much = x->judged ? NULL : malloc(CURL_MAX_HTTP_HEADER);
        bool there_is = as_much != NULL;

        free(as_much);
        return there_is ? rs_fail(err, TOO_MUCH, "a line of the head that is longer than any may be") : rs_fail_oom(err);
}

static int fail_of_curl(Exchange *x, CURLcode code, RsError *err) {
        const char *message = x->h->message[0] ? x->h->message : curl_easy_strerror(code);
        const RsError *tls = &x->h->tls_error;
        RsError key = RS_ERROR_INIT;

        if (tls->reason == RS_REASON_NOT_PROVISIONED)
                return rs_fail(err, NOT_PROVISIONED, "%s", tls->text);
        if (tls->reason != RS_REASON_NONE)
                return rs_fail(err, AUTH_SOURCE, "%s: %s", rs_reason_name(tls->reason), tls->text);
        if (key_refused(x, message, &key)) {
                x->again = key.reason == RS_REASON_TPM_BUSY;
                return rs_pass(err, &key);
        }
        switch ((int) code) {
        case CURLE_PEER_FAILED_VERIFICATION:
                return rs_fail(err, AUTH_SOURCE, "%s", message);
        case CURLE_SSL_CONNECT_ERROR:
                if (peer_refused_us(message))
                        return rs_fail(err, AUTH_DEVICE, "%s", message);
                if (strstr(message, "SYSCALL") || strstr(message, "unexpected eof")) {
                        x->again = true;
                        return rs_fail(err, CONNECT, "%s", message);
                }
                return rs_fail(err, AUTH_SOURCE, "%s", message);
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT:
        case CURLE_OPERATION_TIMEDOUT:
                x->again = true;
                return rs_fail(err, CONNECT, "%s", message);
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
                if (peer_refused_us(message))
                        return rs_fail(err, AUTH_DEVICE, "%s", message);
                x->again = true;
                if (!x->judged)
                        return rs_fail(err, CONNECT, "%s", message);
                return rs_fail(err, TRUNCATED, "%s", message);
        case CURLE_PARTIAL_FILE:
                x->again = true;
                return rs_fail(err, TRUNCATED, "%s", message);
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_BAD_CONTENT_ENCODING:
                return rs_fail(err, HTTP, "%s", message);
        case CURLE_OUT_OF_MEMORY:
                return fail_of_memory(x, err);
        default:
                return rs_fail(err, INTERNAL, "curl %d: %s", (int) code, message);
        }
}

static int conclude(Exchange *x, CURLcode code, RsError *err) {
        if (x->failure < 0)
                return x->failure; /* a callback refused and has said why */
        if (x->judged && x->answer.status >= 300) {
                const char *to = NULL;
                if (x->answer.status < 400)
                        (void) curl_easy_getinfo(x->h->easy, CURLINFO_REDIRECT_URL, &to);
                if (to) {
                        x->location = strdup(to);
                        return x->location ? 0 : rs_fail_oom(err);
                }
                curl_off_t wait = 0;
                if (curl_easy_getinfo(x->h->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
                        x->retry_after_usec = (uint64_t) (wait < 3600 ? wait : 3600) * 1000000;
                return answer_refusal(&x->answer, SPAN(x->body, x->body_size), x->validator, &x->again, err);
        }
        if (code != CURLE_OK)
                return fail_of_curl(x, code, err);
        if (!x->judged)
                return rs_fail(err, HTTP, "no answer");
        if (x->question.ranged && x->got != body_limit(x)) {
                x->again = true;
                return rs_fail(err, TRUNCATED, "%llu bytes of %llu", (unsigned long long) x->got,
                               (unsigned long long) body_limit(x));
        }
        return 1;
}

static void slist_freep(struct curl_slist **list) {
        curl_slist_free_all(*list);
}

/* Range and If-Range: only the very version known so far is asked for. */
static int prepare(Exchange *x, struct curl_slist **headers, char range[64], RsError *err) {
        const Validator *v = x->validator;
        char line[ANSWER_TAG_MAX + 16];

        range[0] = '\0';
        if (x->post.size) {
                (void) snprintf(line, sizeof(line), "Content-Type: %s", x->post_type);
                *headers = curl_slist_append(NULL, line);
                return *headers ? 0 : rs_fail_oom(err);
        }
        if (!x->question.ranged)
                return 0;
        (void) snprintf(range, 64, "%llu-%llu", (unsigned long long) x->question.first,
                        (unsigned long long) x->question.last);
        if (!v->known)
                return 0;
        (void) snprintf(line, sizeof(line), "If-Range: %s", v->etag[0] ? v->etag : v->last_modified);
        *headers = curl_slist_append(NULL, line);
        return *headers ? 0 : rs_fail_oom(err);
}

int https_exchange(Exchange *x, RsError *err) {
        OSSL_IN_CONTEXT; /* curl makes its SSL_CTX in the default one */
        _cleanup_(slist_freep) struct curl_slist *headers = NULL;
        char range[64];
        CURLcode code = CURLE_OK;

        x->err = err;
        int r = prepare(x, &headers, range, err);
        if (r < 0)
                return r;
        r = set_options(x, headers, x->question.ranged ? range : NULL, err);
        if (r < 0)
                return r;
        if (curl_multi_add_handle(x->h->multi, x->h->easy) != CURLM_OK)
                return rs_fail(err, INTERNAL, "curl does not take the request");
        r = drive(x, &code, err);
        if (r >= 0)
                r = conclude(x, code, err);
        (void) curl_multi_remove_handle(x->h->multi, x->h->easy);
        (void) curl_easy_setopt(x->h->easy, CURLOPT_HTTPHEADER, NULL); /* the list ends with this function */
        return r;
}
