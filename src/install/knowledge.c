/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * knowledge - evidence comes in, is judged once, and stays.
 *
 * reseald carries evidence and judges none of it.  Everything here follows one rule: what is accepted is made
 * durable in the state directory first and then committed to the TPM, so that the TPM never knows of more than
 * the directory holds; a directory that was put back holds less than the TPM knows, which shows (TrustSet,
 * CrlRollback).
 *
 * The TPM is written when something rose that must not fall: a trust set, a revocation list, or the floor of
 * the time by more than a day.  A poll that brings nothing new writes nothing.  Only a time-stamp for our nonce and a
 * release at W7 raise that floor, each within the bounds of trust/clock.h; lists, statements and links raise nothing.
 *
 * Files in the state directory: trust.set, trust.next and crls (room trust), clock, statement, accepted.link.
 *
 * accepted.link is the link of the release accepted last.  The TPM remembers its signer as a hash only; the
 * certificates are needed when the authority's list comes alone (take_crls), and when it revokes that signer (rule 6
 * of the chain).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>
#include <reseal/pki/timestamp.h>
#include <reseal/tpm/chain.h>
#include <reseal/tpm/clock.h>
#include <reseal/trust/chain.h>

#include "engine.h"

#define FILE_CLOCK "clock"
#define FILE_STATEMENT "statement"
#define FILE_ACCEPTED "accepted.link"
#define FILE_MAX 16384u
#define CERTS_MAX 16u

static uint64_t boottime_msec(void) {
        return clock_boottime_usec() / 1000;
}

/* NULL when the TPM does not tell its clock: then it is no lower bound. */
static const TpmClockReading *tpm_clock(Installer *i, TpmClockReading *buffer) {
        RsError unused = RS_ERROR_INIT;

        return tpm_clock_read(i->device.tpm, buffer, &unused) < 0 ? NULL : buffer;
}

TimeInterval knowledge_time(Installer *i) {
        TpmClockReading reading;

        return trust_clock_now(&i->knowledge.clock, boottime_msec(), tpm_clock(i, &reading));
}

static FreshnessRules freshness_rules(Installer *i) {
        return (FreshnessRules){
                .source_root = trust_store_source(i->knowledge.store),
                .crls = trust_store_crls(i->knowledge.store),
                .line = i->device.line,
                .now = knowledge_time(i),
        };
}

/* -- in step with TPM and state directory ----------------------------------------------------------------------- */

static int commit(Installer *i, const TpmRecord *record, RsError *err) {
        int r = commit_tpm(i, record, err);

        if (r == 0)
                i->tpm.record = *record;
        return r;
}

static int load_files(Installer *i, RsError *err) {
        Knowledge *k = &i->knowledge;
        _cleanup_(freep) uint8_t *clock = NULL, *statement = NULL;
        FreshnessRules rules;
        RsError unread; /* counts as damaged, and that as none */
        size_t size;
        int r;

        trust_clock_init(&k->clock, i->device.build_time, i->tpm.record.time_floor, i->tpm.record.time_base);
        r = file_read_note(i->device.state_fd, FILE_CLOCK, FILE_MAX, &clock, &size, &unread, err);
        if (r > 0)
                r = trust_clock_restore(&k->clock, SPAN(clock, size), i->device.boot_id, boottime_msec(), err);
        if (r < 0)
                return r;
        rules = freshness_rules(i);
        r = file_read_note(i->device.state_fd, FILE_STATEMENT, FILE_MAX, &statement, &size, &unread, err);
        if (r > 0 && rules.source_root)
                r = freshness_restore(SPAN(statement, size), &rules, &k->freshness, err);
        if (r < 0)
                return r;
        k->loaded = true;
        return 0;
}

static void review_statement(Installer *i) {
        FreshnessRules rules = freshness_rules(i);
        RsError unused = RS_ERROR_INIT; /* a file that stays is judged again when it is read */

        if (freshness_review(&i->knowledge.freshness, &rules))
                (void) file_remove(i->device.state_fd, FILE_STATEMENT, &unused);
}

