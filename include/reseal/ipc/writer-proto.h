/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * writer-proto - the messages between reseald and reseal-writer as types.
 *
 * Spec:     docs/protocol-writer.md, one heading per message
 * Trust:    the writer treats every field as hostile; reseald treats answers as coming from a more trusted side,
 *           still parsed strictly
 * Owns:     flat values, but ConfigNotes
 * Units:    bytes, frames and images by number
 * Errors:   PROTOCOL
 * Context:  any thread
 * Programs: reseald, reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/config.h>
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
        WRITER_TIME = 22,
        WRITER_EVIDENCE = 24,
        WRITER_TRUST = 26,
        WRITER_REJECT = 28,
        WRITER_ANCHORS = 30,
        WRITER_POLICY = 32,
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
        WRITER_PHASE_FAILED, /* a frame was refused; what was sent behind it gets FAIL as well */
        _WRITER_PHASE_MAX,
} WriterPhase;

/* The one table: which request is permitted in which phase.  NULL: no such request. */
typedef struct WriterRequestRule {
        WriterMessage type;
        const char *name;
        uint32_t phases;        /* bit per WriterPhase */
        uint32_t size_min;      /* of the payload: checked before anything looks into it */
        uint32_t size_max;
        bool takes_fd;          /* must come with exactly one descriptor; all others with none */
        bool for_health;        /* also on health.sock, which knows no other */
} WriterRequestRule;
const WriterRequestRule *writer_request_rule(uint32_t type);
/* health: the request came over health.sock. */
bool writer_request_permitted(uint32_t type, WriterPhase phase, bool health);
const char *writer_phase_to_string(WriterPhase phase);

#define WRITER_NO_RING_SLOT UINT32_MAX
#define WRITER_FRAMES_OUTSTANDING_MAX 4u   /* unanswered FRAMEs at any time; RING_SLOTS */
#define WRITER_VERSION_SIZE 32u
#define WRITER_NAME_SIZE 32u
#define WRITER_REPORT_SIZE 128u
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
        bool failed;            /* holds a whole release whose trial did not end well */
        char report[WRITER_REPORT_SIZE + 1]; /* of the health check, if it said anything; not an authority */
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

typedef struct WriterHello {
        char version[WRITER_VERSION_SIZE + 1];
        bool require_encryption;
        char line[RS_NAME_MAX + 1];
} WriterHello;

typedef struct WriterFrame {
        uint32_t image, frame;
        uint32_t ring_slot;     /* WRITER_NO_RING_SLOT for zero and dup frames */
        uint32_t size;          /* of the plaintext */
} WriterFrame;

typedef enum WriterMark {
        WRITER_MARK_GOOD = 1,
        WRITER_MARK_BAD = 2,
        WRITER_MARK_ACTIVE = 3,
} WriterMark;
#define WRITER_MARK_BELOW 0x100u /* beside it, root's: also when the next start leads below the release accepted last */

typedef struct WriterTime {
        uint8_t nonce[32];
        uint64_t low, high;
        bool proven;
        uint32_t query_size;
        uint8_t query[256];     /* DER TimeStampReq */
} WriterTime;

typedef enum WriterEvidence {
        WRITER_EVIDENCE_LINKS = 1,
        WRITER_EVIDENCE_CRLS = 2,
        WRITER_EVIDENCE_TIME = 3,
        WRITER_EVIDENCE_STATEMENT = 4,
} WriterEvidence;

#define WRITER_CRLS_MAX 24u
#define WRITER_EVIDENCE_MAX (2u << 20)    /* a link set */
#define WRITER_ANCHORS_MAX (128u << 10)   /* TRUST_SET_CMS_MAX */

/* ConfigNotes as POLICY carries them: keys of a file of CONFIG_FILE_MAX bytes, each with the name of its section */
#define WRITER_POLICY_MAX (192u << 10)
#define WRITER_POLICY_TEXT_MAX 4096u   /* the path of the file; a line is shorter */

