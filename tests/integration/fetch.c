/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fetch - room source on the command line, for tests against real and hostile servers.
 *
 *   fetch [options] open|get|optional URL opens, streams everything behind the first 64 KiB, or gets a small file
 *   --anchors PEM --cert PEM --key PEM    key: a file, or tpm:TCTI:KEYS-DIRECTORY
 *   --host H  --low-speed-ms N  --low-speed N  --deadline-ms N  --retries N  --retry-ms N  --cancel-ms N
 *   --pause-after-open COMMAND            runs COMMAND between opening and streaming (the file changes, say)
 *
 * Prints "ok BYTES SHA256" or "REASON text"; exit 0 or 1.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/pki/cms.h>
#include <reseal/source/https.h>
#include <reseal/tpm/key.h>

static HttpsConfig config;
static int cancel_fd;
static const char *anchors_path, *cert_path, *key_uri, *between;

static void on_alarm(union sigval v) {
        (void) v;
        (void) eventfd_write(cancel_fd, 1);
}

static void cancel_after(unsigned long ms) {
        struct sigevent e = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_alarm };
        struct itimerspec t = { .it_value = { .tv_sec = (time_t) (ms / 1000),
                                              .tv_nsec = (long) (ms % 1000) * 1000000 } };
        timer_t timer;

        if (timer_create(CLOCK_MONOTONIC, &e, &timer) == 0)
                (void) timer_settime(timer, 0, &t, NULL);
}