/* A quorum says that the floor is ahead of the time: what led there is forgotten with it, proof and file. */
static int restart_clock(Installer *i, const TpmRecord *next, RsError *err) {
        int r = file_remove(i->device.state_fd, FILE_CLOCK, err);

        if (r < 0)
                return r;
        r = commit(i, next, err);
        if (r == 0)
                trust_clock_init(&i->knowledge.clock, i->device.build_time, next->time_floor, next->time_base);
        return r;
}

/* Before a trust set is adopted: it is asked for the root of this link. */
static int load_link(Installer *i, RsError *err) {
        Knowledge *k = &i->knowledge;
        RsError unread; /* counts as absent */
        int r = k->accepted ? 0 : file_read_note(i->device.state_fd, FILE_ACCEPTED, LINK_SET_MAX, &k->accepted,
                                                 &k->accepted_size, &unread, err);

        return r < 0 ? r : 0;
}

/* A trial may still fail, and the slot before it must start then. */
static int check_no_trial(Installer *i, const InstallBooted *booted, uint64_t version, RsError *err) {
        const BootSlotState *running;
        BootState state;
        int r = running_state(i, booted, &state, &running, err);

        return r == 0 && !running->good ? rs_fail(err, TRUST_SET,
                                                  "trust set version %llu takes a root away and waits: slot %s is on trial",
                                                  (unsigned long long) version, running->name)
                                        : r;
}

/*
 * All keys stay; but a root may have another certificate, of another name, under which the release accepted last would
 * not stand any more.
 */
static int check_same_keys(const Installer *i, const TrustNext *next, RsError *err) {
        const Knowledge *k = &i->knowledge;
        const Span kept = SPAN(k->accepted, k->accepted ? k->accepted_size : 0);
        RsError unused = RS_ERROR_INIT;
        ChainRecord from;

        if (i->tpm.record.empty || tpm_record_chain(&i->tpm.record, &from, &unused) < 0 ||
            !chain_signer_stands(&from, kept, trust_store_firmware(k->store)) ||
            chain_signer_stands(&from, kept, next->firmware))
                return 0;
        return rs_fail(err, TRUST_SET, "trust set version %llu waits: a root has another certificate in it, under which "
                       "the release accepted last would not start", (unsigned long long) next->version);
}

/*
 * A set that takes roots away may not take the running slot's away, nor that of the slot a trial may fall back to: the
 * initramfs would not start it any more.  Which root that is, the link that was kept of the recorded release says, as
 * long as that release is what runs, and is good.
 */
static int check_next(Installer *i, const TrustNext *next, RsError *err) {
        const Knowledge *k = &i->knowledge;
        const TpmRecord *record = &i->tpm.record;
        InstallBooted booted;
        ChainRecord from;
        int r;

        if (!next->drops_roots)
                return check_same_keys(i, next, err);
        r = read_booted(i, &booted, err);
        if (r == 0)
                r = check_no_trial(i, &booted, next->version, err);
        if (r == 0)
                r = tpm_record_chain(record, &from, err);
        if (r < 0)
                return r;
        if (record->empty ||
            (booted.has_manifest && memcmp(booted.manifest, record->manifest_digest, RS_DIGEST_SIZE) != 0))
                return rs_fail(err, TRUST_SET, "trust set version %llu takes a root away and waits: what runs is not the "
                               "release accepted last", (unsigned long long) next->version);
        if (!chain_signer_stands(&from, SPAN(k->accepted, k->accepted ? k->accepted_size : 0), next->firmware))
                return rs_fail(err, TRUST_SET, "trust set version %llu waits: the running release is not known to stand "
                               "under a root of it and would not start again", (unsigned long long) next->version);
        return 0;
}

