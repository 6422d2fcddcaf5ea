/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hurry - preloaded into a program, its alarm rings after a hundredth of the time: nobody waits minutes for a budget's end. */
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

unsigned alarm(unsigned seconds) {
        const struct itimerval soon = {
                .it_value = { .tv_sec = seconds / 100, .tv_usec = (suseconds_t) (seconds % 100) * 10000 },
        };

        if (setitimer(ITIMER_REAL, &soon, NULL) < 0)
                abort();
        return 0;
}
