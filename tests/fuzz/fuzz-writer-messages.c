/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Payloads of the writer's protocol, both ways, and /run/reseal/booted: whatever the bytes, taken whole or refused
 * with the
 * reason of the protocol.  The first byte chooses the decoder.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/install/install.h>
#include <reseal/ipc/channel.h>

#include "fuzz.h"

/* What was taken and is encoded again gives the same bytes: no payload has two readings. */
static void same(const Encoder *e, Span p) {
        assert(span_equal(encoder_view(e), p));
}

static int requests(uint8_t which, Span p, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        char name[WRITER_NAME_SIZE + 1], report[WRITER_REPORT_SIZE + 1];
        uint32_t a, b;
        WriterFrame f;
        WriterMark mark;
        bool below;
        Span cms;
        int r;

        switch (which) {
        case 0:
                r = writer_decode_hello_request(p, name, err);
                if (r == 0)
                        writer_encode_hello_request(&e, name);
                break;
        case 1:
                r = writer_decode_offer_request(p, &cms, err);
                if (r == 0)
                        writer_encode_offer_request(&e, cms);
                break;
        case 2:
                r = writer_decode_table_request(p, &a, &b, err);
                if (r == 0)
                        writer_encode_table_request(&e, a, b);
                break;
        case 3:
                r = writer_decode_frame_request(p, &f, err);
                if (r == 0)
                        writer_encode_frame_request(&e, &f);
                break;
        case 16:
                r = writer_decode_reject_request(p, report, err);
                if (r == 0)
                        writer_encode_reject_request(&e, report);
                break;
        default:
                r = writer_decode_mark_request(p, &mark, &below, name, err);
                if (r == 0)
                        writer_encode_mark_request(&e, (uint32_t) mark | (below ? WRITER_MARK_BELOW : 0), name);
        }
        if (r == 0)
                same(&e, p);
        return r;
}

static int answers(uint8_t which, Span p, RsError *err) {
        static WriterSlotInfo slots[WRITER_SLOTS_MAX];
        static WriterRange ranges[WRITER_RANGES_MAX];
        char name[WRITER_NAME_SIZE + 1];
        WriterProgress progress;
        WriterHello hello;
        WriterState state;
        WriterOffer offer;
        ConfigNotes notes = { 0 };
        uint32_t a, n;
        int r;

        switch (which) {
        case 5:
                return writer_decode_hello(p, &hello, err);
        case 6:
                return writer_decode_slots(p, slots, WRITER_SLOTS_MAX, &n, err);
        case 7:
                return writer_decode_state(p, &state, err);
        case 8:
                return writer_decode_offer(p, &offer, err);
        case 9:
                return writer_decode_ranges(p, &a, ranges, WRITER_RANGES_MAX, &n, err);
        case 10:
                return writer_decode_ring(p, err);
        case 11:
                return writer_decode_frame(p, &a, &n, err);
        case 12:
                return writer_decode_name(p, name, err);
        case 17:
                return writer_decode_anchors(p, &n, err);
        case 18:
                r = writer_decode_notes(p, &notes, err);
                if (r == 0) {
                        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

                        writer_encode_notes(&e, &notes);
                        same(&e, p);
                }
                config_notes_done(&notes);
                return r;
        default:
                return writer_decode_progress(p, &progress, err);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        RsError err = RS_ERROR_INIT, error;
        InstallBooted booted;
        uint8_t which;
        Span p;
        int r;

        if (size == 0)
                return 0;
        which = data[0] % 19;
        p = SPAN(data + 1, size - 1);
        if (which < 5 || which == 16)
                r = requests(which, p, &err);
        else if (which < 14 || which >= 17)
                r = answers(which, p, &err);
        else if (which == 14)
                r = channel_decode_error(p, &error, &err);
        else
                r = install_booted_parse(p, &booted, &err);
        assert((r == 0) == (err.reason == RS_REASON_NONE));
        assert(r == 0 || err.reason == (which == 15 ? RS_REASON_STATE : RS_REASON_PROTOCOL));
        return 0;
}