/* A trust set that reseal-certstore has put there: where the initramfs finds it, committed, then in force. */
static int adopt_one(Installer *i, RsError *err) {
        TpmRecord next;
        TrustNext set;
        Span before;
        int r = trust_store_look(i->knowledge.store, &i->tpm.record, &next, err);

        if (r <= 0)
                return r;
        trust_store_next(i->knowledge.store, &set);
        r = check_next(i, &set, err);
        if (r == 0)
                r = trust_store_signed(i->knowledge.store, &i->tpm.record, &before, err);
        if (r == 0)
                r = boot_copies_write(i, set.set, before, err);
        if (r == 0)
                r = next.time_floor < i->tpm.record.time_floor ? restart_clock(i, &next, err) : commit(i, &next, err);
        if (r == 0)
                r = trust_store_adopted(i->knowledge.store, &next, err);
        if (r == 0 && i->knowledge.loaded)
                review_statement(i);
        return r < 0 ? r : 1;
}

/* One after the other: each is judged by the one before.  While a slot is being written it is not ours to write to. */
static int adopt(Installer *i, RsError *err) {
        Knowledge *k = &i->knowledge;
        Span now;
        int r = 1;

        if (i->slot_fd >= 0)
                return 0;
        for (unsigned n = 0; r > 0 && n <= TRUST_SETS_KEPT; n++)
                r = adopt_one(i, err);
        if (r < 0 || k->copies_kept || i->tpm.record.trust_version == 0)
                return r;
        r = trust_store_signed(k->store, &i->tpm.record, &now, err);
        if (r == 0)
                r = boot_copies_write(i, now, SPAN_NULL, err);
        k->copies_kept = r == 0;
        return r;
}

/* -- alarms ----------------------------------------------------------------------------------------------------- */

/* A cause that is gone may come back, and is told again then. */
static void note_alarm(Knowledge *k, InstallAlarm alarm, const RsError *why) {
        if (why->reason == RS_REASON_NONE)
                k->told[alarm][0] = '\0';
        if (why->reason == RS_REASON_NONE || strcmp(why->text, k->told[alarm]) != 0)
                k->alarms[alarm] = *why;
}

bool install_untold(Installer *i, InstallAlarm *ret, RsError *ret_why) {
        Knowledge *k = &i->knowledge;

        for (unsigned a = 0; a < _INSTALL_ALARM_MAX; a++) {
                if (k->alarms[a].reason == RS_REASON_NONE)
                        continue;
                *ret = (InstallAlarm) a;
                *ret_why = k->alarms[a];
                (void) snprintf(k->told[a], sizeof(k->told[a]), "%s", ret_why->text);
                k->alarms[a] = RS_ERROR_INIT;
                return true;
        }
        return false;
}

/* Nothing fails for it until the next offer: what runs goes on, and whoever looks after the device has to know. */
static void look_at_signer(Installer *i) {
        Knowledge *k = &i->knowledge;
        RsError why = RS_ERROR_INIT;

        if (trust_store_firmware(k->store) && crl_set_count(trust_store_crls(k->store)) > 0)
                (void) gate_check_accepted(&i->tpm.record, SPAN(k->accepted, k->accepted ? k->accepted_size : 0),
                                           trust_store_firmware(k->store), trust_store_crls(k->store), &why);
        k->signer_revoked = why.reason == RS_REASON_REVOKED;
        if (!k->signer_revoked)
                why = RS_ERROR_INIT; /* what cannot be told is no alarm */
        note_alarm(k, INSTALL_ALARM_SIGNER_REVOKED, &why);
}

/* -- in step, again --------------------------------------------------------------------------------------------- */

