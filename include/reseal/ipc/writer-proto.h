/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * writer-proto - the messages between reseald and reseal-writer as types.
 *
 * Spec:     docs/protocol-writer.md, one heading per message
 * Trust:    the writer treats every field as hostile; reseald treats answers as coming from a more trusted side, still parsed strictly
 * Owns:     flat values
 * Units:    bytes, frames and images by number
 * Errors:   PROTOCOL
 * Context:  any thread
 * Programs: reseald, reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/format/limits.h>

typedef enum WriterMessage {
        WRITER_FAIL = 1,
        WRITER_HELLO = 2,
        WRITER_SLOTS = 4,
        WRITER_STATE = 6,
        WRITER_OFFER = 8,
        WRITER_TABLE = 10,
        WRITER_RING = 12,
        WRITER_FRAME = 14,
        WRITER_FINISH = 16,
        WRITER_ABORT = 18,
        WRITER_MARK = 20,
        WRITER_EVENT_PROGRESS = 0x101,
} WriterMessage;

typedef enum WriterPhase {
        WRITER_PHASE_HELLO = 0,
        WRITER_PHASE_IDLE,
        WRITER_PHASE_OFFERED,
        WRITER_PHASE_TABLED,
        WRITER_PHASE_WRITING,
        WRITER_PHASE_FINISHING,
        WRITER_PHASE_DONE,
        _WRITER_PHASE_MAX,
} WriterPhase;

/* The one table: which request is permitted in which phase.  NULL: no such request. */
typedef struct WriterRequestRule {
        WriterMessage type;
        const char *name;
        uint32_t phases;        /* bit per WriterPhase */
        bool takes_fd;
} WriterRequestRule;
const WriterRequestRule *writer_request_rule(uint32_t type);
bool writer_request_permitted(uint32_t type, WriterPhase phase);
const char *writer_phase_to_string(WriterPhase phase);

#define WRITER_NO_RING_SLOT UINT32_MAX
#define WRITER_SLOTS_MAX 64u
#define WRITER_RANGES_MAX 4096u

typedef struct WriterSlotInfo {
        char class_name[33], name[33], boot_name[33];
        uint32_t type;          /* SlotKind */
        bool running, primary, bootable, good, busy;
        uint32_t tries_left;    /* UINT32_MAX: not counted */
        uint64_t size, release;
        uint32_t epoch;
        uint8_t bundle_id[32];  /* zeros: unknown */
        char version[65];
} WriterSlotInfo;

typedef struct WriterState {
        uint64_t release;
        uint32_t epoch, floor_epoch;
        char running[33], primary[33];
        bool trial_pending;
        uint32_t step;          /* 0 none, else W number + 1 */
        uint8_t bundle_id[32];
} WriterState;

typedef struct WriterOffer {
        uint8_t bundle_id[32];
        uint32_t n_images;
        struct {
                bool wanted;
                char slot_name[33];
        } images[RS_IMAGES_MAX];
} WriterOffer;

typedef struct WriterRange {
        uint32_t first, count;
} WriterRange;

typedef struct WriterProgress {
        uint32_t step, image;
        uint64_t done_bytes, total_bytes;
} WriterProgress;

/* encode/decode of each payload, both ends from one file so that they cannot differ */
void writer_encode_slots(Encoder *e, const WriterSlotInfo *slots, uint32_t n);
int writer_decode_slots(Span p, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err);
void writer_encode_state(Encoder *e, const WriterState *s);
int writer_decode_state(Span p, WriterState *ret, RsError *err);
void writer_encode_offer(Encoder *e, const WriterOffer *o);
int writer_decode_offer(Span p, WriterOffer *ret, RsError *err);
void writer_encode_ranges(Encoder *e, uint32_t next_frame, const WriterRange *ranges, uint32_t n);
int writer_decode_ranges(Span p, uint32_t *ret_next, WriterRange *ret, uint32_t max, uint32_t *ret_n, RsError *err);
void writer_encode_progress(Encoder *e, const WriterProgress *p);
int writer_decode_progress(Span p, WriterProgress *ret, RsError *err);
