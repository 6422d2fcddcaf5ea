/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * fuzz - the one entry point of a fuzz target, for libFuzzer and for driver.c.
 *
 * A target must not keep state from one input to the next, must free what it allocates and must not
 * print.  What it asserts beyond "does not crash" is the parser's contract: outputs untouched on
 * failure, a reason with every refusal, encode(parse(x)) == x where the format has one spelling.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A target says that it took the input.  driver.c then checks that each seed named good* is taken, so that a
 * parser which refuses everything does not look healthy. */
void fuzz_accepted(void) __attribute__((weak));
#define FUZZ_ACCEPTED()                  \
        do {                             \
                if (fuzz_accepted)       \
                        fuzz_accepted(); \
        } while (0)
