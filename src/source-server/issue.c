/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * issue - makes tickets.
 *
 * A fleet means many small files.  Made durable one by one they would cost two flushes each; so all are first written
 * under temporary names, flushed by one syncfs, renamed, and the directory is flushed once.  A server that reads
 * meanwhile sees a ticket whole or not at all; after a power cut the command is run again and gives new tickets, which
 * harms nothing: each is good by itself.
 *
 * A source that cannot verify its own ticket would only find out from devices.  With the source root at hand each
 * ticket is therefore judged before it is written, by the same code that a device uses.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/text.h>
#include <reseal/crypto/hpke.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>

#include "issue.h"

#define DEVICE_HEX HEX_SIZE(RS_DIGEST_SIZE)
#define TEMPORARY ".new"

/* -- one ticket ------------------------------------------------------------------------------------------------- */

static int check_device(const TicketRules *rules, X509 *device, RsError *err) {
        const PathRules path = {
                .eku_oid = RS_OID_EKU_UNWRAP,
                .key_agreement = true,
                .time_low = rules->now,
                .time_high = rules->now,
                .crls = rules->crls,
        };
        SignerInfo ignored;

        return rules->device_ca ? path_verify(device, NULL, rules->device_ca, &path, &ignored, err) : 0;
}

static int device_point(X509 *device, uint8_t ret[RS_POINT_SIZE], RsError *err) {
        EVP_PKEY *key = X509_get0_pubkey(device);
        size_t n = 0;

        if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC || EVP_PKEY_get_bits(key) != 256 ||
            EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, ret, RS_POINT_SIZE, &n) != 1 ||
            n != RS_POINT_SIZE)
                return rs_fail_ssl(err, ALGORITHM, "the device's certificate does not hold a P-256 key");
        return 0;
}

static int verify_own(const TicketRules *rules, Span der, RsError *err) {
        const PathRules path = {
                .eku_oid = RS_OID_EKU_TICKET,
                .time_low = rules->now,
                .time_high = rules->now,
                .crls = rules->crls,
        };
        _cleanup_(freep) uint8_t *content = NULL;
        SignerInfo ignored;
        size_t size;
        int r;

        if (!rules->source_root)
                return 0;
        r = cms_verify(der, rules->source_root, &path, RS_TICKET_MAX, &content, &size, &ignored, err);
        return r < 0 ? rs_context(err, "devices would refuse the ticket") : 0;
}

int issue_ticket(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                 X509 *device, Encoder *ret_der, uint8_t ret_device[RS_DIGEST_SIZE], RsError *err) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT;
        uint8_t point[RS_POINT_SIZE], info[TICKET_INFO_SIZE];
        Ticket ticket = { .issued = rules->now, .not_after = rules->not_after };
        int r;

        if (secret_size(content_key) != RS_KEY_SIZE)
                return rs_fail(err, INVALID, "content key of %zu bytes", secret_size(content_key));
        r = check_device(rules, device, err);
        if (r < 0)
                return r;
        r = device_point(device, point, err);
        if (r < 0)
                return r;
        r = path_spki_sha256(device, ticket.device, err);
        if (r < 0)
                return r;
        memcpy(ticket.bundle, bundle, sizeof(ticket.bundle));
        if (RAND_bytes_ex(ossl_context(), ticket.id, sizeof(ticket.id), 0) != 1)
                return rs_fail_ssl(err, INTERNAL, "no random numbers");

        ticket_info(&ticket, info);
        r = hpke_seal(point, SPAN_ARRAY(info), SPAN_NULL, content_key, ticket.enc, ticket.ct, err);
        if (r < 0)
                return r;
        r = ticket_encode(&ticket, &json, err);
        if (r < 0)
                return r;
        r = cms_sign(encoder_view(&json), rules->ticket_cert, rules->ticket_key, rules->chain, ret_der, err);
        if (r < 0)
                return r;
        if (ret_der->size > RS_TICKET_MAX)
                return rs_fail(err, INVALID, "a ticket of %zu bytes: the chain is too long", ret_der->size);
        r = verify_own(rules, encoder_view(ret_der), err);
        if (r < 0)
                return r;

        memcpy(ret_device, ticket.device, RS_DIGEST_SIZE);
        return 0;
}

