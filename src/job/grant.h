/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * grant - from a ticket to the content key.
 *
 * Spec:     docs/format-ticket.md
 * Trust:    the ticket is hostile until its signature under the source anchors is good; it grants reading,
 *           never installing
 * Owns:     the Secret belongs to the caller
 * Units:    none
 * Errors:   TICKET, TICKET_EXPIRED, WRONG_DEVICE, WRONG_BUNDLE, DECRYPT, NOT_PROVISIONED, those of cms.h,
 *           https.h, tpm.h
 * Context:  worker thread; the TPM takes its time
 * Programs: reseald
 */
#include <reseal/base/secret.h>
#include <reseal/job/run.h>

/* ticket_url "" or NULL: the usual place beside the bundle. */
int grant_fetch(const JobEnv *env, Https *https, const char *bundle_url, const char *ticket_url,
                const uint8_t bundle_id[RS_DIGEST_SIZE], Secret **ret_content_key, RsError *err);
/* The part behind the network. */
int grant_open(const JobEnv *env, Span ticket_cms, const uint8_t bundle_id[RS_DIGEST_SIZE], Secret **ret_content_key,
               RsError *err);