/* What `resealctl chain|time|crl|posture` show. */
typedef struct WriterTrust {
        uint32_t reason;        /* 0, or why nothing can be installed now (RsReason: TPM_REWOUND, TRUST_SET...) */
        char text[201];
        uint32_t level;         /* 1, 2; 0 unknown */
        bool empty;             /* nothing accepted yet */
        bool bridged;           /* the record came over a bridge */
        uint64_t release;
        uint32_t epoch, floor_epoch;
        uint64_t accept, floor;
        uint8_t line_tag[16], signer_spki[32], manifest[32], log_head[32];
        uint64_t trust_version, crl_number, time_floor;
        bool running_below;     /* RunningBelowAccepted */
        bool signer_revoked;    /* that of the accepted release, since: a bridge leads on */
        uint64_t running_release;
        /* time */
        uint64_t low, high, proof;
        bool proven;
        /* freshness: zeros when there is no statement */
        uint64_t latest, seq, expires;
        bool fresh;             /* not expired as far as the time is known */
        /* revocation */
        uint32_t n_crls;
        struct {
                char issuer[161];
                uint8_t issuer_key[32];
                uint64_t number, this_update, next_update;
                uint32_t n_revoked;
                bool stale;
        } crls[WRITER_CRLS_MAX];
        /* posture of the TPM */
        bool owner_auth_set, lockout_auth_set, platform_open, in_lockout;
        uint32_t lockout_counter, max_tries;
} WriterTrust;

/* encode/decode of each payload, both ends from one file so that they cannot differ */
void writer_encode_hello_request(Encoder *e, const char *version);
int writer_decode_hello_request(Span p, char ret_version[WRITER_VERSION_SIZE + 1], RsError *err);
void writer_encode_hello(Encoder *e, const WriterHello *h);
int writer_decode_hello(Span p, WriterHello *ret, RsError *err);
void writer_encode_slots(Encoder *e, const WriterSlotInfo *slots, uint32_t n);
int writer_decode_slots(Span p, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err);
void writer_encode_state(Encoder *e, const WriterState *s);
int writer_decode_state(Span p, WriterState *ret, RsError *err);
void writer_encode_offer_request(Encoder *e, Span manifest_cms);
int writer_decode_offer_request(Span p, Span *ret_manifest_cms /* borrows p */, RsError *err);
void writer_encode_offer(Encoder *e, const WriterOffer *o);
int writer_decode_offer(Span p, WriterOffer *ret, RsError *err);
void writer_encode_table_request(Encoder *e, uint32_t image, uint32_t size);
int writer_decode_table_request(Span p, uint32_t *ret_image, uint32_t *ret_size, RsError *err);
void writer_encode_ranges(Encoder *e, uint32_t next_frame, const WriterRange *ranges, uint32_t n);
int writer_decode_ranges(Span p, uint32_t *ret_next, WriterRange *ret, uint32_t max, uint32_t *ret_n, RsError *err);
void writer_encode_ring(Encoder *e);
int writer_decode_ring(Span p, RsError *err);    /* slots and slot size must be those of this build */
void writer_encode_frame_request(Encoder *e, const WriterFrame *f);
int writer_decode_frame_request(Span p, WriterFrame *ret, RsError *err);
void writer_encode_frame(Encoder *e, uint32_t image, uint32_t frame);
int writer_decode_frame(Span p, uint32_t *ret_image, uint32_t *ret_frame, RsError *err);
void writer_encode_name(Encoder *e, const char *name);   /* answers of FINISH and MARK */
int writer_decode_name(Span p, char ret_name[WRITER_NAME_SIZE + 1], RsError *err);
void writer_encode_mark_request(Encoder *e, uint32_t what /* WriterMark | WRITER_MARK_BELOW */, const char *slot_name);
int writer_decode_mark_request(Span p, WriterMark *ret_what, bool *ret_below, char ret_name[WRITER_NAME_SIZE + 1],
                               RsError *err);
void writer_encode_reject_request(Encoder *e, const char *report);
int writer_decode_reject_request(Span p, char ret_report[WRITER_REPORT_SIZE + 1], RsError *err);
void writer_encode_time(Encoder *e, const WriterTime *t);
int writer_decode_time(Span p, WriterTime *ret, RsError *err);
void writer_encode_evidence_request(Encoder *e, WriterEvidence kind, uint32_t size);
int writer_decode_evidence_request(Span p, WriterEvidence *ret_kind, uint32_t *ret_size, RsError *err);
void writer_encode_evidence(Encoder *e, bool changed);
int writer_decode_evidence(Span p, bool *ret_changed, RsError *err);
void writer_encode_trust(Encoder *e, const WriterTrust *t);
int writer_decode_trust(Span p, WriterTrust *ret, RsError *err);
void writer_encode_anchors(Encoder *e, uint32_t size);
int writer_decode_anchors(Span p, uint32_t *ret_size, RsError *err);
void writer_encode_policy(Encoder *e, uint32_t size);
int writer_decode_policy(Span p, uint32_t *ret_size, RsError *err);
void writer_encode_notes(Encoder *e, const ConfigNotes *notes);
int writer_decode_notes(Span p, ConfigNotes *ret, RsError *err);
void writer_encode_progress(Encoder *e, const WriterProgress *p);
int writer_decode_progress(Span p, WriterProgress *ret, RsError *err);
