/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* places - a table that is as long as all kinds together: who is within his bounds always finds an entry. */
#include <assert.h>
#include <stddef.h>

#include "places.h"

static const struct {
        unsigned of_one, of_all;
} bounds[_CALLER_KIND_MAX] = {
        [CALLER_SYSTEM] = { PLACES_SYSTEM, PLACES_SYSTEM },
        [CALLER_HEALTH] = { PLACES_HEALTH, PLACES_HEALTH },
        [CALLER_OPERATOR] = { 4, PLACES_OPERATORS },
        [CALLER_OTHER] = { 4, PLACES_OTHERS },
};

int places_take(Places *p, const Caller *caller, RsError *err) {
        unsigned of_one = 0, of_all = 0;
        int empty = -1;

        for (size_t i = 0; i < PLACES_MAX; i++) {
                if (!p->at[i].taken) {
                        empty = (int) i;
                        continue;
                }
                of_all += p->at[i].caller.kind == caller->kind;
                of_one += p->at[i].caller.kind == caller->kind && p->at[i].caller.uid == caller->uid;
        }
        if (of_one >= bounds[caller->kind].of_one)
                return rs_fail(err, BUSY, "too many requests of uid %u at a time: wait for an answer", caller->uid);
        if (of_all >= bounds[caller->kind].of_all)
                return rs_fail(err, BUSY, "too many requests of users at a time: try again");
        assert(empty >= 0);
        p->at[empty].caller = *caller;
        p->at[empty].taken = 1;
        return empty;
}

void places_give_back(Places *p, int place) {
        if (place >= 0)
                p->at[place].taken = 0;
}
