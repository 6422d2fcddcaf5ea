/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the next start may lead to (src/install/next.c): each request x each peer x each state of the two slots, with the
 * answer, on swtpm and a real GRUB environment.  A runs, release 5 is the accepted one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/boot/grub-env.h>

#include "device.h"

#define ACCEPTED 5u

/* The letters of an answer: done; done and told as root's; or why not. */
static const struct {
        char letter;
        RsReason reason;
} reasons[] = { { 'R', RS_REASON_ROLLBACK }, { 'P', RS_REASON_POLICY }, { 'S', RS_REASON_STATE }, { 'D', RS_REASON_BOOT_STATE } };

enum { GOOD, BAD, BAD_OTHER, ACTIVE, ACTIVE_OTHER, REJECT, _REQUESTS };

/* reseald, reseald with mark-by-daemon=no, health check, root, root with --below-accepted: a letter each. */
#define N_PEERS 5
static const InstallAsker peers[N_PEERS] = { INSTALL_BY_DAEMON, INSTALL_BY_DAEMON, INSTALL_BY_HEALTH, INSTALL_BY_ROOT,
                                             INSTALL_BY_ROOT_BELOW };

typedef struct Row {
        const char *what;
        const char *order;              /* NULL: damaged */
        int a_ok, a_try, b_ok, b_try;
        uint64_t a, b;                  /* release; 0: nobody knows */
        bool proven;                    /* A holds the accepted one by the word of the initramfs, with no note */
        const char *answers[_REQUESTS];
} Row;

#define OLD 4u
#define NEW 6u
#define ANYBODY ".P..."   /* who may end trials */
#define CHOICE "..P.."    /* who may choose the active slot */
#define ENDS_TRIAL ".PP.." /* who may do both */
#define NEVER "SPSSS"
#define NO_CHOICE "SSPSS"
#define DOWN "RPRR!"      /* below the record: root alone, told */
#define CHOICE_DOWN "RRPR!"

static const Row rows[] = {
        /*                                                        good     bad A    bad B    active A   active B     reject */
        { "runs accepted, good; other older, good", "A B", 1, 0, 1, 0, ACCEPTED, OLD, false,
          { ANYBODY, DOWN, ANYBODY, CHOICE, CHOICE_DOWN, NEVER } },
        { "runs accepted, good; other unknown, good", "A B", 1, 0, 1, 0, ACCEPTED, 0, false,
          { ANYBODY, DOWN, ANYBODY, CHOICE, CHOICE_DOWN, NEVER } },
        { "runs accepted by the initramfs' word; other older, good", "A B", 1, 0, 1, 0, 0, OLD, true,
          { ANYBODY, DOWN, ANYBODY, CHOICE, CHOICE_DOWN, NEVER } },
        { "runs accepted, good; other the same, good", "A B", 1, 0, 1, 0, ACCEPTED, ACCEPTED, false,
          { ANYBODY, ANYBODY, ANYBODY, CHOICE, CHOICE, NEVER } },
        { "runs accepted, good; other newer, good", "A B", 1, 0, 1, 0, ACCEPTED, NEW, false,
          { ANYBODY, ANYBODY, ANYBODY, CHOICE, CHOICE, NEVER } },
        { "runs accepted, on trial; other older, good", "A B", 0, 2, 1, 0, ACCEPTED, OLD, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, ENDS_TRIAL, ANYBODY } },
        { "runs accepted, on trial, last attempt; other older, good", "A B", 0, 0, 1, 0, ACCEPTED, OLD, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, ENDS_TRIAL, ANYBODY } },
        { "runs accepted, on trial; other unknown, good", "A B", 0, 2, 1, 0, ACCEPTED, 0, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, ENDS_TRIAL, ANYBODY } },
        { "runs accepted, on trial; other the same, good", "A B", 0, 2, 1, 0, ACCEPTED, ACCEPTED, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, CHOICE, ANYBODY } },
        { "runs accepted, on trial; other newer, good", "A B", 0, 2, 1, 0, ACCEPTED, NEW, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, CHOICE, ANYBODY } },
        { "runs older, good, fallen back; other accepted, good and next", "B A", 1, 0, 1, 0, OLD, ACCEPTED, false,
          { ANYBODY, ANYBODY, DOWN, CHOICE_DOWN, CHOICE, NEVER } },
        { "runs unknown, good; other accepted, good and next", "B A", 1, 0, 1, 0, 0, ACCEPTED, false,
          { ANYBODY, ANYBODY, DOWN, CHOICE_DOWN, CHOICE, NEVER } },
        { "runs older, good; other accepted, waits for its trial", "B A", 1, 0, 0, 3, OLD, ACCEPTED, false,
          { ANYBODY, NEVER, ANYBODY, ENDS_TRIAL, NO_CHOICE, NEVER } },
        { "runs older, good; other accepted, failed its trial", "B A", 1, 0, 0, 0, OLD, ACCEPTED, false,
          { ANYBODY, NEVER, ANYBODY, CHOICE, NO_CHOICE, NEVER } },
        { "runs older, on trial by root's word; other accepted, good", "A B", 0, 2, 1, 0, OLD, ACCEPTED, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, CHOICE, ANYBODY } },
        { "runs older, not good; other accepted, good and next", "B A", 0, 0, 1, 0, OLD, ACCEPTED, false,
          { ANYBODY, ANYBODY, NEVER, NO_CHOICE, CHOICE, ANYBODY } },
        { "runs older, not good; nothing else starts", "B A", 0, 0, 0, 0, OLD, ACCEPTED, false,
          { ANYBODY, NEVER, NEVER, NO_CHOICE, NO_CHOICE, ANYBODY } },
        { "runs older, damaged, B first in the last good order", NULL, 1, 0, 1, 0, OLD, ACCEPTED, false,
          { ANYBODY, "DPDDD", "DPDDD", "DDPDD", "DDPDD", "DPDDD" } },
};

