/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * writer-client - reseald's end: writer_call_x() sends a request and waits for its answer.
 *
 * Spec:     docs/protocol-writer.md
 * Trust:    answers are parsed strictly
 * Owns:     a WriterClient owns its channel and ring
 * Units:    bytes, microseconds
 * Errors:   whatever reason the writer gave; PROTOCOL, WRITER_GONE
 * Context:  one worker thread at a time; blocking with poll, woken early by cancel_fd (an eventfd) if given
 * Programs: reseald, tests
 */
#include <reseal/ipc/ring.h>
#include <reseal/ipc/writer-proto.h>

typedef struct WriterClient WriterClient;

/* Called from within writer_call_* when a progress event arrives. */
typedef void (*WriterOnProgress)(void *userdata, const WriterProgress *p);

int writer_client_connect(const char *socket_path, WriterClient **ret, RsError *err);   /* includes HELLO */
/* The same, woken by cancel_fd (or -EBADF) from the first message on; a full backlog is WRITER_GONE. */
int writer_client_connect_cancel(const char *socket_path, int cancel_fd, WriterClient **ret, RsError *err);
int writer_client_from_fd(int fd /* taken */, WriterClient **ret, RsError *err);        /* includes HELLO */
WriterClient *writer_client_free(WriterClient *c);
RS_DEFINE_CLEANUP(WriterClient, writer_client_free)
void writer_client_on_progress(WriterClient *c, WriterOnProgress fn, void *userdata);
/* An eventfd that, when readable, makes waiting calls return CANCELLED; -EBADF for none. Borrowed. */
void writer_client_set_cancel_fd(WriterClient *c, int cancel_fd);
/* How long HELLO, SLOTS, STATE, MARK and ABORT may take before the writer is given up (WRITER_GONE); two minutes. */
void writer_client_set_patience(WriterClient *c, uint64_t usec);
const char *writer_client_line(const WriterClient *c);
bool writer_client_require_encryption(const WriterClient *c);

int writer_call_slots(WriterClient *c, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err);
int writer_call_state(WriterClient *c, WriterState *ret, RsError *err);
int writer_call_time(WriterClient *c, WriterTime *ret, RsError *err);
int writer_call_evidence(WriterClient *c, WriterEvidence kind, Span bytes, bool *ret_changed, RsError *err);
int writer_call_trust(WriterClient *c, WriterTrust *ret, RsError *err);
/* The trust set in force, as signed: the caller's.  NULL and 0: version 0, each goes by its own configuration. */
int writer_call_anchors(WriterClient *c, uint8_t **ret, size_t *ret_size, RsError *err);
/* What the writer goes by; the caller's, config_notes_done(). */
int writer_call_policy(WriterClient *c, ConfigNotes *ret, RsError *err);
int writer_call_offer(WriterClient *c, Span manifest_cms, WriterOffer *ret, RsError *err);
/* ret_ranges: WRITER_RANGES_MAX entries: frames already proven. */
int writer_call_table(WriterClient *c, uint32_t image, Span table, uint32_t *ret_next, WriterRange *ret_ranges,
                      uint32_t *ret_n, RsError *err);
int writer_call_ring(WriterClient *c, Ring **ret /* borrowed */, RsError *err);
/*
 * Pipelined: send returns at once when fewer than RING_SLOTS frames are outstanding, else waits for the oldest
 * answer.
 */
int writer_send_frame(WriterClient *c, uint32_t image, uint32_t frame, uint32_t ring_slot, uint32_t size,
                      RsError *err);
/* A ring slot that is free to be filled; waits for answers while none is. */
int writer_take_slot(WriterClient *c, uint32_t *ret_slot, RsError *err);
int writer_drain(WriterClient *c, RsError *err);   /* all outstanding frames answered */
int writer_call_finish(WriterClient *c, char ret_primary[33], RsError *err);
int writer_call_abort(WriterClient *c, RsError *err);
int writer_call_mark(WriterClient *c, uint32_t what, const char *slot_name, char ret_name[33], RsError *err);
/* The running slot failed its trial: report in words (printable, at most WRITER_REPORT_SIZE bytes). */
int writer_call_reject(WriterClient *c, const char *report, char ret_name[33], RsError *err);
