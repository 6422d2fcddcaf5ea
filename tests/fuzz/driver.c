/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * driver - runs a fuzz target without libFuzzer: driver DIRECTORY|FILE...
 *
 * So every build and every compiler meets the same inputs as the fuzzer, also under sanitizers.  Each
 * seed is given as it is, cut short at up to 256 places and with one byte changed at up to 1024
 * places; that is deterministic and takes well under a second per target.  An empty seed directory is a failure: it
 * would be a test that cannot fail.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>

#include "fuzz.h"

#define SEED_MAX (1u << 20)
#define CUTS_MAX 256u
#define FLIPS_MAX 1024u

static bool accepted;

void fuzz_accepted(void) {
        accepted = true;
}

/* Each input in a heap block of exactly its size, so that a sanitizer sees a read past the end. */
static void give(const uint8_t *data, size_t size) {
        uint8_t *copy = malloc(size > 0 ? size : 1);

        if (!copy)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        (void) LLVMFuzzerTestOneInput(copy, size);
        free(copy);
}

static void give_with_changes(uint8_t *data, size_t size) {
        static const uint8_t masks[] = { 0x01, 0x80, 0xff };
        size_t cut_step = size / CUTS_MAX + 1, flip_step = size / FLIPS_MAX + 1;

        for (size_t n = 0; n < size; n += cut_step)
                give(data, n);
        for (size_t i = 0; i < size; i += flip_step)
                for (size_t m = 0; m < ELEMENTSOF(masks); m++) {
                        data[i] ^= masks[m];
                        give(data, size);
                        data[i] ^= masks[m];
                }
}

static int run_file(const char *path) {
        _cleanup_(fclosep) FILE *f = fopen(path, "rbe");
        _cleanup_(freep) uint8_t *data = malloc(SEED_MAX);
        size_t size;

        if (!f || !data) {
                (void) fprintf(stderr, "%s: %m\n", path);
                return -1;
        }
        size = fread(data, 1, SEED_MAX, f);
        if (ferror(f) || !feof(f)) {
                (void) fprintf(stderr, "%s: cannot be read, or larger than %u bytes\n", path, SEED_MAX);
                return -1;
        }
        accepted = false;
        give(data, size);
        if (strncmp(basename(path), "good", 4) == 0 && !accepted) {
                (void) fprintf(stderr, "%s: a good seed that the parser refuses\n", path);
                return -1;
        }
        give_with_changes(data, size);
        return 1;
}

static int run(const char *path) {
        struct dirent **entries = NULL;
        int n, n_seeds = 0;
        struct stat st;

        if (stat(path, &st) < 0) {
                (void) fprintf(stderr, "%s: %m\n", path);
                return -1;
        }
        if (!S_ISDIR(st.st_mode))
                return run_file(path);
        n = scandir(path, &entries, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *file = NULL;

                if (entries[i]->d_name[0] != '.' && n_seeds >= 0) {
                        if (asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0)
                                abort();
                        n_seeds = run_file(file) < 0 ? -1 : n_seeds + 1;
                }
                free(entries[i]);
        }
        free(entries);
        return n < 0 ? -1 : n_seeds;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                int n = run(argv[i]);

                if (n <= 0) {
                        (void) fprintf(stderr, "%s: no seeds\n", argv[i]);
                        return EXIT_FAILURE;
                }
                (void) printf("%s: %d seeds\n", argv[i], n);
        }
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