/* The factory: nothing was accepted, nothing is below. */
static const Row empty = { "nothing accepted yet", "A B", 1, 0, 1, 0, 0, 0, false,
                           { ANYBODY, ANYBODY, ANYBODY, CHOICE, CHOICE, NEVER } };

typedef struct World {
        TestDevice d;
        TestEngine e;
        Installer *strict;              /* mark-by-daemon=no */
        uint8_t manifest[RS_DIGEST_SIZE];
        uint64_t floor;
} World;

static void put_block(const char *path, const char *text) {
        char block[GRUB_ENV_SIZE];
        RsError err = RS_ERROR_INIT;
        int n;

        memset(block, '#', sizeof(block));
        n = snprintf(block, sizeof(block), "# GRUB Environment Block\n%s", text);
        assert_true(n > 0 && (size_t) n < sizeof(block));
        block[n] = '#';
        assert_int_equal(file_replace(AT_FDCWD, path, SPAN(block, sizeof(block)), 0600, &err), 0);
}

static void note(World *w, const char *name, uint64_t release) {
        InstallSlot slot = { .release = release, .epoch = 1, .floor_max = w->floor, .version = "1" };
        RsError err = RS_ERROR_INIT;

        (void) snprintf(slot.boot_name, sizeof(slot.boot_name), "%s", name);
        memset(slot.bundle_id, (int) release, sizeof(slot.bundle_id));
        if (release == 0)
                assert_int_equal(install_slot_remove(w->e.state_fd, name, &err), 0);
        else
                assert_int_equal(install_slot_save(w->e.state_fd, &slot, &err), 0);
}

static void set_state(World *w, const Row *row) {
        char text[200];

        put_block(w->d.good, strcmp(row->order ? row->order : "B A", "B A") == 0 ? "GOOD_ORDER=B A\n" : "GOOD_ORDER=A B\n");
        (void) snprintf(text, sizeof(text), "ORDER=%s\nA_OK=%d\nA_TRY=%d\nB_OK=%d\nB_TRY=%d\n", row->order ? row->order : "?",
                        row->a_ok, row->a_try, row->b_ok, row->b_try);
        put_block(w->d.grubenv, text);
        note(w, "A", row->a);
        note(w, "B", row->b);
        test_device_boot(&w->d, "A", row->proven ? w->manifest : NULL);
}

static int ask(World *w, int request, unsigned peer, RsError *err) {
        Installer *i = peer == 1 ? w->strict : w->e.installer;
        char name[WRITER_NAME_SIZE + 1];

        switch (request) {
        case GOOD:
                return install_mark(i, peers[peer], WRITER_MARK_GOOD, "A", name, err);
        case BAD:
                return install_mark(i, peers[peer], WRITER_MARK_BAD, "A", name, err);
        case BAD_OTHER:
                return install_mark(i, peers[peer], WRITER_MARK_BAD, "B", name, err);
        case ACTIVE:
                return install_mark(i, peers[peer], WRITER_MARK_ACTIVE, "A", name, err);
        case ACTIVE_OTHER:
                return install_mark(i, peers[peer], WRITER_MARK_ACTIVE, "B", name, err);
        default:
                return install_reject(i, peers[peer], "it failed", name, err);
        }
}

static char letter_of(int r, const RsError *err) {
        if (r >= 0)
                return r > 0 ? '!' : '.';
        for (size_t k = 0; k < ELEMENTSOF(reasons); k++)
                if (reasons[k].reason == err->reason)
                        return reasons[k].letter;
        return '?';
}