int knowledge_refresh(Installer *i, RsError *err) {
        RsError why = RS_ERROR_INIT;
        int r;

        r = read_tpm(i, &i->tpm, err);
        if (r < 0)
                return r;
        if (!i->knowledge.store) {
                r = trust_store_open(&i->device.trust, &i->tpm.record, &i->knowledge.store, err);
                if (r < 0)
                        return r;
        }
        r = load_link(i, err);
        if (r < 0)
                return r;
        /* What lies there and is no good set changes nothing; reseal-certstore would not have stored it: it is told. */
        (void) adopt(i, &why);
        note_alarm(&i->knowledge, INSTALL_ALARM_TRUST_SET, &why);
        if (i->knowledge.loaded)
                trust_clock_follow(&i->knowledge.clock, i->tpm.record.time_floor, i->tpm.record.time_base);
        r = i->knowledge.loaded ? 0 : load_files(i, err);
        if (r == 0)
                look_at_signer(i);
        return r;
}

/* -- for the gate ----------------------------------------------------------------------------------------------- */

void knowledge_for_gate(Installer *i, GateInput *ret) {
        Knowledge *k = &i->knowledge;

        ret->firmware_root = trust_store_firmware(k->store);
        ret->crls = trust_store_crls(k->store);
        ret->recovery = trust_store_recovery(k->store, &ret->n_recovery);
        ret->time = knowledge_time(i);
        ret->freshness = freshness_view(&k->freshness, &ret->time);
        ret->freshness_policy = i->device.policy.freshness;
        ret->require_time = i->device.policy.require_time;
        ret->require_crl = i->device.policy.require_crl;
        ret->crl_grace = i->device.policy.crl_grace_sec;
        ret->links = SPAN(k->links, k->links_size);
        ret->recorded = SPAN(k->accepted, k->accepted ? k->accepted_size : 0);
}

int knowledge_check_again(Installer *i, RsError *err) {
        GateInput now = { .record = &i->tpm.record, .line = i->device.line };
        int r;

        r = trust_store_check(i->knowledge.store, &i->tpm.record, err);
        if (r < 0)
                return r;
        knowledge_for_gate(i, &now);
        return gate_check_again(i->release, &now, err);
}

void knowledge_for_record(Installer *i, const SignerInfo *signer, TpmRecord *record) {
        TpmClockReading reading;

        if (trust_store_crl_number(i->knowledge.store) > record->crl_number)
                record->crl_number = trust_store_crl_number(i->knowledge.store);
        trust_clock_accept(&i->knowledge.clock, signer->not_before, boottime_msec(), tpm_clock(i, &reading),
                           &record->time_floor, &record->time_base);
}

int knowledge_keep_link(Installer *i, Span link, RsError *err) {
        Knowledge *k = &i->knowledge;
        uint8_t *copy;
        int r;

        r = file_replace(i->device.state_fd, FILE_ACCEPTED, link, 0600, err);
        if (r < 0)
                return r;
        copy = malloc(link.size);
        if (!copy)
                return rs_fail_oom(err);
        memcpy(copy, link.data, link.size);
        free(k->accepted);
        k->accepted = copy;
        k->accepted_size = link.size;
        return 0;
}

void knowledge_forget_links(Installer *i) {
        free(i->knowledge.links);
        i->knowledge.links = NULL;
        i->knowledge.links_size = 0;
}

void knowledge_done(Knowledge *k) {
        k->store = trust_store_free(k->store);
        free(k->links);
        free(k->accepted);
        memset(k, 0, sizeof(*k));
}

/* -- TIME ------------------------------------------------------------------------------------------------------- */

int install_time(Installer *i, WriterTime *ret, RsError *err) {
        _cleanup_(encoder_done) Encoder query = ENCODER_INIT;
        Knowledge *k = &i->knowledge;
        TimeInterval now;
        WriterTime t = { 0 };
        int r;

        r = knowledge_refresh(i, err);
        if (r < 0)
                return r;
        if (getrandom(k->nonce, sizeof(k->nonce), 0) != (ssize_t) sizeof(k->nonce))
                return rs_fail(err, INTERNAL, "no random bytes");
        r = timestamp_query(k->nonce, &query, err);
        if (r < 0)
                return r;
        if (query.size > sizeof(t.query))
                return rs_fail(err, INTERNAL, "a time-stamp request of %zu bytes", query.size);
        k->asked = true;
        k->asked_msec = boottime_msec();
        now = knowledge_time(i);
        memcpy(t.nonce, k->nonce, sizeof(t.nonce));
        t.low = now.low;
        t.high = now.high;
        t.proven = now.proven;
        t.query_size = (uint32_t) query.size;
        memcpy(t.query, query.data, query.size);
        *ret = t;
        return 0;
}

