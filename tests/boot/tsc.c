/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tsc - for factory.sh: how fast this machine's time-stamp counter runs, in kHz; nothing where there is none.
 *
 * A guest under TCG reads that counter.  Its kernel would measure it against a timer, while its processor is shared with
 * others: it was seen to find a ninth, and then all its limits are over nine times too soon.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>

#define TRIES 1000u
#define NS_PER_MS 1000000u

typedef struct Moment {
        uint64_t ticks, ns;
} Moment;

static uint64_t now_ns(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_MONOTONIC_RAW, &t);
        return (uint64_t) t.tv_sec * 1000 * NS_PER_MS + (uint64_t) t.tv_nsec;
}

/* Both clocks at once: the reading that was least disturbed. */
static Moment moment(void) {
        uint64_t least = UINT64_MAX;
        Moment best = { 0 };

        for (unsigned i = 0; i < TRIES; i++) {
                uint64_t before = __rdtsc(), ns = now_ns(), width = __rdtsc() - before;

                if (width < least) {
                        least = width;
                        best = (Moment){ .ticks = before + width / 2, .ns = ns };
                }
        }
        return best;
}

int main(void) {
        Moment begin = moment(), end;

        (void) nanosleep(&(struct timespec){ .tv_nsec = 500 * (long) NS_PER_MS }, NULL);
        end = moment();
        return printf("%.0f\n", (double) (end.ticks - begin.ticks) * NS_PER_MS / (double) (end.ns - begin.ns)) < 0;
}
#else
int main(void) {
        return 0;
}
#endif