/* -- many tickets ----------------------------------------------------------------------------------------------- */

#define SERIAL_MAX 64u
#define NAME_SIZE (SERIAL_MAX + 1 + DEVICE_HEX + sizeof(TEMPORARY))

typedef struct Written {
        char device[DEVICE_HEX];
        char name[SERIAL_MAX + 1 + DEVICE_HEX]; /* of its file, without the end */
        char subject[160];
} Written;

typedef struct Batch {
        int dir_fd;
        bool flat;
        Written *written;
        size_t n_written, n_allocated;
} Batch;

static void batch_done(Batch *b) {
        closep(&b->dir_fd);
        free(b->written);
}

/*
 * The serial number of the device, as its three certificates have it in the subject: part of a file name, and what the
 * server compares with the certificate of its client.
 */
static int serial_of(X509 *cert, char ret[SERIAL_MAX + 1], RsError *err) {
        static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-";
        char text[SERIAL_MAX + 2];
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_serialNumber, text, sizeof(text));

        if (n < 0)
                return rs_fail(err, CERTIFICATE,
                               "no serialNumber in the subject, so no server can tell whose ticket it is; --flat makes "
                               "one that any device may fetch");
        if (n == 0 || n > (int) SERIAL_MAX || text[0] == '.' || strspn(text, letters) != (size_t) n)
                return rs_fail(err, CERTIFICATE,
                               "the serialNumber in the subject is not 1 to %u of A-Z a-z 0-9 . _ - without a leading dot",
                               SERIAL_MAX);
        memcpy(ret, text, (size_t) n + 1);
        return 0;
}

static int name_of(const Batch *b, const char *device_hex, X509 *cert, char *ret, size_t size, RsError *err) {
        char serial[SERIAL_MAX + 1] = "";
        int r = b->flat ? 0 : serial_of(cert, serial, err);

        (void) snprintf(ret, size, "%s%s%s", serial, *serial ? "." : "", device_hex);
        return r;
}

static int batch_remember(Batch *b, const uint8_t device[RS_DIGEST_SIZE], const char *name, X509 *cert, RsError *err) {
        char text[128] = "";
        Written *w;

        if (b->n_written == b->n_allocated) {
                size_t n = b->n_allocated > 0 ? 2 * b->n_allocated : 16;

                w = reallocarray(b->written, n, sizeof(*w));
                if (!w)
                        return rs_fail_oom(err);
                b->written = w;
                b->n_allocated = n;
        }
        w = &b->written[b->n_written++];
        hex_encode(SPAN(device, RS_DIGEST_SIZE), w->device);
        (void) snprintf(w->name, sizeof(w->name), "%s", name);
        (void) X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text)); /* for display only */
        (void) text_printable(SPAN(text, strlen(text)), w->subject, sizeof(w->subject));
        return 0;
}

static int make_directory(const char *parent, const char *name, int *ret_fd, RsError *err) {
        _cleanup_(closep) int parent_fd = -EBADF, fd = -EBADF;
        int r;

        r = directory_make(parent, 0755, &parent_fd, err);
        if (r < 0)
                return r;
        if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
                return rs_fail_errno(err, errno, "%s/%s", parent, name);
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s/%s", parent, name);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int write_temporary(int dir_fd, const char *ticket, Span der, RsError *err) {
        char name[NAME_SIZE];
        _cleanup_(closep) int fd = -EBADF;
        int r;

        (void) snprintf(name, sizeof(name), "%s" TEMPORARY, ticket);
        (void) unlinkat(dir_fd, name, 0); /* of an earlier run that was interrupted; mostly not there */
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return rs_fail_errno(err, errno, "%s", name);
        r = file_pwrite_all(fd, der.data, der.size, 0, err);
        if (r < 0)
                (void) unlinkat(dir_fd, name, 0); /* the failure is already on its way */
        return r;
}