/* -- EVIDENCE --------------------------------------------------------------------------------------------------- */

static int save_clock(Installer *i, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        TpmRecord next = i->tpm.record;
        int r;

        r = trust_clock_encode(&i->knowledge.clock, i->device.boot_id, &e, err);
        if (r == 0)
                r = file_replace(i->device.state_fd, FILE_CLOCK, encoder_view(&e), 0600, err);
        if (r < 0 || !trust_clock_worth_writing(&i->knowledge.clock, next.time_floor))
                return r;
        next.time_floor = i->knowledge.clock.floor;
        next.time_base = i->knowledge.clock.base;
        return commit(i, &next, err);
}

static int take_time(Installer *i, Span bytes, bool *ret_changed, RsError *err) {
        Knowledge *k = &i->knowledge;
        const TrustAnchors *anchors = trust_store_time(k->store);
        RsError unused = RS_ERROR_INIT;
        TpmClockReading reading;
        uint64_t time, accuracy, answered;
        PathRules rules = { 0 };
        int r;

        if (!anchors)
                return rs_fail(err, CONFIG, "no anchors for time-stamps are configured");
        if (!k->asked)
                return rs_fail(err, TIME_PROOF, "no time-stamp was asked for");
        k->asked = false; /* one answer to one question */
        /* What the held proof says is no measure here: it may be the lie, and the honest authority's end within it. */
        rules.time_low = k->clock.floor;
        rules.time_high = UINT64_MAX;
        rules.crls = trust_store_crls(k->store);
        r = timestamp_verify(bytes, k->nonce, anchors, &rules, &time, &accuracy, err);
        if (r < 0)
                return r;
        answered = boottime_msec();
        r = trust_clock_prove(&k->clock, time, accuracy, k->asked_msec, answered, tpm_clock(i, &reading), err);
        if (r < 0) {
                if (trust_clock_doubt(&k->clock, time, accuracy, k->asked_msec, answered))
                        (void) save_clock(i, &unused); /* the refusal is what is told */
                return r;
        }
        *ret_changed = true;
        return save_clock(i, err);
}

typedef struct Certs {
        Span list[CERTS_MAX];
        uint32_t n;
} Certs;

/* Authorities of the links in hand and of the accepted one: a list of an authority is judged by its certificate. */
static int note_authority(void *userdata, const Link *link, RsError *err) {
        Certs *certs = userdata;

        (void) err;
        for (uint32_t k = 0; k < certs->n; k++)
                if (span_equal(certs->list[k], link->authority))
                        return 0;
        if (certs->n < CERTS_MAX)
                certs->list[certs->n++] = link->authority;
        return 0;
}

static int take_crls(Installer *i, Span bytes, bool *ret_changed, RsError *err) {
        Knowledge *k = &i->knowledge;
        const TimeInterval now = knowledge_time(i);
        RsError unused = RS_ERROR_INIT;
        TpmRecord next = i->tpm.record;
        Certs certs = { 0 };
        Link accepted;
        int r;

        if (k->accepted && link_parse(SPAN(k->accepted, k->accepted_size), &accepted, &unused) == 0)
                (void) note_authority(&certs, &accepted, &unused);
        unused = RS_ERROR_INIT;
        if (k->links) /* hostile still; certificates are judged where they are used */
                (void) link_set_walk(SPAN(k->links, k->links_size), note_authority, &certs, &unused);
        r = trust_store_add_crls(k->store, bytes, certs.list, certs.n, now.low, now.high, ret_changed, err);
        if (r < 0)
                return r;
        next.crl_number = trust_store_crl_number(k->store);
        if (!*ret_changed && next.crl_number <= i->tpm.record.crl_number)
                return 0;
        *ret_changed = true; /* also when a cut left the lists in the store and the record without their number */
        look_at_signer(i);
        review_statement(i);
        return commit(i, &next, err);
}

