/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * evidence - what the writer wants to see beside the manifest: carried, never judged here.
 *
 * Spec:     docs/protocol-writer.md, TIME and EVIDENCE; docs/format-chain.md, section 4
 * Trust:    everything carried is hostile until the writer has judged it
 * Owns:     nothing
 * Units:    seconds since 1970 UTC
 * Errors:   those of https.h, source.h and writer-client.h; NOT_FOUND of an optional file is no failure
 * Context:  worker thread
 * Programs: reseald
 */
#include <reseal/ipc/writer-client.h>
#include <reseal/job/run.h>

#include "head.h"

/* The writer's interval into env->https; where it is not proven and there is an authority, a proof is fetched first;
 * *ret_unproven says why that did not succeed, which is no failure. */
int evidence_time(JobEnv *env, WriterClient *writer, RsError *ret_unproven, RsError *err);

typedef struct EvidencePlace {
        Https *https;            /* NULL: from a descriptor, what the bundle holds is all */
        const char *url;         /* of the bundle */
        Source *source;
        const Head *head;
        SourceLists *lists;      /* reseald's own copies; NULL: none are kept */
} EvidencePlace;

/* Revocation lists, freshness statement, and the links from the accepted release to this one. */
int evidence_send(const EvidencePlace *place, WriterClient *writer, RsError *err);
