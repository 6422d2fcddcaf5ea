/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of job states (J1 to J5). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/job/machine.h>

static void each_state_knows_exactly_its_events(void **state) {
        (void) state;
        for (int s = 0; s < _JOB_STATE_MAX; s++)
                for (int e = 0; e < _JOB_EVENT_MAX; e++) {
                        const JobTransition *t = job_transition((JobState) s, (JobEvent) e);
                        bool known = !job_state_is_final((JobState) s) && e != JOB_EVENT_START;
                        if (s == JOB_STATE_QUEUED)
                                known = e == JOB_EVENT_START || e == JOB_EVENT_FAILURE || e == JOB_EVENT_CANCEL;
                        assert_int_equal(t != NULL, known); /* J5 */
                }
}

static void success_leads_through_every_state_to_done(void **state) {
        static const JobState WAY[] = { JOB_STATE_CONNECT, JOB_STATE_OFFER, JOB_STATE_TICKET, JOB_STATE_TABLE,
                                        JOB_STATE_WRITE, JOB_STATE_FINISH, JOB_STATE_DONE };
        JobState s = job_transition(JOB_STATE_QUEUED, JOB_EVENT_START)->next;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(WAY); i++) {
                assert_int_equal(s, WAY[i]);
                if (s != JOB_STATE_DONE)
                        s = job_transition(s, JOB_EVENT_SUCCESS)->next;
        }
}

static void done_is_reached_by_finishing_only(void **state) {
        (void) state;
        for (int s = 0; s < _JOB_STATE_MAX; s++)
                for (int e = 0; e < _JOB_EVENT_MAX; e++) {
                        const JobTransition *t = job_transition((JobState) s, (JobEvent) e);
                        if (t && t->next == JOB_STATE_DONE) { /* J3 */
                                assert_int_equal(s, JOB_STATE_FINISH);
                                assert_int_equal(e, JOB_EVENT_SUCCESS);
                        }
                }
}

static void lost_writer_leads_back_before_the_gate(void **state) {
        (void) state;
        for (int s = JOB_STATE_CONNECT; s < JOB_STATE_DONE; s++) {
                const JobTransition *t = job_transition((JobState) s, JOB_EVENT_LOST);
                assert_int_equal(t->next, JOB_STATE_CONNECT); /* J4 */
                assert_int_equal(t->action, JOB_ACTION_RECONNECT);
        }
}

static void every_running_state_can_be_cancelled(void **state) {
        (void) state;
        for (int s = 0; s < JOB_STATE_DONE; s++)
                assert_int_equal(job_transition((JobState) s, JOB_EVENT_CANCEL)->next, JOB_STATE_CANCELLED);
}

static void names_read_back(void **state) {
        (void) state;
        for (int s = 0; s < _JOB_STATE_MAX; s++)
                assert_int_equal(job_state_from_string(job_state_to_string((JobState) s)), s);
        assert_true(job_state_from_string("nothing") < 0);
        for (int e = 0; e < _JOB_EVENT_MAX; e++)
                assert_string_not_equal(job_event_to_string((JobEvent) e), "invalid");
        for (int a = 0; a < _JOB_ACTION_MAX; a++)
                assert_string_not_equal(job_action_to_string((JobAction) a), "invalid");
        assert_string_equal(job_state_to_string((JobState) 99), "invalid");
        assert_string_equal(job_event_to_string((JobEvent) 99), "invalid");
        assert_string_equal(job_action_to_string((JobAction) 99), "invalid");
}

/* RESEAL_WRITE_DOT=1 writes the drawing anew. */
static void drawing_in_the_documentation_is_the_table(void **state) {
        _cleanup_(freep) char *path = NULL, *drawn = NULL;
        _cleanup_(freep) uint8_t *kept = NULL;
        size_t drawn_size, kept_size;
        RsError err = { 0 };

        (void) state;
        const char *root = getenv("SOURCE_ROOT");
        if (!root)
                skip();
        assert_true(asprintf(&path, "%s/docs/job-states.dot", root) > 0);
        FILE *f = open_memstream(&drawn, &drawn_size);
        assert_non_null(f);
        job_machine_print(f);
        assert_int_equal(fclose(f), 0);
        if (getenv("RESEAL_WRITE_DOT")) {
                f = fopen(path, "w");
                assert_non_null(f);
                assert_int_equal(fwrite(drawn, 1, drawn_size, f), drawn_size);
                assert_int_equal(fclose(f), 0);
        }
        assert_int_equal(file_read(AT_FDCWD, path, 65536, &kept, &kept_size, &err), 1);
        assert_string_equal((const char *) kept, drawn);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_state_knows_exactly_its_events),
                cmocka_unit_test(success_leads_through_every_state_to_done),
                cmocka_unit_test(done_is_reached_by_finishing_only),
                cmocka_unit_test(lost_writer_leads_back_before_the_gate),
                cmocka_unit_test(every_running_state_can_be_cancelled),
                cmocka_unit_test(names_read_back),
                cmocka_unit_test(drawing_in_the_documentation_is_the_table),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