static int parse(int argc, char **argv) {
        enum { ANCHORS = 1, CERT, KEY, HOST, SPEED_MS, SPEED, DEADLINE, RETRIES, RETRY, CANCEL, BETWEEN };
        static const struct option OPTIONS[] = {
                { "anchors", 1, NULL, ANCHORS },        { "cert", 1, NULL, CERT },
                { "key", 1, NULL, KEY },                { "host", 1, NULL, HOST },
                { "low-speed-ms", 1, NULL, SPEED_MS },  { "low-speed", 1, NULL, SPEED },
                { "deadline-ms", 1, NULL, DEADLINE },   { "retries", 1, NULL, RETRIES },
                { "retry-ms", 1, NULL, RETRY },         { "cancel-ms", 1, NULL, CANCEL },
                { "pause-after-open", 1, NULL, BETWEEN }, { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", OPTIONS, NULL)) >= 0)
                switch (c) {
                case ANCHORS: anchors_path = optarg; break;
                case CERT: cert_path = optarg; break;
                case KEY: key_uri = optarg; break;
                case HOST: config.hosts[config.n_hosts++] = optarg; break;
                case SPEED_MS: config.low_speed_usec = strtoull(optarg, NULL, 10) * 1000; break;
                case SPEED: config.low_speed_bytes = strtoull(optarg, NULL, 10); break;
                case DEADLINE: config.deadline_usec = strtoull(optarg, NULL, 10) * 1000; break;
                case RETRIES: config.max_retries = (unsigned) strtoul(optarg, NULL, 10); break;
                case RETRY: config.retry_usec = strtoull(optarg, NULL, 10) * 1000; break;
                case CANCEL: cancel_after(strtoul(optarg, NULL, 10)); break;
                case BETWEEN: between = optarg; break;
                default: return -1;
                }
        return argc - optind == 2 ? optind : -1;
}

/* tpm:TCTI:DIRECTORY; the TPM and its key live until the process ends. */
static int load_tpm_key(const char *text, struct evp_pkey_st **ret, RsError *err) {
        static Tpm *tpm;
        static TpmKey key;
        static TpmConfig tc;
        _cleanup_(freep) uint8_t *name = NULL, *blob = NULL;
        _cleanup_(freep) char *copy = strdup(text), *lock = NULL;
        size_t size;
        char *dir = strrchr(copy, ':');

        *dir++ = '\0';
        if (asprintf(&lock, "%s/lock", dir) < 0 || tpm_config_set(&tc, "tcti", copy, err) < 0 ||
            tpm_config_set(&tc, "shared", "no", err) < 0 || tpm_config_set(&tc, "lock", lock, err) < 0)
                return -1;
        int dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
        if (file_read(dir_fd, RS_FILE_SRK_NAME, TPM_NAME_SIZE, &name, &size, err) <= 0 ||
            tpm_new(&tc, name, &tpm, err) < 0 ||
            file_read(dir_fd, RS_FILE_IDENTITY_KEY, TPM_BLOB_MAX, &blob, &size, err) <= 0 ||
            tpm_key_parse(SPAN(blob, size), &key, err) < 0)
                return -1;
        return tpm_key_evp(tpm, &key, ret, err);
}

typedef struct Sum {
        Digest *digest;
        uint64_t bytes;
} Sum;

static int on_bytes(void *userdata, Span bytes, RsError *err) {
        Sum *s = userdata;

        s->bytes += bytes.size;
        return digest_feed(s->digest, bytes, err);
}

static int fetch_all(Https *h, const char *url, Sum *sum, RsError *err) {
        _cleanup_(source_closep) Source *s = NULL;
        uint8_t first[SOURCE_PREFIX_MAX];

        int r = https_open(h, url, &s, err);
        if (r < 0)
                return r;
        size_t n = source_size(s) < sizeof(first) ? (size_t) source_size(s) : sizeof(first);
        r = source_read(s, 0, n, first, err);
        if (r >= 0)
                r = on_bytes(sum, SPAN(first, n), err);
        if (between && system(between) != 0)
                return rs_fail(err, INTERNAL, "%s", between);
        return r < 0 ? r : source_stream(s, n, source_size(s) - n, on_bytes, sum, err);
}

static int run(const char *verb, const char *url, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        _cleanup_(https_identity_freep) HttpsIdentity *identity = NULL;
        _cleanup_(https_freep) Https *h = NULL;
        _cleanup_(digest_freep) Digest *digest = NULL;
        _cleanup_(freep) uint8_t *data = NULL;
        struct evp_pkey_st *key;
        uint8_t sha[SHA256_SIZE];
        char hex[HEX_SIZE(SHA256_SIZE)];
        size_t size;

        int r = anchors_load(anchors_path, &anchors, err);
        if (r >= 0 && key_uri)
                r = strncmp(key_uri, "tpm:", 4) == 0 ? load_tpm_key(key_uri + 4, &key, err) : key_load(key_uri, &key, err);
        if (r >= 0 && key_uri)
                r = https_identity_new(cert_path, key, &identity, err);
        if (r >= 0)
                r = https_global_init(err);
        config.time_low = RS_BUILD_TIME; /* what a device knows before anybody has proven the time */
        config.anchors = anchors;
        config.identity = identity;
        config.cancel_fd = cancel_fd;
        if (r >= 0)
                r = https_new(&config, &h, err);
        if (r >= 0)
                r = digest_new(&digest, err);
        if (r >= 0)
                r = digest_start(digest, err);
        if (r < 0)
                return r;

        Sum sum = { .digest = digest };
        if (strcmp(verb, "open") != 0) {
                r = (strcmp(verb, "get") == 0 ? https_get : https_get_optional)(h, url, 8192, &data, &size, err);
                if (r >= 0)
                        r = on_bytes(&sum, SPAN(data, size), err);
        } else
                r = fetch_all(h, url, &sum, err);
        if (r >= 0)
                r = digest_finish(digest, sha, err);
        if (r < 0)
                return r;
        hex_encode(SPAN_ARRAY(sha), hex);
        printf("ok %llu %s\n", (unsigned long long) sum.bytes, hex);
        return 0;
}

int main(int argc, char **argv) {
        RsError err = RS_ERROR_INIT;

        program_environment(); /* as reseald, for which this stands */
        if (ossl_program(&err) < 0)
                return 2;
        config = HTTPS_CONFIG_DEFAULT;
        cancel_fd = eventfd(0, EFD_CLOEXEC);
        int first = parse(argc, argv);
        if (first < 0 || !anchors_path)
                return 2;
        if (run(argv[first], argv[first + 1], &err) >= 0)
                return 0;
        printf("%s %s\n", rs_reason_name(err.reason), err.text);
        return 1;
}
