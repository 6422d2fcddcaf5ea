/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-source - the program of the update source: tickets for devices, statements of what is the latest release,
 * and a directory that a static server serves.
 *
 *   user            whoever may use the transport, ticket or freshness key; never root for its own sake
 *   holds           the content key of one release, in a Secret, while it runs
 *   hostile input   bundles, device certificates, revocation lists
 *   never           sign a release, speak to the network
 *
 * Exit status: 0 done, 1 refused or failed (the reason first on stderr), 2 not understood.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/pki/cms.h>

#include "issue.h"
#include "lists.h"
#include "offer.h"
#include "options.h"
#include "publish.h"
#include "state.h"

/* What the command line names, loaded. */
typedef struct Keys {
        STACK_OF(X509) *transport_cert, *ticket_cert, *chain;
        EVP_PKEY *transport_key, *ticket_key;
        TrustAnchors *device_ca, *source_root;
        CrlSet *crls;
} Keys;

static void keys_done(Keys *k) {
        sk_X509_freep(&k->transport_cert);
        sk_X509_freep(&k->ticket_cert);
        sk_X509_freep(&k->chain);
        EVP_PKEY_freep(&k->transport_key);
        EVP_PKEY_freep(&k->ticket_key);
        k->device_ca = anchors_free(k->device_ca);
        k->source_root = anchors_free(k->source_root);
        k->crls = crl_set_free(k->crls);
}

static int load_keys(const Options *o, Keys *k, RsError *err) {
        int r;

        r = certs_load(o->transport_cert, &k->transport_cert, err);
        if (r >= 0)
                r = certs_load(o->ticket_cert, &k->ticket_cert, err);
        if (r >= 0 && o->chain)
                r = certs_load(o->chain, &k->chain, err);
        if (r >= 0 && o->device_ca)
                r = anchors_load(o->device_ca, &k->device_ca, err);
        if (r >= 0 && o->source_root)
                r = anchors_load(o->source_root, &k->source_root, err);
        if (r >= 0 && o->n_crls)
                r = lists_load(o, k->device_ca, k->source_root, &k->crls, err);
        if (r >= 0)
                r = key_load(o->transport_key, &k->transport_key, err);
        if (r >= 0)
                r = key_load(o->ticket_key, &k->ticket_key, err);
        return r;
}

static void print_ticket(const char *device_hex, const char *subject, const char *path) {
        printf("%s  %s  %s\n", device_hex, path, subject);
}

static int make_tickets(const Options *o, const Offer *offer, const char *directory, RsError *err) {
        _cleanup_(secret_freep) Secret *content_key = NULL;
        _cleanup_(keys_done) Keys keys = { 0 };
        TicketRules rules;
        int r;

        r = load_keys(o, &keys, err);
        if (r < 0)
                return r;
        r = offer_content_key(offer, sk_X509_value(keys.transport_cert, 0), keys.transport_key, &content_key, err);
        if (r < 0)
                return rs_context(err, "%s", o->bundle);
        rules = (TicketRules){
                .ticket_cert = sk_X509_value(keys.ticket_cert, 0),
                .ticket_key = keys.ticket_key,
                .chain = keys.chain,
                .device_ca = keys.device_ca,
                .source_root = keys.source_root,
                .crls = keys.crls,
                .now = o->now,
                .not_after = o->not_after,
                .flat = o->flat,
        };
        return issue_tickets(&rules, offer->id, content_key, o->devices, o->n_devices, directory, print_ticket, err);
}

static const char *base_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* The bundle is copied first and shown last: see publish.c. */
static int publish(const Options *o, const Offer *offer, RsError *err) {
        const char *name = base_name(o->bundle);
        char tickets[4096];
        int r;

        if (snprintf(tickets, sizeof(tickets), "%s/tickets", o->output) >= (int) sizeof(tickets))
                return rs_fail(err, INVALID, "the path is too long");
        r = publish_copy(offer->fd, o->output, name, err);
        if (r < 0)
                return r;
        if (o->n_devices > 0)
                r = make_tickets(o, offer, tickets, err);
        if (r < 0) {
                publish_forget(o->output, name);
                return r;
        }
        return publish_show(o->output, name, err);
}

static int run(const Options *o, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *firmware_root = NULL;
        _cleanup_(offer_freep) Offer *offer = NULL;
        int r;

        if (o->verb == VERB_STATEMENT)
                return state_latest(o, err);
        if (o->verb == VERB_LISTS)
                return lists_write(o, err);
        if (o->firmware_root) {
                r = anchors_load(o->firmware_root, &firmware_root, err);
                if (r < 0)
                        return r;
        }
        r = offer_open(o->bundle, firmware_root, &offer, err);
        if (r < 0)
                return r;
        return o->verb == VERB_TICKET ? make_tickets(o, offer, o->output, err) : publish(o, offer, err);
}

static int complain(const RsError *err) {
        fprintf(stderr, "reseal-source: %s: %s\n", rs_reason_name(err->reason), err->text);
        return 1;
}

int main(int argc, char **argv) {
        _cleanup_(options_done) Options options = OPTIONS_INIT;
        RsError err = RS_ERROR_INIT;
        int r;

        (void) umask(022); /* what is made here is for a web server of another user to read; none of it is secret */
        r = ossl_program(&err);
        if (r >= 0 && argc > 2 && strcmp(argv[1], "--openssl-config") == 0) {
                r = ossl_read_config(argv[2], &err);
                argc -= 2;
                argv += 2;
        }
        if (r < 0)
                return complain(&err);
        if (options_parse(argc, argv, (uint64_t) time(NULL), &options, &err) < 0) {
                fprintf(stderr, "reseal-source: %s\n%s", err.text, options_usage);
                return 2;
        }
        if (options.verb == VERB_HELP) {
                fputs(options_usage, stdout);
                return 0;
        }
        if (options.verb == VERB_VERSION) {
                puts("reseal-source " RS_VERSION);
                return 0;
        }
        if (run(&options, &err) < 0)
                return complain(&err);
        return fflush(stdout) == 0 ? 0 : 1;
}
