/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * limits - every cap on foreign counts and lengths, each with its reason.
 *
 * Spec:     docs/format-bundle.md section 7
 * Trust:    checked before any allocation that a foreign number would size
 * Owns:     nothing
 * Units:    bytes unless the name says otherwise
 * Errors:   none
 * Context:  constants only
 * Programs: all
 */
#define RS_BLOCK_SIZE 4096u                      /* dm-verity data and hash block, XTS data unit */
#define RS_CHUNK_BLOCKS 128u                     /* digests of 32 bytes in one hash block */
#define RS_CHUNK_SIZE (RS_CHUNK_BLOCKS * RS_BLOCK_SIZE)
#define RS_FRAME_CHUNKS_MAX 2u                   /* measured: larger frames cost memory, gain little */
#define RS_FRAME_SIZE_MAX (RS_FRAME_CHUNKS_MAX * RS_CHUNK_SIZE)
#define RS_DIGEST_SIZE 32u                       /* SHA-256 everywhere */
#define RS_SALT_SIZE 32u
#define RS_TAG_SIZE 16u                          /* AES-GCM */
#define RS_KEY_SIZE 32u
#define RS_POINT_SIZE 65u                        /* uncompressed P-256 */

#define RS_IMAGE_SIZE_MIN (2u * RS_BLOCK_SIZE)   /* dm-verity has no tree over a single block */
#define RS_IMAGE_SIZE_MAX (16ull << 30)          /* memory budget of 32 MiB holds up to here */
#define RS_CHUNKS_MAX ((uint32_t) (RS_IMAGE_SIZE_MAX / RS_CHUNK_SIZE))
#define RS_IMAGES_MAX 16u
#define RS_COMPATIBLE_MAX 16u
#define RS_NUMBER_LEAP_MAX (UINT64_C(1) << 32)   /* of a number that never falls, by one signed object */
#define RS_NAME_MAX 64u                          /* line, compatible, version */
#define RS_CLASS_MAX 32u
#define RS_NOTES_MAX 4096u

#define RS_BUNDLE_HEADER_FIXED 32u
#define RS_BUNDLE_SECTIONS_MAX (4u + 2u * RS_IMAGES_MAX)
#define RS_BUNDLE_HEADER_MAX (RS_BUNDLE_HEADER_FIXED + 24u * RS_BUNDLE_SECTIONS_MAX)
#define RS_MANIFEST_CMS_MAX (56u * 1024u)        /* fits one message to the writer (64 KiB) */
#define RS_MANIFEST_JSON_MAX (32u * 1024u)
#define RS_TRANSPORT_MAX (64u * 1024u)
#define RS_LINKS_MAX (2u << 20)                   /* 1024 links of 2 KiB: years of releases */
#define RS_CRLS_COUNT_MAX 8u
#define RS_CRL_MAX (128u << 10)
#define RS_CRLS_MAX (4u + RS_CRLS_COUNT_MAX * (4u + RS_CRL_MAX))
#define RS_TABLE_SIZE_MAX (8u << 20)             /* 16 GiB at one chunk per frame needs 2.6 MiB */
#define RS_TICKET_MAX 8192u
#define RS_CERT_FILE_MAX (64u * 1024u)
#define RS_CERT_CHAIN_MAX 4u                     /* signer, two intermediates, root */
