/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* later - preloaded into a program, it lives LATER seconds later: whoever dates a certificate by a clock that is wrong. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

time_t time(time_t *ret) {
        const char *later = getenv("LATER");
        struct timespec now;

        if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) < 0)
                abort();
        if (later)
                now.tv_sec += strtol(later, NULL, 10);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}
