/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * answer - does the server answer what was asked?
 *
 * A bundle is fetched in several ranges, over connections that may break.  What must never happen is that
 * bytes of two versions of a file are taken for one: each range answer therefore states the range that was
 * asked for, exactly, and the same entity tag (or date) and total size as the first one did.  The digests
 * in the signed table would catch a splice too; here it is caught before the bytes are used, and named for
 * what it is.
 *
 * If-Range makes a well-behaved server send the whole file (200) when it has changed.  A server that
 * ignores ranges sends 200 as well; the validator tells the two apart.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include <reseal/base/text.h>

#include "answer.h"

static Span trim(Span s) {
        while (s.size && (s.data[0] == ' ' || s.data[0] == '\t')) {
                s.data++;
                s.size--;
        }
        while (s.size && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
                s.size--;
        return s;
}

/* Digits up to `end` (or to the end for 0), which is consumed too. */
static int take_number(Span *s, char end, uint64_t *ret) {
        uint64_t v = 0;
        size_t n = 0;

        for (; n < s->size && s->data[n] >= '0' && s->data[n] <= '9'; n++) {
                if (n >= 18)  /* 10^18 fits; no file is larger */
                        return -EBADMSG;
                v = v * 10 + (uint64_t) (s->data[n] - '0');
        }
        if (n == 0)
                return -EBADMSG;
        if (end) {
                if (n == s->size || s->data[n] != (uint8_t) end)
                        return -EBADMSG;
                n++;
        } else if (n != s->size)
                return -EBADMSG;
        s->data += n;
        s->size -= n;
        *ret = v;
        return 0;
}

int content_range_parse(Span value, ContentRange *ret) {
        static const char UNIT[] = "bytes ";
        ContentRange c;
        Span s = trim(value);

        if (s.size < sizeof(UNIT) - 1 || strncasecmp((const char *) s.data, UNIT, sizeof(UNIT) - 1) != 0)
                return -EBADMSG;
        s.data += sizeof(UNIT) - 1;
        s.size -= sizeof(UNIT) - 1;
        if (take_number(&s, '-', &c.first) < 0 || take_number(&s, '/', &c.last) < 0 || take_number(&s, 0, &c.total) < 0)
                return -EBADMSG;
        if (c.first > c.last || c.last >= c.total)
                return -EBADMSG;
        *ret = c;
        return 0;
}

static bool header_is(Span line, const char *name, Span *ret_value) {
        size_t n = strlen(name);

        if (line.size <= n || line.data[n] != ':' || strncasecmp((const char *) line.data, name, n) != 0)
                return false;
        *ret_value = trim(SPAN(line.data + n + 1, line.size - n - 1));
        return true;
}

/* A field that stands twice, is too long or holds control bytes makes the answer unusable as a whole. */
static void take_text(Answer *a, Span value, char ret[ANSWER_TAG_MAX]) {
        bool bad = ret[0] != '\0' || value.size == 0 || value.size >= ANSWER_TAG_MAX;

        for (size_t i = 0; !bad && i < value.size; i++)
                bad = value.data[i] < 0x20 || value.data[i] > 0x7e;
        if (bad) {
                a->broken = true;
                return;
        }
        memcpy(ret, value.data, value.size);
        ret[value.size] = '\0';
}

static void feed_status(Answer *a, Span line) {
        unsigned status = 0;

        *a = (Answer){ 0 };
        for (size_t i = 0; i < line.size; i++) {
                if (line.data[i] != ' ')
                        continue;
                for (size_t n = i + 1; n < line.size && n < i + 4; n++)
                        status = line.data[n] >= '0' && line.data[n] <= '9' ? status * 10 + line.data[n] - '0' : 0;
                break;
        }
        a->status = status;
}

void answer_feed(Answer *a, Span line) {
        Span value;

        if (line.size >= 5 && memcmp(line.data, "HTTP/", 5) == 0)
                feed_status(a, line);
        else if (header_is(line, "Content-Range", &value)) {
                if (a->has_range || content_range_parse(value, &a->range) < 0)
                        a->broken = true;
                a->has_range = true;
        } else if (header_is(line, "Content-Length", &value)) {
                if (a->has_length || take_number(&value, 0, &a->length) < 0)
                        a->broken = true;
                a->has_length = true;
        } else if (header_is(line, "ETag", &value))
                take_text(a, value, a->etag);
        else if (header_is(line, "Last-Modified", &value))
                take_text(a, value, a->last_modified);
        else if (header_is(line, "Content-Encoding", &value))
                a->broken = true; /* none was offered: bytes and ranges would no longer be those of the file */
        else if (header_is(line, "Transfer-Encoding", &value)) {
                /* curl has decoders for more, which nobody asked for; even an error page must not wake them */
                if (a->chunked || value.size != 7 || strncasecmp((const char *) value.data, "chunked", 7) != 0)
                        a->bad_transfer = true;
                a->chunked = true;
        }
}

/* A weak tag promises less than equal bytes and must not be used with If-Range (RFC 9110 13.1.5). */
static bool is_strong(const char *etag) {
        return etag[0] == '"';
}

static int judge_version(const Answer *a, Validator *v, RsError *err) {
        const char *etag = is_strong(a->etag) ? a->etag : "";

        if (v->known) {
                if (strcmp(v->etag, etag) != 0 || strcmp(v->last_modified, a->last_modified) != 0)
                        return rs_fail(err, SOURCE_CHANGED, "the file has another version now");
                if (v->total != a->range.total)
                        return rs_fail(err, SOURCE_CHANGED, "the file had %llu bytes, now %llu",
                                       (unsigned long long) v->total, (unsigned long long) a->range.total);
                return 0;
        }
        if (!etag[0] && !a->last_modified[0])
                return rs_fail(err, HTTP, "neither a strong ETag nor Last-Modified: ranges could not be kept apart");
        *v = (Validator){ .known = true, .total = a->range.total };
        memcpy(v->etag, etag, strlen(etag) + 1);
        memcpy(v->last_modified, a->last_modified, sizeof(v->last_modified));
        return 0;
}

static int judge_range(const Answer *a, const Question *q, Validator *v, RsError *err) {
        const ContentRange *c = &a->range;

        if (!a->has_range)
                return rs_fail(err, HTTP, "206 without one Content-Range");
        bool cut = q->open_end && c->last < q->last && c->last == c->total - 1;
        if (c->first != q->first || (c->last != q->last && !cut))
                return rs_fail(err, HTTP, "bytes %llu-%llu asked for, %llu-%llu answered",
                               (unsigned long long) q->first, (unsigned long long) q->last,
                               (unsigned long long) c->first, (unsigned long long) c->last);
        int r = judge_version(a, v, err);
        if (r < 0)
                return r;
        if (a->has_length && a->length > c->last - c->first + 1)
                return rs_fail(err, TOO_MUCH, "%llu bytes announced for a range of %llu", (unsigned long long) a->length,
                               (unsigned long long) (c->last - c->first + 1));
        return 0;
}

int answer_judge(const Answer *a, const Question *q, Validator *v, RsError *err) {
        if (a->bad_transfer)
                return rs_fail(err, HTTP, "a transfer encoding other than chunked");
        if (a->status >= 300)
                return 0;
        if (a->broken)
                return rs_fail(err, HTTP, "a header field is malformed, repeated or not acceptable");
        if (q->ranged && a->status == 206)
                return judge_range(a, q, v, err);
        if (q->ranged && a->status == 200) {
                if (v->known && (strcmp(v->etag, is_strong(a->etag) ? a->etag : "") != 0 ||
                                 strcmp(v->last_modified, a->last_modified) != 0))
                        return rs_fail(err, SOURCE_CHANGED, "the file has another version now");
                return rs_fail(err, HTTP, "the server ignores ranges");
        }
        if (!q->ranged && a->status == 200) {
                if (!a->has_length && !a->chunked)
                        return rs_fail(err, HTTP, "neither a length nor chunks: a cut could not be told from the end");
                if (a->has_length && a->length > q->max_size)
                        return rs_fail(err, TOO_MUCH, "%llu bytes announced, at most %llu expected",
                                       (unsigned long long) a->length, (unsigned long long) q->max_size);
                return 0;
        }
        return rs_fail(err, HTTP, "status %u", a->status);
}

int answer_refusal(const Answer *a, Span body, const Validator *v, bool *ret_again, RsError *err) {
        static const char TLS_WORDS[] = "SSL certificate"; /* nginx answers 400 when the client's is bad or missing */

        *ret_again = false;
        switch (a->status) {
        case 400:
                if (body.size && memmem(body.data, body.size, TLS_WORDS, sizeof(TLS_WORDS) - 1))
                        return rs_fail(err, AUTH_DEVICE, "status 400: the server refuses the device's certificate");
                break;
        case 401:
                return rs_fail(err, AUTH_DEVICE, "status 401");
        case 403:
                return rs_fail(err, ENTITLE, "status 403");
        case 404:
        case 410:
                return rs_fail(err, NOT_FOUND, "status %u", a->status);
        case 412:
                return rs_fail(err, SOURCE_CHANGED, "status 412");
        case 416:
                if (v->known)
                        return rs_fail(err, SOURCE_CHANGED, "the range does not exist any more");
                break;
        case 408:
        case 425:
        case 429:
        case 500:
        case 502:
        case 503:
        case 504:
                *ret_again = true;
                break;
        default:
                break;
        }
        return rs_fail(err, HTTP, "status %u", a->status);
}
