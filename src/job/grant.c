/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grant - fetches this device's ticket for a bundle and opens it in the TPM.
 *
 * Cheap before dear: size, signature and purpose, form, bundle, device, time; only then one TPM2_ECDH_ZGen.
 * The shared point leaves the TPM through a session salted to the storage root key; it and the content key
 * live in Secrets.
 *
 * A ticket is looked for under the device's own id, the digest of its unwrap key: what another device may
 * read says nothing to this one, and a wrong file at the right place fails by name (WrongDevice) and by key
 * schedule.
 */
#include <stdlib.h>
#include <time.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/crypto/hpke.h>
#include <reseal/format/ticket.h>
#include <reseal/pki/cms.h>

#include "grant.h"
#include "head.h"

int grant_open(const JobEnv *env, Span cms, const uint8_t bundle_id[RS_DIGEST_SIZE], Secret **ret, RsError *err) {
        const PathRules rules = {
                .eku_oid = RS_OID_EKU_TICKET,
                .time_low = env->https.time_low,
                .time_high = env->https.time_high,
                .crls = env->https.crls,
        };
        _cleanup_(freep) uint8_t *json = NULL;
        _cleanup_(secret_freep) Secret *z = NULL, *key = NULL;
        uint8_t info[TICKET_INFO_SIZE];
        SignerInfo signer;
        Ticket ticket;
        size_t size;

        if (!env->unwrap)
                return rs_fail(err, NOT_PROVISIONED, "there is no unwrap key: the bundle is encrypted");
        int r = cms_verify(cms, env->https.anchors, &rules, RS_TICKET_MAX, &json, &size, &signer, err);
        if (r >= 0)
                r = ticket_parse(SPAN(json, size), &ticket, err);
        if (r >= 0)
                r = ticket_check(&ticket, bundle_id, env->device_id, rules.time_low, err);
        if (r >= 0)
                r = tpm_key_ecdh(env->tpm, env->unwrap, ticket.enc, &z, err);
        if (r < 0)
                return r;
        ticket_info(&ticket, info);
        r = hpke_open_with_z(z, env->unwrap->point, ticket.enc, SPAN_ARRAY(info), SPAN_NULL, SPAN_ARRAY(ticket.ct),
                             &key, err);
        if (r < 0)
                return r;
        if (secret_size(key) != RS_KEY_SIZE)
                return rs_fail(err, TICKET, "content key of %zu bytes", secret_size(key));
        *ret = TAKE_PTR(key);
        return 0;
}

int grant_fetch(const JobEnv *env, Https *https, const char *bundle_url, const char *ticket_url,
                const uint8_t bundle_id[RS_DIGEST_SIZE], Secret **ret, RsError *err) {
        char bundle_hex[HEX_SIZE(RS_DIGEST_SIZE)], device_hex[HEX_SIZE(RS_DIGEST_SIZE)];
        _cleanup_(freep) char *place = NULL, *usual = NULL;
        _cleanup_(freep) uint8_t *cms = NULL;
        size_t size;
        int r;

        if (!env->unwrap)
                return rs_fail(err, NOT_PROVISIONED, "there is no unwrap key: the bundle is encrypted");
        if (!ticket_url || !ticket_url[0]) {
                hex_encode(SPAN(bundle_id, RS_DIGEST_SIZE), bundle_hex);
                hex_encode(SPAN_ARRAY(env->device_id), device_hex);
                if (asprintf(&place, "tickets/%s/%s.rst", bundle_hex, device_hex) < 0) {
                        place = NULL;
                        return rs_fail_oom(err);
                }
                r = https_sibling(bundle_url, place, &usual, err);
                if (r < 0)
                        return r;
                ticket_url = usual;
        }
        r = https_get(https, ticket_url, RS_TICKET_MAX, &cms, &size, err);
        if (r >= 0)
                r = grant_open(env, SPAN(cms, size), bundle_id, ret, err);
        return r < 0 ? rs_context(err, "ticket") : 0;
}
