/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * matrix - a device in one of its modes, and an attack that is tried on it.
 *
 * Spec:     docs/threat-model.md, "Attacks by name"; threats T2 to T16, T34 to T36, T45
 * Trust:    none
 * Owns:     a World owns device, engine, releases and the branch that the attack under way has made
 * Units:    none
 * Errors:   what should not happen fails the test
 * Context:  one thread; include after cmocka.h
 * Programs: tests/attack/matrix
 */
#include "chain.h"
#include "device.h"
#include "mini-ca.h"

#define ROOTFS ((uint64_t) 1 << 20)

typedef struct Mode {
        const char *name, *column; /* column: four characters */
        bool level2;
        uint64_t accepted;         /* 0: from the factory */
        unsigned ahead;            /* of the accepted one, the good release; 0: the accepted one again */
        bool bridged;              /* a bridge led to the accepted one */
        bool resumed;              /* the good release was begun and cut */
        bool strict;               /* online: time proven, lists at hand, proven to be the latest release */
        bool medium;               /* offline: nobody for time or freshness is known */
        uint32_t epoch;            /* of the accepted ones; that of the good one is epoch + rises */
        uint32_t rises;
} Mode;

typedef struct World {
        const Mode *mode;
        TestDevice d;
        TestEngine e;
        TestRelease older, accepted, between, good; /* older: before the accepted one; between: it and the good one */
        uint64_t next;             /* the release that an attacker would have installed */
        const char *running, *target;
        ChainFixture *branch;      /* of the attack under way */
        uint32_t shared;           /* releases that it has in common with the line */
} World;

typedef enum Need {
        NEEDS_ACCEPTED = 1,        /* nothing is older than nothing */
        NEEDS_OLDER = 2,
        NEEDS_BRIDGE = 4,
        NEEDS_BETWEEN = 8,
        NEEDS_EPOCH = 16,
        NEEDS_STRICT = 32,
        NEEDS_NEXT = 256,          /* the line goes on behind the accepted one */
        NEEDS_FRESHNESS = 64,      /* a device that knows nobody for it refuses nothing for it */
        ANCHORED = 128,            /* ... and Config is what it says to who would tell it */
} Need;

typedef struct Attack {
        const char *name, *known_as, *at;
        RsReason reason;           /* NONE: nothing is refused, and nothing must have happened */
        unsigned needs;
        int (*run)(World *w, const struct Attack *a, RsError *err);
        void (*change)(Manifest *m);
        const char *signer;        /* NULL: the line's own */
} Attack;

extern const Attack held_back[], offers[], evidence[], transfers[];
extern const size_t n_held_back, n_offers, n_evidence, n_transfers;

/* attack-offer.c */
/*
 * A release at this place of the line, with the good one's images and another manifest; then signed in a branch that has
 * `shared` releases with the line.
 */
void craft(const World *w, TestRelease *r, uint64_t index);
void craft_sign(World *w, TestRelease *r, uint64_t shared, const char *signer);

/* attack-evidence.c */
void evidence_anchors(World *w);       /* for the configuration of the device */
void evidence_lists(World *w);
void evidence_time(World *w);
void evidence_latest(World *w, uint64_t latest);
void evidence_revoke(World *w, const ChainFixture *of, uint64_t release);
void evidence_done(void);
