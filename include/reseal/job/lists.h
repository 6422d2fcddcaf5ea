/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * lists - the source's revocation lists as reseald keeps them, for TLS servers and ticket signers.
 *
 * Spec:     DESIGN.md 5; docs/format-chain.md, section 4; requirements S24, S71; threat T45
 * Trust:    the file is reseald's own; how old it may be, the writer's numbers say
 * Owns:     a SourceLists owns its set; the directory is borrowed
 * Units:    none
 * Errors:   CRL_ROLLBACK, IO, those of pki/crl.h
 * Context:  the worker thread, but for opening
 * Programs: reseald
 */
#include <reseal/base/cleanup.h>
#include <reseal/ipc/writer-proto.h>
#include <reseal/pki/crl.h>

typedef struct SourceLists SourceLists;

/* File "crls" in dir_fd; one that is damaged or cannot be read counts as empty: source_lists_unread. */
int source_lists_open(int dir_fd, const TrustAnchors *source, SourceLists **ret, RsError *err);
SourceLists *source_lists_free(SourceLists *l);
RS_DEFINE_CLEANUP(SourceLists, source_lists_free)
const RsError *source_lists_unread(const SourceLists *l); /* what is wrong with the file; NULL: nothing */
const CrlSet *source_lists_set(const SourceLists *l); /* borrowed until source_lists_trust */
/* Other anchors (borrowed) from here on: what is kept is judged by them. */
int source_lists_trust(SourceLists *l, const TrustAnchors *source, RsError *err);
/* A list that the writer has accepted.  One that no anchor of the source has signed is not ours: 0. */
int source_lists_add(SourceLists *l, Span der, RsError *err);
/* CRL_ROLLBACK when one of the source is older than the writer knows it, or missing: the directory was put back. */
int source_lists_check(const SourceLists *l, const WriterTrust *trust, RsError *err);
