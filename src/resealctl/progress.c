/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The progress line: step, bar, share, bytes, rate, time left.  Redrawn in place on a terminal; elsewhere one
 * line for each new state, so that a log stays readable.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "resealctl.h"

#define BAR_MAX 40
#define TEXT_COLUMNS 62 /* what the words beside the bar need */

static unsigned terminal_columns(void) {
        struct winsize size;
        return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static const char *words_of(const char *state) {
        static const struct {
                const char *state, *words;
        } WORDS[] = {
                { "queued", "waiting" },           { "connect", "contacting the source" },
                { "offer", "checking signature" }, { "ticket", "opening the ticket" },
                { "table", "checking the table" }, { "write", "writing" },
                { "finish", "proving and switching" },
        };
        for (size_t i = 0; i < ELEMENTSOF(WORDS); i++)
                if (strcmp(WORDS[i].state, state) == 0)
                        return WORDS[i].words;
        return state;
}

static void draw_bar(uint64_t done, uint64_t total, unsigned width) {
        unsigned filled = total > 0 ? (unsigned) ((double) done / (double) total * width) : 0;

        if (filled > width)
                filled = width;
        fputc('[', stderr);
        for (unsigned i = 0; i < width; i++)
                fputs(i < filled ? "#" : "-", stderr);
        fputc(']', stderr);
}

void progress_draw(const Options *o, json_t *job) {
        static char last_state[32];
        const char *state = text_of(job, "State");
        uint64_t done = number_of(job, "DoneBytes"), total = number_of(job, "TotalBytes"), rate = number_of(job, "Rate");
        char a[32], b[32], c[32], left[32] = "";

        if (o->json)
                return;
        if (!o->progress) {
                if (strcmp(state, last_state) != 0)
                        fprintf(stderr, "%s\n", words_of(state));
                (void) snprintf(last_state, sizeof(last_state), "%s", state);
                return;
        }
        unsigned columns = terminal_columns();
        unsigned width = columns > TEXT_COLUMNS + 10 ? columns - TEXT_COLUMNS : 10;
        fprintf(stderr, "\r\033[K%-21s ", words_of(state));
        if (total > 0) {
                draw_bar(done, total, width > BAR_MAX ? BAR_MAX : width);
                fprintf(stderr, " %3u%% %s/%s", (unsigned) ((double) done / (double) total * 100),
                        format_bytes(done, a, sizeof(a)), format_bytes(total, b, sizeof(b)));
                if (rate > 0 && done < total)
                        fprintf(stderr, " %s/s %s left", format_bytes(rate, c, sizeof(c)),
                                format_duration((total - done) / rate, left, sizeof(left)));
        }
        const char *step = text_of(job, "Step");
        if (step[0])
                fprintf(stderr, " %s", step);
        (void) fflush(stderr);
}

void progress_end(const Options *o) {
        if (o->progress && !o->json)
                fputs("\r\033[K", stderr);
}
