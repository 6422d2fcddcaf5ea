/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * record - the note of a running job in the state directory, so that it goes on after a restart.
 *
 * Spec:     DESIGN.md 8, "Two records"
 * Trust:    presentation only: what is installed is judged anew by the writer.  The file is parsed as
 *           hostile all the same
 * Owns:     a JobRecord is a flat value
 * Units:    bytes
 * Errors:   IO, NO_SPACE; an unreadable record is an outcome (record_load), never a reason to stop the daemon
 * Context:  any thread; file_replace blocks on the disk
 * Programs: reseald
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>
#include <reseal/job/machine.h>

#define JOB_URL_MAX 2048u
#define JOB_RECORD_FILE "job"
#define JOB_RECORD_SIZE_MAX 8192u
#define JOB_LAST_ID_FILE "last-job" /* stays when the record goes: numbers are not given twice */

typedef struct JobRecord {
        uint32_t id;
        uint32_t restarts;              /* a bundle that kills us must not do so for ever */
        JobState state;
        char url[JOB_URL_MAX + 1];
        char ticket_url[JOB_URL_MAX + 1]; /* "" = the usual place */
        char validator[160];
        bool has_bundle;
        uint8_t bundle_id[32];
        uint64_t done_bytes;            /* the most that was ever done */
        uint64_t total_bytes;
} JobRecord;

/* After a restart the count of restarts ends only where more is done than ever before: a bundle that kills this process
 * at the same place each time comes there again and again. */
void record_advance(JobRecord *r, uint64_t done_bytes);

int record_parse(Span bytes, JobRecord *ret);   /* 0 or -EBADMSG; fuzzed */
int record_encode(const JobRecord *r, Encoder *e);
/* 1 = there is one, 0 = none, 2 = there was one that cannot be read (left alone) */
int record_load(int dir_fd, JobRecord *ret, RsError *err);
int record_save(int dir_fd, const JobRecord *r, RsError *err);
int record_remove(int dir_fd, RsError *err);
/* The highest number ever given; 0 = none, or a file that cannot be read. */
int record_load_last_id(int dir_fd, uint32_t *ret, RsError *err);
int record_save_last_id(int dir_fd, uint32_t id, RsError *err);
