/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * roots - whom reseald trusts: the anchors of its configuration, until a trust set replaces them.
 *
 * Spec:     docs/protocol-writer.md, ANCHORS; docs/format-chain.md, section 6; requirements S23, S25, S71
 * Trust:    the writer's answer is believed, as its word on time and lists is; the set is parsed strictly
 * Owns:     a TrustRoots owns all it gives out, until trust_roots_adopt
 * Units:    none
 * Errors:   CONFIG, FORMAT, those of pki/path.h and ipc/writer-client.h
 * Context:  the worker thread, but for loading
 * Programs: reseald
 */
#include <reseal/ipc/writer-client.h>
#include <reseal/job/lists.h>
#include <reseal/pki/path.h>

typedef struct TrustRoots TrustRoots;

/* PEM files: what counts at version 0.  firmware_path may be NULL: manifests are then judged by the writer alone. */
int trust_roots_load(const char *source_path, const char *firmware_path, TrustRoots **ret, RsError *err);
TrustRoots *trust_roots_free(TrustRoots *t);
RS_DEFINE_CLEANUP(TrustRoots, trust_roots_free)
/* Nobody, when a trust set is in force that names none: what is left out of it is not trusted. */
const TrustAnchors *trust_roots_source(const TrustRoots *t);
const TrustAnchors *trust_roots_firmware(const TrustRoots *t);

/* 1: the device goes by others now; whoever has borrowed the present ones drops them, then adopts.  0: by the same. */
int trust_roots_ask(TrustRoots *t, WriterClient *writer, RsError *err);
/* lists (may be NULL) are judged by the new ones from here on. */
int trust_roots_adopt(TrustRoots *t, SourceLists *lists, RsError *err);
