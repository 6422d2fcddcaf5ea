/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-trust - what the writer trusts, as four D-Bus dictionaries: chain, time, revocation lists, posture.
 *
 * Public knowledge all of it: digests, counters and dates; conf/org.reseal1.xml names every key.
 */
#include <string.h>

#include <reseal/base/text.h>
#include <reseal/ipc/writer-proto.h>

#include "manager.h"

static int open_dictionary(sd_bus_message *m) {
        return sd_bus_message_open_container(m, 'a', "{sv}");
}

static int add_hex(sd_bus_message *m, const char *key, const uint8_t *bytes, size_t size) {
        char hex[HEX_SIZE(32)];

        hex_encode(SPAN(bytes, size), hex);
        return bus_add(m, key, "s", hex);
}

static int append_chain(sd_bus_message *m, const WriterTrust *t) {
        int r = open_dictionary(m);

        if (r < 0 || (r = bus_add(m, "empty", "b", (int) t->empty)) < 0 ||
            (r = bus_add(m, "release", "t", t->release)) < 0 || (r = bus_add(m, "epoch", "u", t->epoch)) < 0 ||
            (r = bus_add(m, "bridged", "b", (int) t->bridged)) < 0 ||
            (r = add_hex(m, "signer", t->signer_spki, sizeof(t->signer_spki))) < 0 ||
            (r = bus_add(m, "signer-revoked", "b", (int) t->signer_revoked)) < 0 ||
            (r = add_hex(m, "manifest", t->manifest, sizeof(t->manifest))) < 0 ||
            (r = add_hex(m, "log-head", t->log_head, sizeof(t->log_head))) < 0 ||
            (r = add_hex(m, "line-tag", t->line_tag, sizeof(t->line_tag))) < 0 ||
            (r = bus_add(m, "accept", "t", t->accept)) < 0 || (r = bus_add(m, "floor", "t", t->floor)) < 0 ||
            (r = bus_add(m, "floor-epoch", "u", t->floor_epoch)) < 0 ||
            (r = bus_add(m, "running-release", "t", t->running_release)) < 0 ||
            (r = bus_add(m, "running-below-accepted", "b", (int) t->running_below)) < 0 ||
            (r = bus_add(m, "latest", "t", t->latest)) < 0 || (r = bus_add(m, "statement", "t", t->seq)) < 0 ||
            (r = bus_add(m, "statement-expires", "t", t->expires)) < 0 ||
            (r = bus_add(m, "fresh", "b", (int) t->fresh)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_time(sd_bus_message *m, const WriterTrust *t) {
        int r = open_dictionary(m);

        if (r < 0 || (r = bus_add(m, "low", "t", t->low)) < 0 || (r = bus_add(m, "high", "t", t->high)) < 0 ||
            (r = bus_add(m, "proven", "b", (int) t->proven)) < 0 || (r = bus_add(m, "proof", "t", t->proof)) < 0 ||
            (r = bus_add(m, "floor", "t", t->time_floor)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_crl(sd_bus_message *m, const WriterTrust *t, uint32_t i) {
        int r = open_dictionary(m);

        if (r < 0 || (r = bus_add(m, "issuer", "s", t->crls[i].issuer)) < 0 ||
            (r = add_hex(m, "issuer-key", t->crls[i].issuer_key, sizeof(t->crls[i].issuer_key))) < 0 ||
            (r = bus_add(m, "number", "t", t->crls[i].number)) < 0 ||
            (r = bus_add(m, "this-update", "t", t->crls[i].this_update)) < 0 ||
            (r = bus_add(m, "next-update", "t", t->crls[i].next_update)) < 0 ||
            (r = bus_add(m, "revoked", "u", t->crls[i].n_revoked)) < 0 ||
            (r = bus_add(m, "stale", "b", (int) t->crls[i].stale)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_posture(sd_bus_message *m, const WriterTrust *t) {
        const char *reason = t->reason == RS_REASON_NONE ? "" : rs_reason_name((RsReason) t->reason);
        int r = open_dictionary(m);

        if (r < 0 || (r = bus_add(m, "reason", "s", reason)) < 0 || (r = bus_add(m, "text", "s", t->text)) < 0 ||
            (r = bus_add(m, "level", "u", t->level)) < 0 ||
            (r = bus_add(m, "trust-version", "t", t->trust_version)) < 0 ||
            (r = bus_add(m, "crl-number", "t", t->crl_number)) < 0 ||
            (r = bus_add(m, "owner-auth-set", "b", (int) t->owner_auth_set)) < 0 ||
            (r = bus_add(m, "lockout-auth-set", "b", (int) t->lockout_auth_set)) < 0 ||
            (r = bus_add(m, "platform-open", "b", (int) t->platform_open)) < 0 ||
            (r = bus_add(m, "in-lockout", "b", (int) t->in_lockout)) < 0 ||
            (r = bus_add(m, "lockout-counter", "u", t->lockout_counter)) < 0 ||
            (r = bus_add(m, "lockout-tries", "u", t->max_tries)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

int bus_append_trust(sd_bus_message *reply, const WriterTrust *t) {
        int r = append_chain(reply, t);

        if (r >= 0)
                r = append_time(reply, t);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (uint32_t i = 0; r >= 0 && i < t->n_crls; i++)
                r = append_crl(reply, t, i);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : append_posture(reply, t);
}
