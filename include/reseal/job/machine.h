/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * machine - the states of an installation job as one table.
 *
 * Spec:     docs/job-states.dot (printed from the table); DESIGN.md 8; conf/org.reseal1.xml, property State
 * Trust:    none: the machine knows what comes next, not whether it is good
 * Owns:     nothing; pure functions over constants
 * Units:    none
 * Errors:   none; an event that has no row in a state is a mistake of ours
 * Context:  any thread
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdio.h>

typedef enum JobState {
        JOB_STATE_QUEUED,
        JOB_STATE_CONNECT,
        JOB_STATE_OFFER,
        JOB_STATE_TICKET,
        JOB_STATE_TABLE,
        JOB_STATE_WRITE,
        JOB_STATE_FINISH,
        JOB_STATE_DONE,
        JOB_STATE_FAILED,
        JOB_STATE_CANCELLED,
        _JOB_STATE_MAX,
} JobState;

typedef enum JobEvent {
        JOB_EVENT_START,
        JOB_EVENT_SUCCESS,      /* the action of the state is complete */
        JOB_EVENT_LOST,         /* the writer went away or is held by another: what it proved stays proven */
        JOB_EVENT_FAILURE,
        JOB_EVENT_CANCEL,
        _JOB_EVENT_MAX,
} JobEvent;

typedef enum JobAction {
        JOB_ACTION_NONE,
        JOB_ACTION_READ_HEAD,
        JOB_ACTION_RECONNECT,
        JOB_ACTION_OFFER,
        JOB_ACTION_OPEN_TICKET,
        JOB_ACTION_SEND_TABLES,
        JOB_ACTION_WRITE_FRAMES,
        JOB_ACTION_FINISH,
        JOB_ACTION_ABORT,
        JOB_ACTION_REPORT,
        _JOB_ACTION_MAX,
} JobAction;

typedef struct JobTransition {
        JobState state;
        JobEvent event;
        JobState next;
        JobAction action;       /* done on entering `next` */
} JobTransition;

/* NULL when the state does not know the event. */
const JobTransition *job_transition(JobState state, JobEvent event);
bool job_state_is_final(JobState state);
const char *job_state_to_string(JobState state);
int job_state_from_string(const char *text);    /* JobState, or -EINVAL */
const char *job_event_to_string(JobEvent event);
const char *job_action_to_string(JobAction action);
void job_machine_print(FILE *to);               /* as dot */
