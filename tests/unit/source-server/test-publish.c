/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Publishing: a name appears with all of its bytes behind it, or not at all. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "publish.h"

static char dir[] = "/tmp/reseal-publish-XXXXXX";
static char www[64], shown[96], hidden[96];

static int setup(void **state) {
        (void) state;
        if (!mkdtemp(dir))
                return -1;
        (void) snprintf(www, sizeof(www), "%s/www", dir);
        (void) snprintf(shown, sizeof(shown), "%s/x.rsb", www);
        (void) snprintf(hidden, sizeof(hidden), "%s/.x.rsb.new", www);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        (void) unlink(shown);
        (void) unlink(hidden);
        (void) rmdir(www);
        return rmdir(dir);
}

static int source(uint8_t fill) {
        static uint8_t bytes[3u << 20];
        int fd = memfd_create("bundle", MFD_CLOEXEC);
        RsError err = RS_ERROR_INIT;

        memset(bytes, fill, sizeof(bytes));
        assert_int_equal(file_pwrite_all(fd, bytes, sizeof(bytes), 0, &err), 0);
        return fd;
}

static void check_shown(uint8_t fill) {
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT;
        size_t size;

        assert_int_equal(file_read(AT_FDCWD, shown, 4u << 20, &data, &size, &err), 1);
        assert_int_equal(size, 3u << 20);
        assert_true(data[0] == fill && memcmp(data, data + 1, size - 1) == 0);
}

static void copy_is_seen_only_when_shown(void **state) {
        _cleanup_(closep) int old = source('o'), new = source('n');
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(publish_copy(old, www, "x.rsb", &err), 0);
        assert_int_equal(access(shown, F_OK), -1);
        assert_int_equal(publish_show(www, "x.rsb", &err), 0);
        check_shown('o');
        /* The next version does not touch the one that is being served. */
        assert_int_equal(publish_copy(new, www, "x.rsb", &err), 0);
        check_shown('o');
        publish_forget(www, "x.rsb");
        assert_int_equal(access(hidden, F_OK), -1);
        assert_int_equal(publish_copy(new, www, "x.rsb", &err), 0);
        assert_int_equal(publish_show(www, "x.rsb", &err), 0);
        check_shown('n');
}

static void interrupted_copy_of_an_earlier_run_is_replaced(void **state) {
        _cleanup_(closep) int fd = source('x');
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(file_replace(AT_FDCWD, hidden, SPAN("half", 4), 0600, &err), 0);
        assert_int_equal(publish_copy(fd, www, "x.rsb", &err), 0);
        assert_int_equal(publish_show(www, "x.rsb", &err), 0);
        check_shown('x');
}

static void impossible_places_are_refused(void **state) {
        _cleanup_(closep) int fd = source('x');
        RsError err = RS_ERROR_INIT;
        char name[600];

        (void) state;
        assert_true(publish_copy(fd, "/proc/nowhere/www", "x.rsb", &err) < 0);
        assert_int_equal(err.reason, RS_REASON_IO);
        err = RS_ERROR_INIT;
        assert_true(publish_show(www, "never-copied.rsb", &err) < 0);
        assert_int_equal(err.reason, RS_REASON_IO);
        err = RS_ERROR_INIT;
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        assert_true(publish_copy(fd, www, name, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INVALID);
        publish_forget(www, name); /* harmless */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(copy_is_seen_only_when_shown),
                cmocka_unit_test(interrupted_copy_of_an_earlier_run_is_replaced),
                cmocka_unit_test(impossible_places_are_refused),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
