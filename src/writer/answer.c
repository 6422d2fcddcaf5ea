/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * answer - what each request does, on the worker thread: writer_answer_x() is the other end of writer_call_x().
 *
 * Requests arrive parsed and permitted in their phase; what is judged here is what needs the device.  A failure goes
 * back
 * as FAIL.  Reason PROTOCOL is different: the request fits no honest peer, and the server ends the connection for it.
 *
 * After a frame has failed, the frames that were on their way behind it and a FINISH get the same failure: `failed`
 * stands until the next OFFER or ABORT.  It lives here, not with the phases, because this thread knows it first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>
#include <reseal/ipc/memfd.h>
#include <reseal/ipc/ring.h>

#include "journal.h"
#include "worker.h"

static int writer_answer_slots(Answerer *a, Work *w, RsError *err) {
        _cleanup_(freep) WriterSlotInfo *slots = NULL;
        uint32_t n;
        int r;

        slots = calloc(WRITER_SLOTS_MAX, sizeof(*slots));
        if (!slots)
                return rs_fail_oom(err);
        r = install_slots(a->installer, slots, WRITER_SLOTS_MAX, &n, err);
        if (r < 0)
                return r;
        writer_encode_slots(&w->answer, slots, n);
        return 0;
}

static int writer_answer_state(Answerer *a, Work *w, RsError *err) {
        WriterState state;
        int r;

        r = install_state(a->installer, !w->for_later, &state, err);
        if (r < 0)
                return r;
        writer_encode_state(&w->answer, &state);
        return 0;
}

/*
 * One ring in the life of this process: a peer may ask as often as it likes, and keep what it got, and there is no more
 * memory for it.  Between installations its pages go, with the plaintext in them.
 */
static void end_ring(Answerer *a) {
        RsError unsaid = RS_ERROR_INIT;

        a->ring_lent = false;
        if (a->ring && ring_clear(a->ring, &unsaid) < 0)
                a->ring = ring_free(a->ring);
}

static int writer_answer_offer(Answerer *a, Work *w, RsError *err) {
        char id[HEX_SIZE(32)], field[96];
        WriterOffer offer;
        int r;

        a->failed = RS_ERROR_INIT;
        a->finished = false;
        end_ring(a);
        r = install_offer(a->installer, SPAN(w->bytes, w->size), &offer, err);
        if (r < 0)
                return r;
        w->tabled = install_tabled(a->installer);
        writer_encode_offer(&w->answer, &offer);
        hex_encode(SPAN_ARRAY(offer.bundle_id), id);
        (void) snprintf(field, sizeof(field), "RESEAL_BUNDLE=%s", id);
        journal_say(LOG_INFO, MESSAGE_WRITER_ACCEPTED, field, NULL, "release accepted for slot %s (%s)",
                    offer.images[0].slot_name, freshness_verdict_to_string(install_freshness(a->installer)));
        return 0;
}

static int read_sealed(int fd, size_t size, uint8_t **ret, RsError *err) {
        if (fd < 0) /* this process could not keep it: not the peer's doing */
                return rs_fail_errno(err, -fd, "TABLE: its descriptor");
        return memfd_read(fd, size, ret, err);
}

static int writer_answer_table(Answerer *a, Work *w, RsError *err) {
        _cleanup_(freep) WriterRange *ranges = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        uint32_t next, n;
        int r;

        r = read_sealed(w->fd, w->size, &bytes, err);
        closep(&w->fd);
        w->fd = -EBADF;
        ranges = calloc(WRITER_RANGES_MAX, sizeof(*ranges));
        if (r >= 0 && !ranges)
                r = rs_fail_oom(err);
        if (r >= 0)
                r = install_table(a->installer, w->image, SPAN(bytes, w->size), &next, ranges, &n, err);
        if (r < 0) { /* ends the offer */
                install_abort(a->installer);
                return r;
        }
        w->tabled = install_tabled(a->installer);
        writer_encode_ranges(&w->answer, next, ranges, n);
        return 0;
}

static int writer_answer_time(Answerer *a, Work *w, RsError *err) {
        WriterTime time;
        int r;

        r = install_time(a->installer, &time, err);
        if (r < 0)
                return r;
        writer_encode_time(&w->answer, &time);
        return 0;
}

