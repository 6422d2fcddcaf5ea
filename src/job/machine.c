/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * machine - an installation from the request to its end.
 *
 *   queued -> connect -> offer -> ticket -> table -> write -> finish -> done
 *                ^         |        |         |        |         |
 *                +---------+--------+-- lost -+--------+---------+        any of them -> failed, cancelled
 *
 * What each state means, what is on disk, what may be trusted, and what a power cut does.  "Record" is the
 * job record of this daemon (record.h): a note of what was asked for, for people and for resuming; the
 * install record of the writer is the only one that decides anything.
 *
 *   queued     Record: address and options.  Nothing of the bundle is known.  Power cut: the job starts again.
 *   connect    Record as before.  The source is being authenticated, header and manifest read; nothing of it
 *              is trusted but its form.  Power cut: starts again.
 *   offer      The writer judges the manifest (gate).  Slot untouched.  Power cut: starts again.
 *   ticket     The writer has accepted the release and made no change.  The ticket is verified and opened in
 *              the TPM: from here on a content key lives in locked memory, never on disk.  Power cut: starts again.
 *   table      Tables opened; their digests are signed, their roots follow.  Slot untouched.  Power cut: starts again.
 *   write      With the first verified frame the writer makes its install record and gives up the old content of the
 *              target (W1 to W4).  Power cut: the running slot boots, the target cannot; this job starts again from its
 *              record and the writer says which frames it has proven: those are not fetched again.
 *   finish     All frames are with the writer, which proves, commits and switches (W5 to W8).  Power cut: before W8 the
 *              running slot boots and the job converges to the same end; after W8 the new one is tried.
 *   done       The record is gone.  failed and cancelled likewise: an install record of the writer stays, so that the
 *              same bundle asked for again goes on where it was.
 *
 * Invariants
 *   J1  A job leaves `connect` only with a manifest that is well-formed, and `offer` only with the writer's consent.
 *   J2  The content key exists only between `ticket` and the end of the job.
 *   J3  `done` is reached only by the writer's answer to FINISH.
 *   J4  A lost writer never ends in `done` and never skips the gate: the manifest is offered again.
 *   J5  Each state that is not final knows each event but START, and no final state knows any.
 */
#include <errno.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/job/machine.h>

#define ROW(from, on, to, does) \
        { JOB_STATE_##from, JOB_EVENT_##on, JOB_STATE_##to, JOB_ACTION_##does }
/* Ends that every state at work shares. */
#define ENDS(from)                                 \
        ROW(from, LOST, CONNECT, RECONNECT),       \
        ROW(from, FAILURE, FAILED, ABORT),         \
        ROW(from, CANCEL, CANCELLED, ABORT)

static const JobTransition TRANSITIONS[] = {
        ROW(QUEUED, START, CONNECT, READ_HEAD),
        ROW(QUEUED, FAILURE, FAILED, REPORT),
        ROW(QUEUED, CANCEL, CANCELLED, REPORT),
        ROW(CONNECT, SUCCESS, OFFER, OFFER),
        ENDS(CONNECT),
        ROW(OFFER, SUCCESS, TICKET, OPEN_TICKET),
        ENDS(OFFER),
        ROW(TICKET, SUCCESS, TABLE, SEND_TABLES),
        ENDS(TICKET),
        ROW(TABLE, SUCCESS, WRITE, WRITE_FRAMES),
        ENDS(TABLE),
        ROW(WRITE, SUCCESS, FINISH, FINISH),
        ENDS(WRITE),
        ROW(FINISH, SUCCESS, DONE, REPORT),
        ENDS(FINISH),
};

static const char *const STATES[_JOB_STATE_MAX] = {
        [JOB_STATE_QUEUED] = "queued",   [JOB_STATE_CONNECT] = "connect", [JOB_STATE_OFFER] = "offer",
        [JOB_STATE_TICKET] = "ticket",   [JOB_STATE_TABLE] = "table",     [JOB_STATE_WRITE] = "write",
        [JOB_STATE_FINISH] = "finish",   [JOB_STATE_DONE] = "done",       [JOB_STATE_FAILED] = "failed",
        [JOB_STATE_CANCELLED] = "cancelled",
};
static const char *const EVENTS[_JOB_EVENT_MAX] = {
        [JOB_EVENT_START] = "start",     [JOB_EVENT_SUCCESS] = "success", [JOB_EVENT_LOST] = "lost",
        [JOB_EVENT_FAILURE] = "failure", [JOB_EVENT_CANCEL] = "cancel",
};
static const char *const ACTIONS[_JOB_ACTION_MAX] = {
        [JOB_ACTION_NONE] = "none",
        [JOB_ACTION_READ_HEAD] = "read head",
        [JOB_ACTION_RECONNECT] = "reconnect",
        [JOB_ACTION_OFFER] = "offer",
        [JOB_ACTION_OPEN_TICKET] = "open ticket",
        [JOB_ACTION_SEND_TABLES] = "send tables",
        [JOB_ACTION_WRITE_FRAMES] = "write frames",
        [JOB_ACTION_FINISH] = "finish",
        [JOB_ACTION_ABORT] = "abort",
        [JOB_ACTION_REPORT] = "report",
};
_Static_assert(ELEMENTSOF(STATES) == _JOB_STATE_MAX, "a state without a name");
_Static_assert(ELEMENTSOF(EVENTS) == _JOB_EVENT_MAX, "an event without a name");
_Static_assert(ELEMENTSOF(ACTIONS) == _JOB_ACTION_MAX, "an action without a name");

const JobTransition *job_transition(JobState state, JobEvent event) {
        for (size_t i = 0; i < ELEMENTSOF(TRANSITIONS); i++)
                if (TRANSITIONS[i].state == state && TRANSITIONS[i].event == event)
                        return &TRANSITIONS[i];
        return NULL;
}

bool job_state_is_final(JobState state) {
        return state >= JOB_STATE_DONE;
}

const char *job_state_to_string(JobState state) {
        return (unsigned) state < _JOB_STATE_MAX ? STATES[state] : "invalid";
}

int job_state_from_string(const char *text) {
        for (int i = 0; i < _JOB_STATE_MAX; i++)
                if (strcmp(STATES[i], text) == 0)
                        return i;
        return -EINVAL;
}

const char *job_event_to_string(JobEvent event) {
        return (unsigned) event < _JOB_EVENT_MAX ? EVENTS[event] : "invalid";
}

const char *job_action_to_string(JobAction action) {
        return (unsigned) action < _JOB_ACTION_MAX ? ACTIONS[action] : "invalid";
}

void job_machine_print(FILE *to) {
        fputs("// SPDX-License-Identifier: LGPL-2.1-or-later\n"
              "// printed from the table in src/job/machine.c; tests/unit/job/test-machine.c compares\n"
              "digraph job {\n        rankdir=LR;\n", to);
        for (int i = 0; i < _JOB_STATE_MAX; i++)
                fprintf(to, "        %s%s;\n", STATES[i], job_state_is_final((JobState) i) ? " [shape=doublecircle]" : "");
        for (size_t i = 0; i < ELEMENTSOF(TRANSITIONS); i++) {
                const JobTransition *t = &TRANSITIONS[i];
                fprintf(to, "        %s -> %s [label=\"%s / %s\"];\n", STATES[t->state], STATES[t->next],
                        EVENTS[t->event], ACTIONS[t->action]);
        }
        fputs("}\n", to);
}
