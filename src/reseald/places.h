/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * places - how many requests of the bus may wait at a time, counted per caller.
 *
 * Spec:     docs/threat-model.md, "What is counted"
 * Trust:    callers are hostile; who they are comes from the bus driver
 * Owns:     a Places is embedded; a place belongs to who took it until it is given back
 * Units:    none
 * Errors:   BUSY
 * Context:  main thread, no I/O
 * Programs: reseald
 *
 * A request holds one place from the moment its caller is known until it is answered, whatever it waits for: polkit,
 * the worker, the writer, a source.  Each kind of caller has places of its own, so whatever others ask for, and as
 * however many users, root and the operators find theirs.  The users of a kind share its places, none can have all.
 */
#include <stdint.h>

#include <reseal/base/error.h>

typedef enum CallerKind {
        CALLER_SYSTEM,           /* root, and the user of the daemon itself */
        CALLER_HEALTH,
        CALLER_OPERATOR,
        CALLER_OTHER,
        _CALLER_KIND_MAX,
} CallerKind;

typedef struct Caller {
        uint32_t uid;
        CallerKind kind;
} Caller;

#define PLACES_SYSTEM 32u
#define PLACES_HEALTH 4u
#define PLACES_OPERATORS 16u     /* 4 of one user */
#define PLACES_OTHERS 16u        /* 4 of one user */
#define PLACES_MAX (PLACES_SYSTEM + PLACES_HEALTH + PLACES_OPERATORS + PLACES_OTHERS)

typedef struct Places {
        struct {
                Caller caller;
                int taken;       /* int: calloc gives an empty table */
        } at[PLACES_MAX];
} Places;

/* A number to give back. */
int places_take(Places *p, const Caller *caller, RsError *err);
void places_give_back(Places *p, int place /* < 0: none */);
