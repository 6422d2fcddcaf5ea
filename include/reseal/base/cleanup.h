/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * cleanup - ownership by attribute: _cleanup_(fn), TAKE_PTR, TAKE_FD, freep, closep.
 *
 * Spec:     docs/architecture.md, "Ownership"
 * Trust:    none
 * Owns:     a variable marked _cleanup_ owns what it holds until TAKE_* hands it over
 * Units:    none
 * Errors:   none
 * Context:  any thread
 * Programs: all
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

#define TAKE_GENERIC(var, type, empty)              \
        ({                                          \
                type *_take_pointer = &(var);       \
                type _take_value = *_take_pointer;  \
                *_take_pointer = (empty);           \
                _take_value;                        \
        })
#define TAKE_PTR(ptr) TAKE_GENERIC(ptr, __typeof__(ptr), NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, int, -EBADF)

/* Defines `static inline void x_freep(T **p)` from `T *x_free(T *)`. */
#define RS_DEFINE_CLEANUP(type, fn)          \
        static inline void fn##p(type **p) { \
                if (*p)                      \
                        *p = fn(*p);         \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                (void) close(*fd); /* nothing to do about it at end of scope */
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void) fclose(*f);
}

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
