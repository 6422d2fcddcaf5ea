/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock - CLOCK_BOOTTIME in one place, so that no two rooms count time differently across a suspend. */
#include <time.h>

#include <reseal/base/clock.h>

uint64_t clock_boottime_usec(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_BOOTTIME, &t); /* cannot fail with a constant clock */
        return (uint64_t) t.tv_sec * 1000000u + (uint64_t) t.tv_nsec / 1000u;
}
