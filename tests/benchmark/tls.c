/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving over TLS 1.3, alone: a child sends over loopback, this process reads and throws away.
 *
 * Only the receiver's CPU time counts; the server is another machine in the field.  A certificate made on the spot
 * serves for the handshake; what is measured is records, with the suite that curl and nginx agree on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tls.h"

#define SUITE "TLS_AES_256_GCM_SHA384"
#define PIECE 65536u

static SSL_CTX *server_context(void) {
        SSL_CTX *c = SSL_CTX_new(TLS_server_method());
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *x = X509_new();

        if (!c || !key || !x || X509_set_version(x, 2) != 1 || ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
            !X509_gmtime_adj(X509_getm_notBefore(x), 0) || !X509_gmtime_adj(X509_getm_notAfter(x), 3600) ||
            X509_set_pubkey(x, key) != 1 || X509_sign(x, key, EVP_sha256()) == 0 ||
            SSL_CTX_use_certificate(c, x) != 1 || SSL_CTX_use_PrivateKey(c, key) != 1) {
                SSL_CTX_free(c);
                c = NULL;
        }
        X509_free(x);
        EVP_PKEY_free(key);
        return c;
}

static int send_all(int fd, const uint8_t *bytes, size_t size) {
        SSL_CTX *c = server_context();
        SSL *s = c ? SSL_new(c) : NULL;
        bool ok = s && SSL_set_fd(s, fd) == 1 && SSL_accept(s) == 1;

        for (size_t at = 0; ok && at < size;) {
                size_t n = 0;
                ok = SSL_write_ex(s, bytes + at, size - at < PIECE ? size - at : PIECE, &n) == 1;
                at += n;
        }
        return ok ? 0 : 1;
}

/* A pair of connected TCP sockets on loopback. */
static int connect_pair(int ret[2]) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(a);
        int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = -1;

        ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (l >= 0 && ret[0] >= 0 && bind(l, (const struct sockaddr *) &a, size) == 0 && listen(l, 1) == 0 &&
            getsockname(l, (struct sockaddr *) &a, &size) == 0 &&
            connect(ret[0], (const struct sockaddr *) &a, size) == 0) {
                ret[1] = accept(l, NULL, NULL);
                r = ret[1] < 0 ? -1 : 0;
        }
        if (l >= 0)
                (void) close(l);
        return r;
}

int tls_receive(const uint8_t *bytes, size_t size, void (*handshake_done)(void *userdata), void *userdata) {
        static uint8_t buffer[PIECE];
        SSL_CTX *c = SSL_CTX_new(TLS_client_method());
        SSL *s = NULL;
        int fds[2], status = 1;
        size_t got = 0;
        pid_t child;
        bool ok;

        if (!c || connect_pair(fds) < 0)
                return -1;
        child = fork();
        if (child == 0)
                _exit(send_all(fds[1], bytes, size));
        (void) close(fds[1]);
        ok = child > 0 && SSL_CTX_set_ciphersuites(c, SUITE) == 1 && (s = SSL_new(c)) && SSL_set_fd(s, fds[0]) == 1 &&
             SSL_connect(s) == 1;
        if (ok)
                handshake_done(userdata);
        while (ok && got < size) {
                size_t n = 0;
                ok = SSL_read_ex(s, buffer, sizeof(buffer), &n) == 1;
                got += n;
        }
        SSL_free(s);
        SSL_CTX_free(c);
        (void) close(fds[0]);
        if (child > 0)
                (void) waitpid(child, &status, 0);
        return ok && status == 0 ? 0 : -1;
}
