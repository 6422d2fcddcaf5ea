/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * term - progress, colour and interruption.
 *
 * Nothing here reaches a file or a pipe: progress is shown only if stderr is a terminal, colour only if the
 * stream is one and NO_COLOR is not set.  The signal handler sets a flag and nothing else; the loops that move
 * data ask for it and fail with CANCELLED, so that every temporary file goes the ordinary way.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "term.h"

#define REDRAW_USEC 200000u
#define USEC_PER_SEC 1000000u

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

const char *size_text(uint64_t bytes, char ret[SIZE_TEXT]) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
        unsigned unit = 0;
        uint64_t scaled = bytes * 10 / 1024;

        if (bytes < 1024)
                (void) snprintf(ret, SIZE_TEXT, "%u B", (unsigned) bytes);
        else {
                for (; scaled >= 10240 && unit < 3; unit++)
                        scaled /= 1024;
                (void) snprintf(ret, SIZE_TEXT, "%u.%u %s", (unsigned) (scaled / 10) % 100000,
                                (unsigned) (scaled % 10), units[unit]);
        }
        return ret;
}

static void draw(Progress *p) {
        uint64_t elapsed = now_usec() - p->started_usec, rate, left;
        char done[SIZE_TEXT], total[SIZE_TEXT], speed[SIZE_TEXT];

        if (elapsed == 0)
                elapsed = 1;
        rate = p->done / (elapsed / USEC_PER_SEC + 1);
        if (elapsed >= USEC_PER_SEC)
                rate = p->done / (elapsed / 1000) * 1000;
        left = rate > 0 && p->total > p->done ? (p->total - p->done) / rate : 0;
        (void) fprintf(stderr, "\r\033[K%s %3u %%  %s of %s  %s/s  %llu:%02llu left", p->label,
                       p->total > 0 ? (unsigned) (p->done * 100 / p->total) : 100, size_text(p->done, done),
                       size_text(p->total, total), size_text(rate, speed), (unsigned long long) left / 60,
                       (unsigned long long) left % 60);
        (void) fflush(stderr);
}

void progress_start(Progress *p, const char *label, uint64_t total, bool quiet) {
        *p = (Progress){ .label = label, .total = total, .started_usec = now_usec() };
        p->visible = !quiet && isatty(STDERR_FILENO);
}

void progress_add(Progress *p, uint64_t bytes) {
        uint64_t now;

        p->done += bytes;
        if (!p->visible)
                return;
        now = now_usec();
        if (now - p->shown_usec < REDRAW_USEC)
                return;
        p->shown_usec = now;
        draw(p);
}

void progress_end(Progress *p) {
        if (p->visible)
                (void) fputs("\r\033[K", stderr);
        p->visible = false;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number) {
        (void) signal_number;
        interrupted = 1;
}

void interrupt_install(void) {
        struct sigaction action = { .sa_handler = on_signal };

        (void) sigemptyset(&action.sa_mask);
        (void) sigaction(SIGINT, &action, NULL); /* both exist on every system */
        (void) sigaction(SIGTERM, &action, NULL);
}

int interrupt_check(RsError *err) {
        return interrupted ? rs_fail(err, CANCELLED, "interrupted") : 0;
}

bool term_has_colour(FILE *f) {
        const char *no_color = getenv("NO_COLOR");

        return isatty(fileno(f)) && !(no_color && *no_color);
}

const char *term_bold(FILE *f) {
        return term_has_colour(f) ? "\033[1m" : "";
}

const char *term_good(FILE *f) {
        return term_has_colour(f) ? "\033[32m" : "";
}

const char *term_bad(FILE *f) {
        return term_has_colour(f) ? "\033[1;31m" : "";
}

const char *term_plain(FILE *f) {
        return term_has_colour(f) ? "\033[0m" : "";
}
