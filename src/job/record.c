/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record - what a job needs to be started again: address, options, and what to show meanwhile.
 *
 * Binary, one version, every field bounded, nothing behind the last.  Replaced durably (temporary file,
 * fsync, rename, fsync of the directory), so a power cut leaves the old note or the new one.  Nothing
 * secret is in it: the content key comes from the ticket again, through the TPM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/file.h>
#include <reseal/job/record.h>

static const uint8_t MAGIC[8] = { 'R', 'S', 'J', 'O', 'B', '0', '0', '1' };

void record_advance(JobRecord *r, uint64_t done_bytes) {
        if (done_bytes <= r->done_bytes)
                return;
        r->done_bytes = done_bytes;
        r->restarts = 0;
}

/* Printable ASCII of a bounded length: these strings go to the bus and the journal. */
static bool read_text(Reader *r, char *ret, size_t size) {
        uint16_t n = reader_u16(r);
        if (n >= size)
                return false;
        Span s = reader_span(r, n);
        if (reader_failed(r))
                return false;
        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] < 0x20 || s.data[i] > 0x7e)
                        return false;
        if (s.size)
                memcpy(ret, s.data, s.size);
        ret[s.size] = '\0';
        return true;
}

int record_parse(Span bytes, JobRecord *ret) {
        Reader r = READER(bytes);
        uint8_t magic[sizeof(MAGIC)];
        JobRecord j = { 0 };

        reader_copy(&r, magic, sizeof(magic));
        if (memcmp(magic, MAGIC, sizeof(MAGIC)) != 0)
                return -EBADMSG;
        j.id = reader_u32(&r);
        j.restarts = reader_u32(&r);
        uint32_t state = reader_u32(&r);
        if (state >= _JOB_STATE_MAX || job_state_is_final((JobState) state) || j.id == 0)
                return -EBADMSG;
        j.state = (JobState) state;
        if (!read_text(&r, j.url, sizeof(j.url)) || !read_text(&r, j.ticket_url, sizeof(j.ticket_url)) ||
            !read_text(&r, j.validator, sizeof(j.validator)) || !j.url[0])
                return -EBADMSG;
        uint8_t has_bundle = reader_u8(&r);
        if (has_bundle > 1)
                return -EBADMSG;
        j.has_bundle = has_bundle;
        reader_copy(&r, j.bundle_id, sizeof(j.bundle_id));
        j.done_bytes = reader_u64(&r);
        j.total_bytes = reader_u64(&r);
        if (reader_finish(&r) < 0)
                return -EBADMSG;
        *ret = j;
        return 0;
}

static void put_text(Encoder *e, const char *text) {
        size_t n = strlen(text);
        encoder_u16(e, (uint16_t) n);
        encoder_bytes(e, text, n);
}

int record_encode(const JobRecord *r, Encoder *e) {
        encoder_bytes(e, MAGIC, sizeof(MAGIC));
        encoder_u32(e, r->id);
        encoder_u32(e, r->restarts);
        encoder_u32(e, r->state);
        put_text(e, r->url);
        put_text(e, r->ticket_url);
        put_text(e, r->validator);
        encoder_u8(e, r->has_bundle);
        encoder_bytes(e, r->bundle_id, sizeof(r->bundle_id));
        encoder_u64(e, r->done_bytes);
        encoder_u64(e, r->total_bytes);
        return encoder_finish(e);
}

int record_load(int dir_fd, JobRecord *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;

        int r = file_read(dir_fd, JOB_RECORD_FILE, JOB_RECORD_SIZE_MAX, &data, &size, err);
        if (r <= 0)
                return r;
        return record_parse(SPAN(data, size), ret) < 0 ? 2 : 1;
}

int record_save(int dir_fd, const JobRecord *r, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        if (record_encode(r, &e) < 0)
                return rs_fail_oom(err);
        return file_replace(dir_fd, JOB_RECORD_FILE, encoder_view(&e), 0600, err);
}

int record_remove(int dir_fd, RsError *err) {
        int r = file_remove(dir_fd, JOB_RECORD_FILE, err);
        return r < 0 ? r : 0;
}

int record_load_last_id(int dir_fd, uint32_t *ret, RsError *err) {
        _cleanup_(freep) uint8_t *data = NULL;
        size_t size;

        int r = file_read(dir_fd, JOB_LAST_ID_FILE, sizeof(uint32_t), &data, &size, err);
        if (r < 0)
                return r;
        Reader in = READER(SPAN(data, r > 0 ? size : 0));
        uint32_t id = reader_u32(&in);
        *ret = reader_finish(&in) < 0 ? 0 : id;
        return 0;
}

int record_save_last_id(int dir_fd, uint32_t id, RsError *err) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;

        encoder_u32(&e, id);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        return file_replace(dir_fd, JOB_LAST_ID_FILE, encoder_view(&e), 0600, err);
}