static int writer_answer_evidence(Answerer *a, Work *w, RsError *err) {
        static const char *const words[] = { [WRITER_EVIDENCE_LINKS] = "links", [WRITER_EVIDENCE_CRLS] = "revocation lists",
                                             [WRITER_EVIDENCE_TIME] = "time-stamp",
                                             [WRITER_EVIDENCE_STATEMENT] = "freshness statement" };
        _cleanup_(freep) uint8_t *bytes = NULL;
        bool changed;
        int r;

        r = read_sealed(w->fd, w->size, &bytes, err);
        closep(&w->fd);
        w->fd = -EBADF;
        if (r >= 0)
                r = install_evidence(a->installer, w->evidence, SPAN(bytes, w->size), &changed, err);
        if (r < 0)
                return r;
        if (changed && w->evidence != WRITER_EVIDENCE_LINKS)
                journal_say(LOG_INFO, MESSAGE_WRITER_EVIDENCE, NULL, NULL, "%s accepted", words[w->evidence]);
        writer_encode_evidence(&w->answer, changed);
        return 0;
}

static int writer_answer_trust(Answerer *a, Work *w, RsError *err) {
        _cleanup_(freep) WriterTrust *trust = calloc(1, sizeof(*trust));
        int r;

        if (!trust)
                return rs_fail_oom(err);
        r = install_trust(a->installer, trust, err);
        if (r < 0)
                return r;
        writer_encode_trust(&w->answer, trust);
        return 0;
}

/* One memfd for as long as a set is in force, whoever asks how often. */
static int lend_anchors(Answerer *a, Span set, int *ret_fd, RsError *err) {
        uint8_t digest[RS_DIGEST_SIZE];
        int r;

        r = digest_sha256(set, digest, err);
        if (r < 0)
                return r;
        if (a->anchors_fd < 0 || memcmp(digest, a->anchors_digest, sizeof(digest)) != 0) {
                closep(&a->anchors_fd);
                a->anchors_fd = -EBADF;
                r = memfd_sealed("reseal-anchors", set, &a->anchors_fd, err);
                if (r < 0)
                        return r;
                memcpy(a->anchors_digest, digest, sizeof(digest));
        }
        *ret_fd = fcntl(a->anchors_fd, F_DUPFD_CLOEXEC, 3);
        return *ret_fd < 0 ? rs_fail_errno(err, errno, "anchors") : 0;
}

static int writer_answer_anchors(Answerer *a, Work *w, RsError *err) {
        Span set;
        int r;

        r = install_anchors(a->installer, &set, err);
        if (r == 0 && set.size > 0)
                r = lend_anchors(a, set, &w->fd, err);
        if (r < 0)
                return r;
        writer_encode_anchors(&w->answer, (uint32_t) set.size);
        return 0;
}

static int writer_answer_ring(Answerer *a, Work *w, RsError *err) {
        int r;

        r = a->ring ? 0 : ring_create(&a->ring, err);
        if (r < 0)
                return r;
        w->fd = fcntl(ring_fd(a->ring), F_DUPFD_CLOEXEC, 3);
        if (w->fd < 0)
                return rs_fail_errno(err, errno, "ring");
        a->ring_lent = true;
        writer_encode_ring(&w->answer);
        return 0;
}

static int writer_answer_frame(Answerer *a, Work *w, RsError *err) {
        const uint8_t *shared = NULL;
        int r;

        if (w->frame.ring_slot != WRITER_NO_RING_SLOT) {
                if (!a->ring_lent)
                        return rs_fail(err, PROTOCOL, "FRAME with data before RING");
                shared = ring_slot(a->ring, w->frame.ring_slot);
        }
        r = install_frame(a->installer, &w->frame, shared, err);
        if (r < 0) {
                a->failed = *err;
                return r;
        }
        writer_encode_frame(&w->answer, w->frame.image, w->frame.frame);
        return 0;
}

static int writer_answer_finish(Answerer *a, Work *w, RsError *err) {
        char primary[WRITER_NAME_SIZE + 1], field[64];
        int r;

        r = install_finish(a->installer, primary, err);
        end_ring(a);
        if (r < 0) {
                install_abort(a->installer);
                return r;
        }
        a->finished = true;
        writer_encode_name(&w->answer, primary);
        (void) snprintf(field, sizeof(field), "RESEAL_SLOT=%s", primary);
        journal_say(LOG_NOTICE, MESSAGE_WRITER_INSTALLED, field, NULL,
                    "release installed, slot %s is tried next", primary);
        return 0;
}

static int writer_answer_abort(Answerer *a, Work *w, RsError *err) {
        if (w->finished || (w->holder && a->finished)) {
                w->finished = true;
                return rs_fail(err, STATE, "the installation is complete");
        }
        if (!w->holder) /* what may be running is another connection's */
                return 0;
        a->failed = RS_ERROR_INIT;
        install_abort(a->installer);
        end_ring(a);
        return 0;
}

