/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * direct - root's word to reseal-writer itself.
 *
 * A release older than the one accepted last starts only when root says so, and reseald may have been taken over: what
 * it passes on is its own word, whoever asked it.  So this one request goes to the writer's socket, where the kernel
 * says who speaks.
 */
#include <string.h>

#include <reseal/ipc/writer-client.h>

#include "resealctl.h"

static int what_of(const char *state, uint32_t *ret) {
        static const char *const words[] = { [WRITER_MARK_GOOD] = "good", [WRITER_MARK_BAD] = "bad",
                                             [WRITER_MARK_ACTIVE] = "active" };

        for (uint32_t k = WRITER_MARK_GOOD; k < ELEMENTSOF(words); k++)
                if (strcmp(words[k], state) == 0) {
                        *ret = k | WRITER_MARK_BELOW;
                        return 0;
                }
        fprintf(stderr, "resealctl: a slot is marked good, bad or active\n");
        return -EINVAL;
}

int mark_below(const Options *o, int argc, char **argv) {
        _cleanup_(writer_client_freep) WriterClient *writer = NULL;
        const char *slot = argc > 1 ? argv[1] : "booted";
        Client none = { .options = o };
        RsError err = RS_ERROR_INIT;
        char name[WRITER_NAME_SIZE + 1];
        uint32_t what;
        int r;

        if (what_of(argv[0], &what) < 0)
                return EXIT_USAGE;
        if (strcmp(slot, "other") == 0 || (argc < 2 && (what & ~WRITER_MARK_BELOW) != WRITER_MARK_GOOD)) {
                fprintf(stderr, "resealctl: --below-accepted needs the slot's name, or booted\n");
                return EXIT_USAGE;
        }
        r = writer_client_connect(RS_PATH_WRITER_SOCKET, &writer, &err);
        if (r >= 0)
                r = writer_call_mark(writer, what, strcmp(slot, "booted") == 0 ? "" : slot, name, &err);
        if (r < 0) {
                print_error(&err);
                return exit_code_of(&none, &err);
        }
        if (o->json)
                print_json_text(name);
        else
                printf("%s is marked %s, as root wants it.\n", name, argv[0]);
        return EXIT_OK;
}
