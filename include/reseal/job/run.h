/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * run - carries out an installation or an inspection, from the address to its end.
 *
 * Spec:     DESIGN.md 3 and 8; docs/format-ticket.md, "A device checks in this order"; src/job/machine.c
 * Trust:    source and bundle are hostile; what is acceptable the writer decides
 * Owns:     a JobEnv borrows all it names, which must outlive the call
 * Units:    bytes, microseconds
 * Errors:   those of https.h, fd.h, flow.h, cms.h, ticket.h, tpm.h; STATE (not the bundle that was waited
 *           for); whatever the writer answers
 * Context:  the worker thread; blocks, woken by the cancel descriptor in env->https
 * Programs: reseald
 */
#include <reseal/format/bundle.h>
#include <reseal/format/manifest.h>
#include <reseal/job/lists.h>
#include <reseal/job/machine.h>
#include <reseal/job/record.h>
#include <reseal/job/roots.h>
#include <reseal/pki/path.h>
#include <reseal/source/fd.h>
#include <reseal/source/https.h>
#include <reseal/tpm/key.h>

typedef struct JobEnv {
        HttpsConfig https;                      /* with cancel_fd; anchors and lists come from below */
        TrustRoots *roots;                      /* NULL: https.anchors and firmware stay as they are */
        const TrustAnchors *firmware;           /* NULL: the manifest is read unjudged, for display and addressing */
        Tpm *tpm;
        const TpmKey *unwrap;                   /* NULL: not provisioned, encrypted bundles are refused */
        uint8_t device_id[RS_DIGEST_SIZE];
        const char *tsa_url;                    /* time-stamp authority; NULL: the time is never proven */
        SourceLists *lists;                     /* revoked certificates of the source; NULL: none are kept */
        const char *writer_socket;
        uint64_t writer_retry_usec;             /* pause before a lost writer is asked again */
        unsigned writer_retries;                /* without a frame written in between */
} JobEnv;

/* What is to be installed, and from where its ticket comes.  Descriptors are borrowed and read once. */
typedef struct JobOrder {
        const char *url;                        /* NULL: from bundle_fd */
        int bundle_fd;
        const char *ticket_url;                 /* NULL or "": the usual place beside the bundle; an fd job has none */
        int ticket_fd;                          /* -EBADF: none */
        Span ticket;                            /* SPAN_NULL: none; goes before the other two */
        const uint8_t *bundle_id;               /* STATE when it is another bundle; NULL: any */
} JobOrder;

#define JOB_ORDER_INIT ((JobOrder){ .bundle_fd = -EBADF, .ticket_fd = -EBADF })

typedef struct JobProgress {
        JobState state;
        uint32_t step;                          /* W number + 1 as the writer counts, 0 = none yet */
        uint64_t done_bytes, total_bytes;
        bool has_bundle;
        uint8_t bundle_id[RS_DIGEST_SIZE];
        char version[RS_NAME_MAX + 1];
        uint64_t release;
        char validator[160];
        char primary[33];                       /* boot name the writer made primary, when done */
        RsError unproven;                       /* why the time is not proven; NONE: it is, or nobody is asked */
        bool lost;                              /* the writer went away at least once */
        RsError failure;                        /* of the end, or of the loss being recovered from */
} JobProgress;

/* Called on the worker: at each change of state and now and then in between.  Must not block. */
typedef void (*JobOnProgress)(void *userdata, const JobProgress *p);

/* 0 = done, < 0 failed or cancelled; *ret_progress holds the last word in each case. */
int job_run(const JobEnv *env, const JobOrder *order, JobOnProgress fn, void *userdata, JobProgress *ret_progress,
            RsError *err);

typedef struct JobInspection {
        Manifest *manifest;
        bool encrypted;
        uint8_t bundle_id[RS_DIGEST_SIZE];
        SignerInfo signer;                      /* subject "" when there are no anchors to judge by */
        uint64_t size;                          /* of the whole bundle */
        bool asked;                             /* the writer told what it accepted last */
        uint64_t accepted;                      /* release; 0 = nothing yet */
        RsError verdict;                        /* NONE = the writer would take it */
} JobInspection;

/* Reads the head, verifies what can be verified here, and asks the writer's gate (offer and abort). */
int job_inspect(const JobEnv *env, const char *url, JobInspection *ret, RsError *err);
void job_inspection_done(JobInspection *i);
