/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include <reseal/base/clock.h>

static void it_counts_microseconds_and_never_backwards(void **state) {
        struct timespec t;
        uint64_t first = clock_boottime_usec(), again = clock_boottime_usec();

        (void) state;
        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
        assert_true(first > 0 && again >= first);
        assert_in_range(again, first, (uint64_t) t.tv_sec * 1000000u + 999999u);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_counts_microseconds_and_never_backwards),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