static int take_statement(Installer *i, Span bytes, bool *ret_changed, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        FreshnessRules rules = freshness_rules(i);
        int r;

        r = freshness_accept(&i->knowledge.freshness, bytes, &rules, ret_changed, err);
        if (r < 0 || !*ret_changed)
                return r;
        r = freshness_encode(&i->knowledge.freshness, &e, err);
        return r < 0 ? r : file_replace(i->device.state_fd, FILE_STATEMENT, encoder_view(&e), 0600, err);
}

static int take_links(Installer *i, Span bytes, bool *ret_changed, RsError *err) {
        uint8_t *copy;

        if (bytes.size > LINK_SET_MAX)
                return rs_fail(err, CHAIN, "%zu bytes of links, at most %u are permitted", bytes.size, LINK_SET_MAX);
        copy = malloc(bytes.size);
        if (!copy)
                return rs_fail_oom(err);
        memcpy(copy, bytes.data, bytes.size);
        knowledge_forget_links(i);
        i->knowledge.links = copy;
        i->knowledge.links_size = bytes.size;
        *ret_changed = true;
        return 0;
}

int install_evidence(Installer *i, WriterEvidence kind, Span bytes, bool *ret_changed, RsError *err) {
        static int (*const take[])(Installer *i, Span bytes, bool *ret_changed, RsError *err) = {
                [WRITER_EVIDENCE_LINKS] = take_links,
                [WRITER_EVIDENCE_CRLS] = take_crls,
                [WRITER_EVIDENCE_TIME] = take_time,
                [WRITER_EVIDENCE_STATEMENT] = take_statement,
        };
        bool changed = false;
        int r;

        r = knowledge_refresh(i, err);
        if (r == 0)
                r = take[kind](i, bytes, &changed, err);
        if (r == 0)
                *ret_changed = changed;
        return r;
}

/* -- TRUST ------------------------------------------------------------------------------------------------------ */

static void show_record(const TpmState *tpm, WriterTrust *t) {
        const TpmRecord *record = &tpm->record;

        t->empty = record->empty;
        t->bridged = record->chain_flags & 1;
        t->release = record->release;
        t->epoch = record->epoch;
        t->floor_epoch = record->floor_epoch;
        t->accept = tpm->accept;
        t->floor = tpm->floor;
        memcpy(t->line_tag, record->line_tag, sizeof(t->line_tag));
        memcpy(t->signer_spki, record->signer_spki, sizeof(t->signer_spki));
        memcpy(t->manifest, record->manifest_digest, sizeof(t->manifest));
        memcpy(t->log_head, record->log_head, sizeof(t->log_head));
        t->trust_version = record->trust_version;
        t->crl_number = record->crl_number;
        t->time_floor = record->time_floor;
}

static void show_crls(Installer *i, uint64_t low, WriterTrust *t) {
        const CrlSet *crls = trust_store_crls(i->knowledge.store);

        for (uint32_t k = 0; k < crl_set_count(crls) && k < WRITER_CRLS_MAX; k++) {
                CrlInfo info;

                crl_set_info(crls, k, &info);
                (void) snprintf(t->crls[k].issuer, sizeof(t->crls[k].issuer), "%s", info.issuer);
                memcpy(t->crls[k].issuer_key, info.issuer_key, sizeof(info.issuer_key));
                t->crls[k].number = info.number;
                t->crls[k].this_update = info.this_update;
                t->crls[k].next_update = info.next_update;
                t->crls[k].n_revoked = info.n_revoked;
                t->crls[k].stale = info.next_update && info.next_update < low;
                t->n_crls = k + 1;
        }
}

