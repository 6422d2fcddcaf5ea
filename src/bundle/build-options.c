/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * build-options - arguments into a manifest to be completed.
 *
 * Only what the manifest's own parser cannot judge later is judged here: the finished manifest is encoded and parsed
 * again before it is signed, so that a name outside its alphabet fails with the words of the format.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include "build-options.h"
#include "commands.h"
#include "pack.h"

#define LEVEL_DEFAULT 19
#define NOTES_FILE_MAX (RS_NOTES_MAX + 1u)

enum {
        OPT_LINE = 256,
        OPT_COMPATIBLE,
        OPT_RELEASE,
        OPT_EPOCH,
        OPT_VERSION,
        OPT_NOTES,
        OPT_IMAGE,
        OPT_SALT,
        OPT_NO_ENCRYPT,
        OPT_CONFIDENTIAL,
        OPT_TRANSPORT_CERT,
        OPT_CERT,
        OPT_KEY,
        OPT_CHAIN,
        OPT_NO_SIGN,
        OPT_ROOT,
        OPT_LEVEL,
        OPT_CREATED,
};

static const struct option long_options[] = {
        { "line", required_argument, NULL, OPT_LINE },
        { "compatible", required_argument, NULL, OPT_COMPATIBLE },
        { "release", required_argument, NULL, OPT_RELEASE },
        { "epoch", required_argument, NULL, OPT_EPOCH },
        { "version", required_argument, NULL, OPT_VERSION },
        { "notes-file", required_argument, NULL, OPT_NOTES },
        { "image", required_argument, NULL, OPT_IMAGE },
        { "salt", required_argument, NULL, OPT_SALT },
        { "no-encrypt", no_argument, NULL, OPT_NO_ENCRYPT },
        { "confidential", required_argument, NULL, OPT_CONFIDENTIAL },
        { "transport-cert", required_argument, NULL, OPT_TRANSPORT_CERT },
        { "cert", required_argument, NULL, OPT_CERT },
        { "key", required_argument, NULL, OPT_KEY },
        { "chain", required_argument, NULL, OPT_CHAIN },
        { "no-sign", no_argument, NULL, OPT_NO_SIGN },
        { "root", required_argument, NULL, OPT_ROOT },
        { "output", required_argument, NULL, 'o' },
        { "jobs", required_argument, NULL, 'j' },
        { "level", required_argument, NULL, OPT_LEVEL },
        { "created", required_argument, NULL, OPT_CREATED },
        { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

/* What is remembered while parsing only. */
typedef struct Parse {
        BuildOptions *o;
        int level;
        int confidential; /* -1: not said */
        bool has_created;
        bool has_salt;
        uint8_t salt[RS_SALT_SIZE];
        uint64_t created;
} Parse;

#define wrong(...) usage_error("build", __VA_ARGS__)

static int take_name(char *ret, size_t size, const char *option, const char *value) {
        if (strlen(value) >= size)
                return wrong("--%s: more than %zu characters", option, size - 1);
        memcpy(ret, value, strlen(value) + 1);
        return 0;
}

static int take_number(const char *option, const char *value, uint64_t min, uint64_t max, uint64_t *ret) {
        uint64_t v;

        if (text_to_u64(value, max, &v) < 0 || v < min)
                return wrong("--%s: '%s' is not a number from %llu to %llu", option, value,
                             (unsigned long long) min, (unsigned long long) max);
        *ret = v;
        return 0;
}

static int take_level(const char *value, int *ret) {
        uint64_t v = 0;
        int r;

        r = take_number("level", value, 1, PACK_LEVEL_MAX, &v);
        if (r == 0)
                *ret = (int) v;
        return r;
}

static int take_compatible(Manifest *m, const char *value) {
        for (;;) {
                const char *comma = strchr(value, ',');
                size_t n = comma ? (size_t) (comma - value) : strlen(value);

                if (m->n_compatible >= RS_COMPATIBLE_MAX)
                        return wrong("--compatible: more than %u", RS_COMPATIBLE_MAX);
                if (n == 0 || n > RS_NAME_MAX)
                        return wrong("--compatible: a name has 1 to %u characters", RS_NAME_MAX);
                memcpy(m->compatible[m->n_compatible], value, n);
                m->compatible[m->n_compatible++][n] = '\0';
                if (!comma)
                        return 0;
                value = comma + 1;
        }
}

static int take_image_option(Parse *p, unsigned image, const char *option) {
        ManifestImage *m = &p->o->manifest->images[image];
        uint64_t v = 0;
        int r = 0;

        if (strncmp(option, "level=", 6) == 0)
                r = take_level(option + 6, &p->o->images[image].level);
        else if (strncmp(option, "salt=", 5) == 0) {
                if (hex_decode(option + 5, m->salt, sizeof(m->salt)) < 0)
                        return wrong("--image: salt is 64 lower-case hex digits");
                p->o->images[image].has_salt = true;
        } else {
                r = take_number("image frame-chunks", option + strlen("frame-chunks="), 1,
                                RS_FRAME_CHUNKS_MAX, &v);
                if (r == 0)
                        m->frame_chunks = (uint32_t) v;
        }
        return r;
}

static bool is_image_option(const char *text) {
        return strncmp(text, "level=", 6) == 0 || strncmp(text, "salt=", 5) == 0 ||
               strncmp(text, "frame-chunks=", 13) == 0;
}

/* CLASS=PATH[,option...]: options are cut off from the end, so that a path may hold a comma. */
static int take_image(Parse *p, const char *value, RsError *err) {
        Manifest *m = p->o->manifest;
        const char *equals = strchr(value, '=');
        ImageOptions *image;
        char *comma;
        int r;

        if (m->n_images >= RS_IMAGES_MAX)
                return wrong("--image: more than %u", RS_IMAGES_MAX);
        if (!equals || equals == value || equals[1] == '\0')
                return wrong("--image: CLASS=PATH expected");
        if ((size_t) (equals - value) > RS_CLASS_MAX)
                return wrong("--image: a class has at most %u characters", RS_CLASS_MAX);
        image = &p->o->images[m->n_images];
        memcpy(m->images[m->n_images].class_name, value, (size_t) (equals - value));
        m->images[m->n_images].frame_chunks = RS_FRAME_CHUNKS_MAX;
        image->path = strdup(equals + 1);
        if (!image->path)
                return rs_fail_oom(err);
        m->n_images++;
        while ((comma = strrchr(image->path, ',')) && is_image_option(comma + 1)) {
                *comma = '\0';
                r = take_image_option(p, m->n_images - 1, comma + 1);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int take_notes(Manifest *m, const char *path, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, NOTES_FILE_MAX, &data, &size, err);
        if (r < 0)
                return r;
        if (r == 0)
                return rs_fail_errno(err, ENOENT, "%s", path);
        if (strlen((const char *) data) != size)
                return rs_fail(err, MANIFEST, "%s: holds a NUL byte", path);
        free(m->notes);
        m->notes = (char *) TAKE_PTR(data);
        return 0;
}

static int take_yes_no(const char *option, const char *value, int *ret) {
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
                return wrong("--%s: yes or no", option);
        *ret = value[0] == 'y';
        return 0;
}

/* Options that fill the manifest. */
static int take_manifest_option(Parse *p, int c, RsError *err) {
        Manifest *m = p->o->manifest;
        uint64_t v = 0;
        int r;

        switch (c) {
        case OPT_LINE:
                return take_name(m->line, sizeof(m->line), "line", optarg);
        case OPT_COMPATIBLE:
                return take_compatible(m, optarg);
        case OPT_RELEASE:
                return take_number("release", optarg, 1, INT64_MAX, &m->release);
        case OPT_EPOCH:
                r = take_number("epoch", optarg, 0, INT32_MAX, &v);
                m->epoch = (uint32_t) v;
                return r;
        case OPT_VERSION:
                return take_name(m->version, sizeof(m->version), "version", optarg);
        case OPT_NOTES:
                return take_notes(m, optarg, err);
        case OPT_CREATED:
                p->has_created = true;
                return take_number("created", optarg, 0, 1ull << 40, &p->created);
        default:
                return take_image(p, optarg, err);
        }
}

/* Options that say how. */
static int take_way_option(Parse *p, int c, char **argv) {
        BuildOptions *o = p->o;
        uint64_t v = 0;
        int r = 0;

        switch (c) {
        case OPT_SALT:
                if (hex_decode(optarg, p->salt, sizeof(p->salt)) < 0)
                        return wrong("--salt: 64 lower-case hex digits");
                p->has_salt = true;
                break;
        case OPT_NO_ENCRYPT:
                o->encrypt = false;
                break;
        case OPT_CONFIDENTIAL:
                return take_yes_no("confidential", optarg, &p->confidential);
        case OPT_TRANSPORT_CERT:
                if (o->n_transport_certs >= TRANSPORT_CERTS_MAX)
                        return wrong("--transport-cert: more than %u", TRANSPORT_CERTS_MAX);
                o->transport_certs[o->n_transport_certs++] = optarg;
                break;
        case OPT_CERT:
                o->signer.cert = optarg;
                break;
        case OPT_KEY:
                o->signer.key = optarg;
                break;
        case OPT_CHAIN:
                o->signer.chain = optarg;
                break;
        case OPT_NO_SIGN:
                o->sign = false;
                break;
        case OPT_ROOT:
                o->root = optarg;
                break;
        case 'o':
                o->output = optarg;
                break;
        case 'j':
                r = take_number("jobs", optarg, 1, PACK_JOBS_MAX, &v);
                o->n_jobs = (unsigned) v;
                break;
        case OPT_LEVEL:
                return take_level(optarg, &p->level);
        case 'q':
                o->quiet = true;
                break;
        default:
                return usage_error_getopt("build", c, argv);
        }
        return r;
}

static int check_complete(const BuildOptions *o, const Parse *p) {
        const Manifest *m = o->manifest;

        if (!*m->line || m->n_compatible == 0 || m->release == 0 || !*m->version || m->n_images == 0 ||
            !o->output)
                return wrong("--line, --compatible, --release, --version, --image and --output are needed");
        if (o->sign && (!o->signer.cert || !o->signer.key))
                return wrong("--cert and --key are needed, or --no-sign");
        if (!o->sign && (o->signer.cert || o->signer.key || o->root))
                return wrong("--no-sign goes with none of --cert, --key and --root");
        if (o->encrypt && o->n_transport_certs == 0)
                return wrong("--transport-cert is needed, or --no-encrypt");
        if (!o->encrypt && o->n_transport_certs > 0)
                return wrong("--no-encrypt and --transport-cert exclude each other");
        if (!o->encrypt && p->confidential == 1)
                return wrong("a confidential release cannot be built with --no-encrypt");
        return 0;
}

/* --created, else SOURCE_DATE_EPOCH (reproducible-builds.org), else now. */
static int find_created(const Parse *p, uint64_t *ret) {
        const char *epoch = getenv("SOURCE_DATE_EPOCH");

        if (p->has_created)
                *ret = p->created;
        else if (epoch && *epoch) {
                if (text_to_u64(epoch, 1ull << 40, ret) < 0)
                        return wrong("SOURCE_DATE_EPOCH is not a number of seconds");
        } else
                *ret = (uint64_t) time(NULL);
        return 0;
}

static int fill_defaults(Parse *p, RsError *err) {
        BuildOptions *o = p->o;
        Manifest *m = o->manifest;

        for (uint32_t i = 0; i < m->n_images; i++) {
                if (o->images[i].level == 0)
                        o->images[i].level = p->level;
                if (o->images[i].has_salt)
                        continue;
                if (p->has_salt)
                        memcpy(m->images[i].salt, p->salt, sizeof(p->salt));
                else if (getrandom(m->images[i].salt, RS_SALT_SIZE, 0) != RS_SALT_SIZE)
                        return rs_fail_errno(err, errno, "random salt");
        }
        if (o->n_jobs == 0) {
                long n = sysconf(_SC_NPROCESSORS_ONLN);

                o->n_jobs = n < 1 ? 1 : n > (long) PACK_JOBS_MAX ? PACK_JOBS_MAX : (unsigned) n;
        }
        m->confidential = p->confidential >= 0 ? p->confidential == 1 : o->encrypt;
        return find_created(p, &m->created);
}

void build_options_done(BuildOptions *o) {
        o->manifest = manifest_free(o->manifest);
        for (unsigned i = 0; i < RS_IMAGES_MAX; i++)
                free(o->images[i].path);
}

int build_options_parse(int argc, char **argv, BuildOptions *ret, RsError *err) {
        Parse p = { .o = ret, .level = LEVEL_DEFAULT, .confidential = -1 };
        int c, r;

        *ret = (BuildOptions){ .encrypt = true, .sign = true, .manifest = manifest_new() };
        if (!ret->manifest)
                return rs_fail_oom(err);
        while ((c = getopt_long(argc, argv, ":o:j:qh", long_options, NULL)) >= 0) {
                if (c == 'h') {
                        ret->help = true;
                        return 0;
                }
                if ((c >= OPT_LINE && c <= OPT_IMAGE) || c == OPT_CREATED)
                        r = take_manifest_option(&p, c, err);
                else
                        r = take_way_option(&p, c, argv);
                if (r != 0)
                        return r;
        }
        if (optind < argc)
                return wrong("'%s': no argument expected", argv[optind]);
        r = check_complete(ret, &p);
        if (r != 0)
                return r;
        return fill_defaults(&p, err);
}
