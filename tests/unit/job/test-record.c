/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of a running job: what was written is read, anything else is not. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/job/record.h>

static JobRecord example(void) {
        JobRecord j = { .id = 7, .restarts = 2, .state = JOB_STATE_WRITE, .has_bundle = true, .done_bytes = 5,
                        .total_bytes = 9 };

        strcpy(j.url, "https://updates.example.com/a.rsb");
        strcpy(j.ticket_url, "https://updates.example.com/t.rst");
        strcpy(j.validator, "\"abc\"");
        memset(j.bundle_id, 0x5a, sizeof(j.bundle_id));
        return j;
}

static void record_reads_back(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        JobRecord a = example(), b;

        (void) state;
        assert_int_equal(record_encode(&a, &e), 0);
        assert_int_equal(record_parse(encoder_view(&e), &b), 0);
        assert_int_equal(b.id, a.id);
        assert_int_equal(b.restarts, a.restarts);
        assert_int_equal(b.state, a.state);
        assert_string_equal(b.url, a.url);
        assert_string_equal(b.ticket_url, a.ticket_url);
        assert_string_equal(b.validator, a.validator);
        assert_memory_equal(b.bundle_id, a.bundle_id, sizeof(a.bundle_id));
        assert_int_equal(b.done_bytes, a.done_bytes);
        assert_int_equal(b.total_bytes, a.total_bytes);
}

static void every_cut_and_every_trailing_byte_is_refused(void **state) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        JobRecord a = example(), b;

        (void) state;
        assert_int_equal(record_encode(&a, &e), 0);
        for (size_t n = 0; n < e.size; n++)
                assert_true(record_parse(SPAN(e.data, n), &b) < 0);
        encoder_u8(&e, 0);
        assert_true(record_parse(encoder_view(&e), &b) < 0);
}


static int reparse(const JobRecord *j) {
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        JobRecord b;

        assert_int_equal(record_encode(j, &e), 0);
        return record_parse(encoder_view(&e), &b);
}

static void records_that_no_job_writes_are_refused(void **state) {
        JobRecord j = example();

        (void) state;
        j.state = JOB_STATE_DONE;
        assert_true(reparse(&j) < 0);
        j.state = _JOB_STATE_MAX;
        assert_true(reparse(&j) < 0);
        j = example();
        j.id = 0;
        assert_true(reparse(&j) < 0);
        j = example();
        j.url[0] = '\0';
        assert_true(reparse(&j) < 0);
        j = example();
        j.url[3] = '\n';
        assert_true(reparse(&j) < 0);
        j = example();
        memset(j.url, 'a', JOB_URL_MAX);
        j.url[JOB_URL_MAX] = '\0';
        assert_int_equal(reparse(&j), 0);
}

static void only_more_than_ever_ends_the_count_of_restarts(void **state) {
        JobRecord r = { .id = 1, .restarts = 7, .done_bytes = 1000 };

        (void) state;
        record_advance(&r, 0);          /* each start begins at nothing */
        record_advance(&r, 1000);       /* and comes as far as the one before */
        assert_int_equal(r.restarts, 7);
        assert_int_equal(r.done_bytes, 1000);
        record_advance(&r, 1001);
        assert_int_equal(r.restarts, 0);
        assert_int_equal(r.done_bytes, 1001);
}

static void record_lives_in_its_directory(void **state) {
        char path[] = "/tmp/reseal-record.XXXXXX";
        JobRecord a = example(), b;
        RsError err = { 0 };

        (void) state;
        assert_non_null(mkdtemp(path));
        _cleanup_(closep) int dir = open(path, O_RDONLY | O_DIRECTORY);
        assert_int_equal(record_load(dir, &b, &err), 0);
        assert_int_equal(record_save(dir, &a, &err), 0);
        assert_int_equal(record_load(dir, &b, &err), 1);
        assert_string_equal(b.url, a.url);

        int fd = openat(dir, JOB_RECORD_FILE, O_WRONLY);
        assert_int_equal(write(fd, "X", 1), 1);
        close(fd);
        assert_int_equal(record_load(dir, &b, &err), 2); /* damaged: an outcome, not a failure */
        assert_int_equal(err.reason, RS_REASON_NONE);

        assert_int_equal(record_remove(dir, &err), 0);
        assert_int_equal(record_remove(dir, &err), 0);
        assert_int_equal(record_load(dir, &b, &err), 0);
        assert_int_equal(rmdir(path), 0);
}

static void number_once_given_is_kept(void **state) {
        char path[] = "/tmp/reseal-record.XXXXXX";
        RsError err = { 0 };
        uint32_t id = 7;

        (void) state;
        assert_non_null(mkdtemp(path));
        _cleanup_(closep) int dir = open(path, O_RDONLY | O_DIRECTORY);
        assert_int_equal(record_load_last_id(dir, &id, &err), 0);
        assert_int_equal(id, 0);
        assert_int_equal(record_save_last_id(dir, UINT32_MAX, &err), 0);
        assert_int_equal(record_load_last_id(dir, &id, &err), 0);
        assert_int_equal(id, UINT32_MAX);
        int fd = openat(dir, JOB_LAST_ID_FILE, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, "X", 1), 1);
        close(fd);
        assert_int_equal(record_load_last_id(dir, &id, &err), 0); /* damaged: they begin anew */
        assert_int_equal(id, 0);
        assert_int_equal(unlinkat(dir, JOB_LAST_ID_FILE, 0), 0);
        assert_int_equal(rmdir(path), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(record_reads_back),
                cmocka_unit_test(every_cut_and_every_trailing_byte_is_refused),
                cmocka_unit_test(records_that_no_job_writes_are_refused),
                cmocka_unit_test(only_more_than_ever_ends_the_count_of_restarts),
                cmocka_unit_test(record_lives_in_its_directory),
                cmocka_unit_test(number_once_given_is_kept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
