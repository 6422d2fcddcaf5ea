/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever one caller asks for, and as however many users: the others find their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "../../../src/reseald/places.h"

static Places places;

static int setup(void **state) {
        (void) state;
        places = (Places){ 0 };
        return 0;
}

/* How many this caller gets, at most 1000. */
static unsigned take_all(CallerKind kind, uint32_t uid) {
        const Caller c = { .uid = uid, .kind = kind };
        unsigned n = 0;

        for (; n < 1000; n++) {
                RsError err = RS_ERROR_INIT;

                if (places_take(&places, &c, &err) < 0) {
                        assert_int_equal(err.reason, RS_REASON_BUSY);
                        break;
                }
        }
        return n;
}

static void one_user_gets_four(void **state) {
        (void) state;
        assert_int_equal(take_all(CALLER_OTHER, 1000), 4);
        assert_int_equal(take_all(CALLER_OTHER, 1000), 0);
        assert_int_equal(take_all(CALLER_OTHER, 1001), 4);
        assert_int_equal(take_all(CALLER_OPERATOR, 1002), 4);
}

static void many_users_take_no_place_of_another_kind(void **state) {
        unsigned n = 0;

        (void) state;
        for (uint32_t uid = 1000; uid < 2000; uid++)
                n += take_all(CALLER_OTHER, uid);
        assert_int_equal(n, PLACES_OTHERS);
        for (uint32_t uid = 2000; uid < 3000; uid++)
                n += take_all(CALLER_OPERATOR, uid);
        assert_int_equal(n, PLACES_OTHERS + PLACES_OPERATORS);
        assert_int_equal(take_all(CALLER_HEALTH, 100), PLACES_HEALTH);
        assert_int_equal(take_all(CALLER_SYSTEM, 0), PLACES_SYSTEM);
}

static void a_place_that_is_given_back_is_there_again(void **state) {
        const Caller c = { .uid = 1000, .kind = CALLER_OTHER };
        RsError err = RS_ERROR_INIT;
        int place;

        (void) state;
        for (int i = 0; i < 1000; i++) {
                place = places_take(&places, &c, &err);
                assert_true(place >= 0);
                places_give_back(&places, place);
                places_give_back(&places, -1); /* who has none */
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(one_user_gets_four, setup),
                cmocka_unit_test_setup(many_users_take_no_place_of_another_kind, setup),
                cmocka_unit_test_setup(a_place_that_is_given_back_is_there_again, setup),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
