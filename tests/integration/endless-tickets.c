/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * endless-tickets - a TLS 1.3 server that never comes to HTTP: behind the handshake it sends session tickets, for ever.
 *
 *   endless-tickets PORT-FILE CERT KEY [COUNT]   on loopback; writes the port it got; COUNT tickets, then closes
 *
 * Until it is killed.  One connection after the other.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ssl.h>

static int listen_on_loopback(const char *port_file) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        FILE *f;

        if (fd < 0 || bind(fd, (struct sockaddr *) &a, size) < 0 || listen(fd, 4) < 0 ||
            getsockname(fd, (struct sockaddr *) &a, &size) < 0)
                return -1;
        f = fopen(port_file, "we");
        if (!f || fprintf(f, "%u\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0)
                return -1;
        return fd;
}

static void serve(SSL_CTX *ctx, int fd, unsigned long count) {
        SSL *ssl = SSL_new(ctx);

        if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
                for (unsigned long i = 0; i < count; i++)
                        if (SSL_new_session_ticket(ssl) != 1 || SSL_do_handshake(ssl) != 1)
                                break;
        SSL_free(ssl);
        (void) close(fd);
}

int main(int argc, char **argv) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        int fd;

        if (argc < 4 || !ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
            SSL_CTX_use_certificate_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1)
                return 1;
        (void) signal(SIGPIPE, SIG_IGN);
        fd = listen_on_loopback(argv[1]);
        if (fd < 0)
                return 1;
        for (;;) {
                int client = accept(fd, NULL, NULL);

                if (client >= 0)
                        serve(ctx, client, argc > 4 ? strtoul(argv[4], NULL, 10) : (unsigned long) -1);
        }
}