static void try_row(World *w, const Row *row) {
        for (int request = 0; request < _REQUESTS; request++)
                for (unsigned peer = 0; peer < N_PEERS; peer++) {
                        uint8_t before[32], after[32];
                        RsError err = RS_ERROR_INIT;
                        char letter;
                        int r;

                        set_state(w, row);
                        test_sha256_of_file(w->d.grubenv, before);
                        r = ask(w, request, peer, &err);
                        letter = letter_of(r, &err);
                        if (letter != row->answers[request][peer])
                                fail_msg("%s: request %d of peer %u: %c, expected %c (%s %s)", row->what, request, peer,
                                         letter, row->answers[request][peer], rs_reason_name(err.reason), err.text);
                        test_sha256_of_file(w->d.grubenv, after);
                        if (r < 0) /* a refusal changes nothing */
                                assert_memory_equal(before, after, 32);
                }
}

static BootState boot_state(World *w) {
        RsError err = RS_ERROR_INIT;
        BootState s;

        assert_int_equal(boot_read(w->e.boot, &s, &err), 0);
        return s;
}

static void in_the_factory_nothing_is_below(void **state) {
        try_row(*state, &empty);
}

static void each_request_of_each_peer_in_each_state_has_its_answer(void **state) {
        for (size_t k = 0; k < ELEMENTSOF(rows); k++)
                try_row(*state, &rows[k]);
}

/* A block that a cut has torn: what the loader falls back to stays the order, whoever runs. */
static void repairing_the_boot_state_chooses_nothing(void **state) {
        const Row *damaged = &rows[ELEMENTSOF(rows) - 1];
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        assert_null(damaged->order);
        set_state(w, damaged);
        assert_int_equal(ask(w, GOOD, 2, &err), 0);
        assert_string_equal(boot_state(w).primary, "B");
        assert_true(boot_state(w).slots[0].good && boot_state(w).slots[1].good);
}

/*
 * The trial's last attempt: the loader has counted it down and goes by the other slot.  Whoever makes that one first now
 * would keep the confirmation from coming into force, and the device below.
 */
static void a_trial_in_its_last_attempt_is_not_passed_by(void **state) {
        static const Row last = { "", "A B", 0, 0, 1, 0, ACCEPTED, OLD, false, { NULL } };
        World *w = *state;
        RsError err = RS_ERROR_INIT;

        set_state(w, &last);
        assert_string_equal(boot_state(w).primary, "B");
        assert_true(ask(w, ACTIVE_OTHER, 1, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_POLICY);
        assert_int_equal(ask(w, GOOD, 2, &(RsError){ 0 }), 0);
        assert_string_equal(boot_state(w).primary, "A");
}

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));
        InstallDevice strict;
        TpmState tpm;
        RsError err = RS_ERROR_INIT;

        test_device_make(&w->d, (uint64_t) 18 << 20);
        w->d.shared = true;
        test_engine_open(&w->e, &w->d, NULL, NULL);
        strict = w->e.device;
        strict.policy.trials_by_health = true;
        assert_int_equal(install_new(&strict, &w->strict, &err), 0);
        assert_int_equal(tpm_state_read(w->e.tpm, &tpm, &err), 0);
        w->floor = tpm.floor;
        memset(w->manifest, ACCEPTED, sizeof(w->manifest));
        *state = w;
        return 0;
}

static void the_record_is_made(void **state) {
        World *w = *state;
        RsError err = RS_ERROR_INIT;
        TpmRecord record;
        TpmState tpm;

        assert_int_equal(tpm_state_read(w->e.tpm, &tpm, &err), 0);
        record = tpm.record;
        record.empty = false;
        (void) snprintf(record.line, sizeof(record.line), "%s", TEST_LINE);
        record.release = ACCEPTED;
        record.epoch = record.floor_epoch = 1;
        memcpy(record.manifest_digest, w->manifest, sizeof(record.manifest_digest));
        if (tpm_state_commit(w->e.tpm, w->e.gate, &record, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
}

static int teardown(void **state) {
        World *w = *state;

        w->strict = install_free(w->strict);
        test_engine_close(&w->e);
        test_device_done(&w->d);
        free(w);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(in_the_factory_nothing_is_below),
                cmocka_unit_test(the_record_is_made),
                cmocka_unit_test(each_request_of_each_peer_in_each_state_has_its_answer),
                cmocka_unit_test(repairing_the_boot_state_chooses_nothing),
                cmocka_unit_test(a_trial_in_its_last_attempt_is_not_passed_by),
        };
        int r = test_pki_setup(NULL);

        if (r != 0)
                return 1;
        r = cmocka_run_group_tests(tests, setup, teardown);
        (void) test_pki_teardown(NULL);
        return r;
}
