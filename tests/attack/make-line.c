/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * make-line DIR - a product line as files for shell tests: root.pem, authority.pem, recovery.pem, 1.rsl to
 * 4.rsl (the first a
 * genesis) and bridge-N.rsl to releases 2 to 4; by keys that are thrown away.
 */
#include <stdio.h>

#include <openssl/pem.h>

#include "chain.h"

static FILE *open_in(const char *dir, const char *name) {
        char path[512];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "wb");
        if (!f) {
                perror(path);
                exit(1);
        }
        return f;
}

static void put(const char *dir, const char *name, Span bytes) {
        FILE *f = open_in(dir, name);

        if (fwrite(bytes.data, 1, bytes.size, f) != bytes.size || fclose(f) != 0)
                exit(1);
}

int main(int argc, char **argv) {
        ChainFixture *line = chain_fixture_new("gateway");
        char name[32];
        FILE *f;

        if (argc != 2)
                return 2;
        chain_fixture_extend(line, 4, 1);
        f = open_in(argv[1], "root.pem");
        (void) PEM_write_X509(f, line->root);
        (void) fclose(f);
        f = open_in(argv[1], "authority.pem");
        (void) PEM_write_X509(f, line->authority_cert);
        (void) fclose(f);
        f = open_in(argv[1], "recovery.pem");
        for (unsigned i = 0; i < 3; i++)
                (void) PEM_write_PUBKEY(f, line->recovery[i].key);
        (void) fclose(f);
        for (unsigned i = 1; i <= 4; i++) {
                ChainRelease *release = chain_fixture_release(line, i);
                Encoder bridge = ENCODER_INIT;

                (void) snprintf(name, sizeof(name), "%u.rsl", i);
                put(argv[1], name, encoder_view(&release->link));
                if (i == 1)
                        continue;
                chain_bridge(line, release, &line->recovery[1], &line->recovery[0], &bridge);
                (void) snprintf(name, sizeof(name), "bridge-%u.rsl", i);
                put(argv[1], name, encoder_view(&bridge));
                encoder_done(&bridge);
        }
        (void) chain_fixture_free(line);
        return 0;
}
