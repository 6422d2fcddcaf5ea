/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain-files DIR LINE RELEASE EPOCH ID: a line whose last release has this manifest digest, as the files an operator has:
 * root.pem, authority.pem, signer.pem and .key, recovery.pem, N.rsl, N.bridge.rsl, authority.crl.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/pem.h>

#include <reseal/base/text.h>

#include "chain.h"

static const char *directory;

static FILE *file(const char *name) {
        char path[512];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "wbe");
        if (!f) {
                perror(path);
                exit(1);
        }
        return f;
}

static void put_cert(const char *name, X509 *cert) {
        _cleanup_(fclosep) FILE *f = file(name);

        (void) PEM_write_X509(f, cert);
}

static void put_bytes(const char *name, Span bytes) {
        _cleanup_(fclosep) FILE *f = file(name);

        (void) fwrite(bytes.data, 1, bytes.size, f);
}

static void put_keys(const ChainFixture *f, const ChainRelease *last) {
        _cleanup_(fclosep) FILE *signer = file("signer.key"), *recovery = file("recovery.pem");

        (void) PEM_write_PrivateKey(signer, last->signer.key, NULL, NULL, 0, NULL, NULL);
        for (int i = 0; i < 3; i++)
                (void) PEM_write_PUBKEY(recovery, f->recovery[i].key);
}

int main(int argc, char **argv) {
        _cleanup_(encoder_done) Encoder bridge = ENCODER_INIT, crl = ENCODER_INIT;
        const ChainRelease *last;
        ChainFixture *f;
        uint8_t id[32];
        uint32_t n, epoch;
        char name[64];

        if (argc != 6 || hex_decode(argv[5], id, sizeof(id)) < 0)
                return 2;
        directory = argv[1];
        n = (uint32_t) strtoul(argv[3], NULL, 10);
        epoch = (uint32_t) strtoul(argv[4], NULL, 10);
        f = chain_fixture_new(argv[2]);
        chain_fixture_extend(f, n - 1, epoch);
        last = chain_fixture_add(f, epoch, id, false);
        put_cert("root.pem", f->root);
        put_cert("authority.pem", f->authority_cert);
        put_cert("signer.pem", last->cert);
        put_keys(f, last);
        for (uint32_t i = 1; i <= n; i++) {
                (void) snprintf(name, sizeof(name), "%u.rsl", i);
                put_bytes(name, encoder_view(&chain_fixture_release(f, i)->link));
        }
        chain_bridge(f, last, &f->recovery[1], &f->recovery[0], &bridge);
        (void) snprintf(name, sizeof(name), "%u.bridge.rsl", n);
        put_bytes(name, encoder_view(&bridge));
        chain_crl(f, 3, (const uint64_t[]){ 2 }, 1, &crl); /* the signer of 2 was stolen */
        put_bytes("authority.crl", encoder_view(&crl));
        (void) chain_fixture_free(f);
        return 0;
}