static int issue_for(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                     X509 *device, Batch *b, RsError *err) {
        _cleanup_(encoder_done) Encoder der = ENCODER_INIT;
        uint8_t device_id[RS_DIGEST_SIZE];
        char hex[DEVICE_HEX], name[SERIAL_MAX + 1 + DEVICE_HEX];
        int r;

        r = issue_ticket(rules, bundle, content_key, device, &der, device_id, err);
        if (r < 0)
                return r;
        hex_encode(SPAN_ARRAY(device_id), hex);
        r = name_of(b, hex, device, name, sizeof(name), err);
        if (r >= 0)
                r = write_temporary(b->dir_fd, name, encoder_view(&der), err);
        return r < 0 ? r : batch_remember(b, device_id, name, device, err);
}

static int issue_file(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                      const char *file, Batch *b, RsError *err) {
        _cleanup_(sk_X509_freep) STACK_OF(X509) *devices = NULL;
        int r;

        r = certs_load(file, &devices, err);
        if (r < 0)
                return r;
        for (int i = 0; i < sk_X509_num(devices); i++) {
                r = issue_for(rules, bundle, content_key, sk_X509_value(devices, i), b, err);
                if (r < 0)
                        return rs_context(err, "%s", file);
        }
        return 0;
}

static int rename_all(const Batch *b, RsError *err) {
        for (size_t i = 0; i < b->n_written; i++) {
                char from[NAME_SIZE], to[NAME_SIZE];

                (void) snprintf(from, sizeof(from), "%s" TEMPORARY, b->written[i].name);
                (void) snprintf(to, sizeof(to), "%s.rst", b->written[i].name);
                /* ENOENT: the same device was named twice, and its later ticket has this name already */
                if (renameat(b->dir_fd, from, b->dir_fd, to) < 0 && errno != ENOENT)
                        return rs_fail_errno(err, errno, "%s", to);
        }
        if (fsync(b->dir_fd) < 0)
                return rs_fail_errno(err, errno, "directory of tickets");
        return 0;
}

static void drop_temporaries(const Batch *b) {
        for (size_t i = 0; i < b->n_written; i++) {
                char name[NAME_SIZE];

                (void) snprintf(name, sizeof(name), "%s" TEMPORARY, b->written[i].name);
                (void) unlinkat(b->dir_fd, name, 0); /* best effort: the next run does the same */
        }
}

static int write_all(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                     char *const *device_files, int n_files, Batch *b, RsError *err) {
        int r;

        for (int i = 0; i < n_files; i++) {
                r = issue_file(rules, bundle, content_key, device_files[i], b, err);
                if (r < 0)
                        return r;
        }
        if (syncfs(b->dir_fd) < 0)
                return rs_fail_errno(err, errno, "tickets");
        return rename_all(b, err);
}

int issue_tickets(const TicketRules *rules, const uint8_t bundle[RS_DIGEST_SIZE], const Secret *content_key,
                  char *const *device_files, int n_files, const char *directory, IssueObserver on_ticket,
                  RsError *err) {
        _cleanup_(batch_done) Batch b = { .dir_fd = -EBADF, .flat = rules->flat };
        char bundle_hex[HEX_SIZE(RS_DIGEST_SIZE)], path[4096];
        int r;

        hex_encode(SPAN(bundle, RS_DIGEST_SIZE), bundle_hex);
        r = make_directory(directory, bundle_hex, &b.dir_fd, err);
        if (r < 0)
                return r;
        r = write_all(rules, bundle, content_key, device_files, n_files, &b, err);
        if (r < 0) {
                drop_temporaries(&b);
                return r;
        }
        for (size_t i = 0; on_ticket && i < b.n_written; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s/%s.rst", directory, bundle_hex, b.written[i].name);
                on_ticket(b.written[i].device, b.written[i].subject, path);
        }
        return 0;
}
