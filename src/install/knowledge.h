/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * knowledge - what the writer knows beside the manifest: anchors, revocation, time, freshness, links.
 *
 * Spec:     DESIGN.md 6 and 7; docs/protocol-writer.md, TIME, EVIDENCE and TRUST
 * Trust:    evidence is hostile; each piece is judged by room trust before it changes anything
 * Owns:     a Knowledge owns store, links and what they hold
 * Units:    seconds since 1970 UTC; boot time in milliseconds
 * Errors:   those of trust/anchors.h, trust/clock.h, trust/freshness.h, tpm/state.h
 * Context:  worker thread
 * Programs: reseal-writer
 */
#include <reseal/install/install.h>
#include <reseal/ipc/writer-proto.h>
#include <reseal/trust/anchors.h>
#include <reseal/trust/clock.h>
#include <reseal/trust/freshness.h>
#include <reseal/trust/gate.h>

struct Installer;

typedef struct Knowledge {
        TrustStore *store;
        RsError alarms[_INSTALL_ALARM_MAX];  /* reason NONE: all is well, or that was told */
        char told[_INSTALL_ALARM_MAX][sizeof(((RsError *) NULL)->text)];
        bool signer_revoked;     /* that of the release accepted last */
        TrustClock clock;
        Freshness freshness;
        bool loaded;             /* clock and freshness have been read from the state directory */
        bool asked;              /* nonce is outstanding */
        uint8_t nonce[32];
        uint64_t asked_msec;
        uint8_t *links;          /* for the next offer */
        size_t links_size;
        uint8_t *accepted;       /* the link of the release accepted last, NULL: none kept */
        size_t accepted_size;
        bool copies_kept;        /* the set in force stands where the next start finds it */
} Knowledge;

/* The TPM's state into i->tpm, store and clock in step with it; adopts a new trust set.  First of every request. */
int knowledge_refresh(struct Installer *i, RsError *err);
TimeInterval knowledge_time(struct Installer *i);
/* The part of the gate's input that comes from here; borrows. */
void knowledge_for_gate(struct Installer *i, GateInput *ret);
/* The release that was accepted at the offer, by what is known now; before W1, W7 and the flags. */
int knowledge_check_again(struct Installer *i, RsError *err);
/* W7: floors into the record that is about to be committed. */
void knowledge_for_record(struct Installer *i, const SignerInfo *signer, TpmRecord *record);
/* W7: keeps the link of the release, before it is committed. */
int knowledge_keep_link(struct Installer *i, Span link, RsError *err);
void knowledge_forget_links(struct Installer *i);
void knowledge_done(Knowledge *k);