static void show_time(Installer *i, WriterTrust *t) {
        TimeInterval now = knowledge_time(i);
        FreshnessView view = freshness_view(&i->knowledge.freshness, &now);

        t->low = now.low;
        t->high = now.high;
        t->proven = now.proven;
        t->proof = i->knowledge.clock.proof;
        t->latest = view.latest;
        t->seq = view.seq;
        t->expires = view.expires;
        t->fresh = view.fresh;
        show_crls(i, now.low, t);
}

/* The accepted release waits for its trial: until the next start the running one is still the one before. */
static bool is_staged(Installer *i, uint64_t accepted) {
        RsError unused = RS_ERROR_INIT;
        InstallSlot slot;
        BootState boot;

        if (boot_read(i->device.boot, &boot, &unused) < 0 ||
            install_slot_load(i->device.state_fd, boot.primary, &slot, &unused) <= 0 || slot.release != accepted)
                return false;
        for (uint32_t k = 0; k < boot.n_slots; k++)
                if (strcmp(boot.slots[k].name, boot.primary) == 0)
                        return !boot.slots[k].good;
        return false;
}

/* Below what was accepted, and not about to change: an image was put back, within the epoch (DESIGN.md 6). */
static void show_running(Installer *i, WriterTrust *t) {
        RsError unused = RS_ERROR_INIT, why = RS_ERROR_INIT;
        InstallBooted booted;
        InstallSlot slot;

        if (read_booted(i, &booted, &unused) < 0 ||
            install_slot_load(i->device.state_fd, booted.slot, &slot, &unused) <= 0)
                return;
        t->running_release = slot.release;
        t->running_below = !t->empty && slot.release < t->release && !is_staged(i, t->release);
        if (t->running_below)
                (void) rs_fail(&why, ROLLBACK, "release %llu runs, release %llu was accepted",
                               (unsigned long long) slot.release, (unsigned long long) t->release);
        note_alarm(&i->knowledge, INSTALL_ALARM_RUNNING_BELOW, &why);
}

static void show_posture(Installer *i, WriterTrust *t) {
        RsError unused = RS_ERROR_INIT;
        TpmPosture posture;
        TpmLevel level;

        if (tpm_level(i->device.tpm, &level, &unused) >= 0)
                t->level = level;
        if (tpm_posture(i->device.tpm, &posture, &unused) < 0)
                return;
        t->owner_auth_set = posture.owner_auth_set;
        t->lockout_auth_set = posture.lockout_auth_set;
        t->platform_open = posture.platform_open;
        t->in_lockout = posture.in_lockout;
        t->lockout_counter = posture.lockout_counter;
        t->max_tries = posture.max_tries;
}

/* What is wrong is part of the answer: a device that refuses everything still says why. */
int install_trust(Installer *i, WriterTrust *ret, RsError *err) {
        RsError why = RS_ERROR_INIT;
        WriterTrust t = { 0 };
        int r;

        (void) err;
        r = knowledge_refresh(i, &why);
        if (r >= 0) {
                r = trust_store_check(i->knowledge.store, &i->tpm.record, &why);
                show_record(&i->tpm, &t);
                t.signer_revoked = i->knowledge.signer_revoked;
                show_time(i, &t);
                show_running(i, &t);
        }
        if (r < 0) {
                t.reason = (uint32_t) why.reason;
                (void) snprintf(t.text, sizeof(t.text), "%s", why.text);
        }
        show_posture(i, &t);
        *ret = t;
        return 0;
}

/* -- ANCHORS ---------------------------------------------------------------------------------------------------- */

int install_anchors(Installer *i, Span *ret_set, RsError *err) {
        int r = knowledge_refresh(i, err);

        return r < 0 ? r : trust_store_signed(i->knowledge.store, &i->tpm.record, ret_set, err);
}
