/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * ossl - the one library context of OpenSSL that our code uses, with the providers that our configuration names.
 *
 * Spec:     docs/dependencies.md, "What of the machine reaches a library"
 * Trust:    the machine's openssl.cnf and OPENSSL_* have no say in this context; crypto.conf belongs to root
 * Owns:     the context lives until the process ends; what ossl_enter() gives is given back by ossl_leave()
 * Units:    none
 * Errors:   negative errno, CRYPTO or CONFIG
 * Context:  any thread; ossl_program() before any other call of OpenSSL, in programs of ours only
 * Programs: all that link libcrypto; a lint refuses calls of OpenSSL without this context
 */
#include <reseal/base/error.h>

typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;

/*
 * The context of this process, made at the first call after RS_PATH_CONF_CRYPTO.  Never NULL: where it cannot be made
 * it is one without any algorithm, so that every use fails, and ossl_begin() says why.
 */
OSSL_LIB_CTX *ossl_context(void);
int ossl_begin(RsError *err);
/*
 * The first act of a program: OpenSSL's default context, which libraries between us and OpenSSL use, reads no
 * configuration in this process.  Not for a library loaded into a foreign process.
 */
int ossl_program(RsError *err);
/* For tokens, on a build host: a configuration file of OpenSSL, named by the user, is read into the context. */
int ossl_read_config(const char *path, RsError *err);

/*
 * Around calls of a library that uses OpenSSL's default context by itself (libcurl, ESYS): for this thread the default
 * is ours in between.  Nests.
 */
OSSL_LIB_CTX *ossl_enter(void);
void ossl_leave(OSSL_LIB_CTX *before);
static inline void ossl_leavep(OSSL_LIB_CTX **before) {
        ossl_leave(*before);
}
/* A declaration: from here to the end of the block. */
#define OSSL_IN_CONTEXT __attribute__((cleanup(ossl_leavep), unused)) OSSL_LIB_CTX *ossl_before = ossl_enter()

/* For tests: a context after this file; the caller frees it. */
int ossl_make(const char *config_path, OSSL_LIB_CTX **ret, RsError *err);
