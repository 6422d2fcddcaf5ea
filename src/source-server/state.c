/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * state - statement, signature, file.
 *
 * Made by a timer, as often as devices poll or so: the shorter it lives, the sooner a source that is frozen shows (T7).
 * The key is online and may say only this: a thief of it can hide releases for as long as a statement lives and no
 * longer, and can install nothing.  What a device would refuse is not written: what is encoded is parsed once more.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/file.h>
#include <reseal/crypto/ossl-cleanup.h>
#include <reseal/format/statement.h>
#include <reseal/pki/cms.h>

#include "state.h"

#define DAY (24u * 3600)

static int encode(const Options *o, Encoder *ret, RsError *err) {
        Statement s = { .latest = o->latest, .seq = o->seq, .issued = o->now, .expires = o->now + o->days * DAY };
        Statement ignored;
        int r;

        if (strlen(o->line) > RS_NAME_MAX)
                return rs_fail(err, INVALID, "--line: at most %u characters", RS_NAME_MAX);
        memcpy(s.line, o->line, strlen(o->line) + 1);
        r = statement_encode(&s, ret, err);
        return r < 0 ? r : statement_parse(encoder_view(ret), &ignored, err);
}

int state_latest(const Options *o, RsError *err) {
        _cleanup_(encoder_done) Encoder json = ENCODER_INIT, der = ENCODER_INIT;
        _cleanup_(sk_X509_freep) STACK_OF(X509) *certs = NULL;
        _cleanup_(X509_freep) X509 *cert = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        int r;

        r = encode(o, &json, err);
        if (r >= 0)
                r = certs_load(o->cert, &certs, err);
        if (r >= 0)
                r = key_load(o->key, &key, err);
        if (r < 0)
                return r;
        cert = sk_X509_shift(certs);
        r = cms_sign(encoder_view(&json), cert, key, certs, &der, err);
        if (r < 0)
                return r;
        return file_replace(AT_FDCWD, o->output, encoder_view(&der), 0644, err);
}