static int writer_answer_mark(Answerer *a, Work *w, RsError *err) {
        static const char *const words[] = { [WRITER_MARK_GOOD] = "good", [WRITER_MARK_BAD] = "bad",
                                             [WRITER_MARK_ACTIVE] = "active" };
        char name[WRITER_NAME_SIZE + 1], field[64];
        int r;

        r = install_mark(a->installer, w->asker, w->mark, w->name, name, err);
        if (r < 0)
                return r;
        writer_encode_name(&w->answer, name);
        (void) snprintf(field, sizeof(field), "RESEAL_SLOT=%s", name);
        if (r > 0)
                journal_say(LOG_WARNING, MESSAGE_WRITER_BELOW, field, NULL,
                            "by the word of root, the next start leads below the release accepted last");
        journal_say(LOG_NOTICE, MESSAGE_WRITER_MARKED, field, NULL, "slot %s marked %s", name, words[w->mark]);
        return 0;
}

static int writer_answer_reject(Answerer *a, Work *w, RsError *err) {
        char name[WRITER_NAME_SIZE + 1], field[64];
        int r;

        r = install_reject(a->installer, w->asker, w->report, name, err);
        if (r < 0)
                return r;
        writer_encode_name(&w->answer, name);
        (void) snprintf(field, sizeof(field), "RESEAL_SLOT=%s", name);
        journal_say(LOG_ERR, MESSAGE_WRITER_REJECTED, field, NULL, "slot %s failed its trial: %s", name, w->report);
        return 0;
}

typedef struct AnswerEntry {
        WriterMessage type;
        int (*answer)(Answerer *a, Work *w, RsError *err);
        bool after_failure;      /* still done when a frame has failed */
} AnswerEntry;

static const AnswerEntry entries[] = {
        { WRITER_SLOTS, writer_answer_slots, true },   { WRITER_STATE, writer_answer_state, true },
        { WRITER_OFFER, writer_answer_offer, true },   { WRITER_TABLE, writer_answer_table, true },
        { WRITER_RING, writer_answer_ring, true },     { WRITER_FRAME, writer_answer_frame, false },
        { WRITER_FINISH, writer_answer_finish, false }, { WRITER_ABORT, writer_answer_abort, true },
        { WRITER_MARK, writer_answer_mark, true },     { WRITER_TIME, writer_answer_time, true },
        { WRITER_EVIDENCE, writer_answer_evidence, true }, { WRITER_TRUST, writer_answer_trust, true },
        { WRITER_REJECT, writer_answer_reject, true }, { WRITER_ANCHORS, writer_answer_anchors, true },
};

static void tell_alarms(Installer *i) {
        static const struct {
                const char *id, *text;
        } alarms[_INSTALL_ALARM_MAX] = {
                [INSTALL_ALARM_TRUST_SET] = { MESSAGE_WRITER_TRUST_SET,
                                              "the trust set in the store is not adopted, ignoring" },
                [INSTALL_ALARM_SIGNER_REVOKED] = { MESSAGE_WRITER_SIGNER_REVOKED,
                                                   "the signer of the release accepted last is revoked" },
                [INSTALL_ALARM_RUNNING_BELOW] = { MESSAGE_WRITER_RUNNING_BELOW, "RunningBelowAccepted" },
        };
        InstallAlarm alarm;
        RsError why;

        while (install_untold(i, &alarm, &why))
                journal_say(LOG_ERR, alarms[alarm].id, NULL, &why, "%s", alarms[alarm].text);
}

void writer_answer(Answerer *a, Work *w) {
        RsError err = RS_ERROR_INIT;
        int r = -ENOSYS;

        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                if ((uint32_t) entries[i].type != w->type)
                        continue;
                if (!entries[i].after_failure && a->failed.reason != RS_REASON_NONE) {
                        err = a->failed;
                        r = -EIO;
                        if (w->type == WRITER_FINISH)
                                install_abort(a->installer);
                } else
                        r = entries[i].answer(a, w, &err);
        }
        if (r >= 0 && encoder_finish(&w->answer) < 0)
                r = rs_fail_oom(&err);
        tell_alarms(a->installer);
        if (r < 0 && err.reason == RS_REASON_NONE)
                (void) rs_fail(&err, INTERNAL, "request %u failed without a reason", w->type);
        w->error = err;
}
