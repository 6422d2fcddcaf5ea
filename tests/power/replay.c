/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay - the power fails and the medium has lost, torn or reordered what was not flushed (DESIGN.md 8, D7).
 *
 * The engine runs once for each scene, and all it writes and flushes is recorded: slots, boot environment, last good
 * order, state directory, and the TPM's NV at each point.  Then every medium a cut could leave is judged (see
 * replay-media.c for which, replay-judge.c for what must hold), and for a sample of them a device is made of it that
 * must start, converge and take a release.
 *
 * In scenes with a kill, the process ends right before a flush and another takes over: it finds in the page cache
 * what no medium has.  What it then believes durable is not.
 *
 * RESEAL_TEST_CUTS=1000: all kills, all flushes dropped, more random media (minutes; tests/power/lost-writes).
 * RESEAL_TEST_SEED: another choice of random media.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "replay.h"
#include "replay-proof.h"

#define RELEASES 4u

static TestDevice device;
static TestRelease releases[RELEASES + 1];   /* [0]: the factory's */
static Version held[2] = { { 0, UINT64_MAX, true }, { 0, UINT64_MAX, false } };
static uint32_t n_media, n_converged, n_kills;
static bool thorough;
static uint64_t seed = 1;

typedef struct Scene {
        const char *name;
        Disk before, after;
        Log *log;
        JudgeFacts facts;
        uint32_t samples;            /* media that a device is made of */
} Scene;

static void on_step(void *userdata, InstallStep step, bool done) {
        (void) userdata;
        log_step(step, done);
}

/* The slot that runs in the scenes, and what it holds. */
static uint32_t running;
static uint64_t running_release;

static void boot_as_before(void) {
        test_device_boot(&device, running == 0 ? "A" : "B",
                         running_release > 0 ? releases[running_release].bundle_id : NULL);
}

/* -- judging a scene -------------------------------------------------------------------------------------------- */

typedef struct Course {
        Scene *scene;
        Judge *judge;
        uint32_t n, n_wrong, sample_every;
        bool stop_at_first;          /* a mutation: one is enough */
        char first[2000];
} Course;

static bool on_medium(void *userdata, Replay *r, const Medium *m) {
        Course *c = userdata;
        const char *wrong = judge_medium(c->judge, m);

        c->n++;
        if (!wrong)
                return true;
        if (c->n_wrong++ == 0) {
                size_t n = (size_t) snprintf(c->first, sizeof(c->first), "%s\n", wrong);

                replay_describe(r, m, c->first + n, sizeof(c->first) - n);
        }
        return !c->stop_at_first;
}

/* What the slot that GRUB starts from this medium holds. */
static uint64_t release_in(const Scene *s, const Medium *m, uint32_t boot) {
        return m->slots[boot].as_after && m->slots[2 + boot].as_after ? s->facts.after[boot].release
                                                                      : s->facts.before[boot].release;
}

static void boot_medium(const Scene *s, const Medium *m, uint32_t *ret_boot, uint64_t *ret_release) {
        *ret_boot = (uint32_t) (loader_start(&device) - 'A');
        *ret_release = release_in(s, m, *ret_boot);
        test_device_boot(&device, *ret_boot == 0 ? "A" : "B",
                         *ret_release > 0 ? releases[*ret_release].bundle_id : NULL);
}

static void start_engine(TestEngine *e) {
        char name[WRITER_NAME_SIZE + 1];
        RsError err = RS_ERROR_INIT;

        test_engine_open(e, &device, NULL, NULL);
        if (install_converge(e->installer, &err) < 0 ||
            install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, &err) < 0)
                fail_msg("the writer does not start: %s (%s)", err.text, err.origin);
}

/* A device made of the medium starts, is marked good, and takes this release or the next one. */
static bool on_sample(void *userdata, Replay *r, const Medium *m) {
        Course *c = userdata;
        uint64_t release = c->scene->facts.release, starts;
        RsError err = RS_ERROR_INIT;
        char what[1000];
        TestEngine e;
        uint32_t boot;
        Disk disk;

        if (c->n++ % c->sample_every != c->sample_every / 2)
                return true;
        replay_describe(r, m, what, sizeof(what));
        replay_disk(r, &disk);
        disk.tpm_size = m->tpm->size;
        disk.tpm = malloc(disk.tpm_size);
        assert_non_null(disk.tpm);
        memcpy(disk.tpm, c->scene->log->bytes + m->tpm->data, disk.tpm_size);
        disk_write(&device, &disk);
        disk_done(&disk);
        boot_medium(c->scene, m, &boot, &starts);
        start_engine(&e);
        if (starts == release || c->n / c->sample_every % 2 == 0)
                release++;
        if (test_engine_install(&e, &releases[release], &err) < 0)
                fail_msg("release %llu cannot be installed: %s (%s)\n%s", (unsigned long long) release, err.text,
                         err.origin, what);
        test_engine_close(&e);
        if (!test_slot_holds(&device, 1 - boot, &releases[release]) || loader_start(&device) != (char) ('B' - boot))
                fail_msg("release %llu is not what starts\n%s", (unsigned long long) release, what);
        n_converged++;
        return true;
}

static uint32_t judge_scene(Scene *s) {
        Course c = { .scene = s, .judge = judge_new(&device, &s->facts) };
        ReplayRun run = { .seed = seed, .n_random = thorough ? 48 : 4, .every = 1, .on_medium = on_medium,
                          .userdata = &c };
        Replay *r = replay_new(s->log, &s->before, &s->after);
        char text[200];
        uint32_t n;

        if (!replay_is_faithful(r, text, sizeof(text)))
                fail_msg("%s: a change was not recorded: %s", s->name, text);
        n = replay_run(r, &run);
        c.judge = judge_free(c.judge);
        if (c.n_wrong > 0)
                fail_msg("%s: %u of %u media, the first: %s", s->name, c.n_wrong, n, c.first);
        if (s->samples > 0) {
                c = (Course){ .scene = s, .sample_every = n / s->samples };
                run.on_medium = on_sample;
                (void) replay_run(r, &run);
                disk_write(&device, &s->after);
                boot_as_before();
        }
        r = replay_free(r);
        n_media += n;
        return n;
}

/* -- recording a scene ------------------------------------------------------------------------------------------ */

static void scene_begin(Scene *s, const char *name) {
        memset(s, 0, sizeof(*s));
        s->name = name;
        disk_read(&device, &s->before);
        memcpy(s->facts.before, held, sizeof(held));
        memcpy(s->facts.after, held, sizeof(held));
        s->facts.after_disk = &s->after;
        s->log = log_start(&device);
}

/* The nonce of the last record that was written, which is the one that led to `after`. */
static void find_nonce(Scene *s) {
        for (uint32_t i = s->log->n_events; i > 0; i--) {
                const Event *e = &s->log->events[i - 1];
                _cleanup_(closep) int dir_fd = -EBADF;
                RsError err = RS_ERROR_INIT;
                InstallRecord record;

                if (e->type != EVENT_WRITE || e->size < 8 || memcmp(s->log->bytes + e->data, "RSINSTL1", 8) != 0)
                        continue;
                dir_fd = open(device.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(dir_fd >= 0);
                assert_int_equal(file_replace(dir_fd, INSTALL_FILE_RECORD, SPAN(s->log->bytes + e->data, e->size), 0600,
                                              &err), 0);
                assert_int_equal(install_record_load(dir_fd, &record, &err), 1);
                assert_int_equal(unlinkat(dir_fd, INSTALL_FILE_RECORD, 0), 0);
                memcpy(s->facts.nonce, record.nonce, sizeof(record.nonce));
                return;
        }
}

static void scene_end(Scene *s, uint32_t target, uint64_t release) {
        _cleanup_(closep) int state_fd = open(device.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        RsError err = RS_ERROR_INIT;
        InstallSlot info;

        log_stop(s->log);
        disk_read(&device, &s->after);
        log_read_tpm(s->log, &device);
        find_nonce(s);
        assert_int_equal(install_slot_load(state_fd, target == 0 ? "A" : "B", &info, &err), 1);
        assert_int_equal(info.release, release);
        s->facts.target = target;
        s->facts.release = release;
        s->facts.accepts = s->log->snapshots[0].release != release;
        s->facts.after[target] = held[target] = (Version){ release, info.floor_max, true };
        for (uint32_t i = 0; i < s->log->n_events; i++) {
                const Event *e = &s->log->events[i];

                if (e->type == EVENT_WRITE && s->log->objects[e->object].slot >= 0)
                        assert_int_equal(s->log->objects[e->object].slot % 2, target); /* I1 */
        }
}

static void scene_done(Scene *s) {
        disk_done(&s->before);
        disk_done(&s->after);
}

static int do_install(TestEngine *e, const TestRelease *r, RsError *err) {
        return test_engine_install(e, r, err);
}

static int do_mark(TestEngine *e, const TestRelease *r, RsError *err) {
        char name[WRITER_NAME_SIZE + 1];

        (void) r;
        return install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, err);
}

typedef int (*Deed)(TestEngine *e, const TestRelease *r, RsError *err);

static void run_here(Deed deed, uint64_t release) {
        RsError err = RS_ERROR_INIT;
        TestEngine e;

        test_engine_open(&e, &device, on_step, NULL);
        if (deed(&e, &releases[release], &err) < 0)
                fail_msg("%s (%s)", err.text, err.origin);
        test_engine_close(&e);
}

/* In a process that is killed right before its n-th flush; false: it came to its end before. */
static bool run_killed(Log *log, Deed deed, uint64_t release, long n) {
        int status = 0;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                RsError err = RS_ERROR_INIT;
                TestEngine e;

                test_engine_open(&e, &device, on_step, NULL);
                atomic_store(&log->kill_before, n);
                _exit(deed(&e, &releases[release], &err) < 0 ? 1 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        log_unlock(log);
        atomic_store(&log->kill_before, -1);
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
        return WIFSIGNALED(status);
}

static void record(Scene *s, const char *name, Deed deed, uint32_t target, uint64_t release) {
        scene_begin(s, name);
        run_here(deed, release);
        scene_end(s, target, release);
        s->samples = thorough ? 24 : 1;
}

static void boot_first(void) {
        running = (uint32_t) (loader_start(&device) - 'A');
        running_release = held[running].release;
        boot_as_before();
}

static void install_and_judge(Scene *s, const char *name, uint32_t target, uint64_t release) {
        record(s, name, do_install, target, release);
        assert_slot_proves(&device, target, &releases[release]);
        print_message("%s: %u media\n", name, judge_scene(s));
}

static void mark_and_judge(Scene *s, const char *name, uint32_t target, uint64_t release) {
        boot_first();
        record(s, name, do_mark, target, release);
        print_message("%s: %u media\n", name, judge_scene(s));
}

/* -- the test can fail ------------------------------------------------------------------------------------------ */

/* Is anything found wrong when the log is replayed like this? */
static bool is_seen(Scene *s, Replay *r, const char *what) {
        Course c = { .scene = s, .judge = judge_new(&device, &s->facts), .stop_at_first = true };
        ReplayRun run = { .seed = seed, .every = 1, .on_medium = on_medium, .userdata = &c };

        (void) replay_run(r, &run);
        c.judge = judge_free(c.judge);
        print_message("%s: %s%.*s\n", what, c.n_wrong > 0 ? "seen, " : "not seen", (int) strcspn(c.first, "\n"),
                      c.first);
        return c.n_wrong > 0;
}

static bool is_of(const Scene *s, const Event *e, const char *name) {
        for (uint32_t i = 0; i < s->log->n_events && e->object < OBJECTS_MAX; i++)
                if (s->log->events[i].type == EVENT_CREATE && s->log->events[i].object == e->object)
                        return strcmp(s->log->events[i].name, name) == 0;
        return false;
}

static uint32_t find_step(const Scene *s, InstallStep step, bool done) {
        for (uint32_t i = 0; i < s->log->n_events; i++) {
                const Event *e = &s->log->events[i];

                if (e->type == EVENT_STEP && e->step == step && e->done == done)
                        return i;
        }
        fail_msg("%s is not in the log", install_step_to_string(step));
        return 0;
}

/* Without the flushes of a file (a slot: NULL) between two steps. */
static bool drop_is_seen(Scene *s, const char *name, InstallStep from, InstallStep to, const char *what) {
        Replay *r = replay_new(s->log, &s->before, &s->after);
        uint32_t n = 0, end = find_step(s, to, true);
        bool seen;

        for (uint32_t i = find_step(s, from, false); i < end; i++) {
                const Event *e = &s->log->events[i];

                if (e->type != EVENT_FLUSHED || (name ? !is_of(s, e, name) : e->object >= OBJECTS_MAX ||
                                                         s->log->objects[e->object].slot != (int) s->facts.target))
                        continue;
                replay_drop_flush(r, i);
                n++;
        }
        assert_true(n > 0);
        seen = is_seen(s, r, what);
        r = replay_free(r);
        return seen;
}

/* W8's write of the environment comes before W6. */
static bool swap_is_seen(Scene *s) {
        Replay *r = replay_new(s->log, &s->before, &s->after);
        uint32_t first = 0, end = find_step(s, INSTALL_W8_TRY, true), last = 0;
        bool seen;

        for (uint32_t i = find_step(s, INSTALL_W8_TRY, false); i < end; i++) {
                if (s->log->events[i].type > EVENT_FLUSHED || !is_of(s, &s->log->events[i], "grubenv"))
                        continue;
                first = first > 0 ? first : i;
                last = i;
        }
        assert_true(first > 0);
        replay_move(r, first, last + 1, find_step(s, INSTALL_W6_COMMIT, false));
        seen = is_seen(s, r, "W8 before W6");
        r = replay_free(r);
        return seen;
}

static void assert_mutations_are_seen(Scene *s) {
        assert_true(drop_is_seen(s, "grubenv", INSTALL_W2_UNBOOTABLE, INSTALL_W2_UNBOOTABLE, "no flush in W2"));
        assert_true(drop_is_seen(s, NULL, INSTALL_W3_ERASE, INSTALL_W3_ERASE, "no flush in W3"));
        assert_true(drop_is_seen(s, NULL, INSTALL_W4_FRAMES, INSTALL_W5_FINISH, "no flush in W4 and W5"));
        assert_true(drop_is_seen(s, NULL, INSTALL_W6_COMMIT, INSTALL_W6_COMMIT, "no flush in W6"));
        assert_true(drop_is_seen(s, "install.record.new", INSTALL_W5_FINISH, INSTALL_W6_COMMIT,
                                 "records not flushed before their rename"));
        assert_true(swap_is_seen(s));
        for (uint32_t i = s->log->n_before; thorough && i < s->log->n_events; i++) {
                char text[200];
                Replay *r;

                if (s->log->events[i].type != EVENT_FLUSHED)
                        continue;
                r = replay_new(s->log, &s->before, &s->after);
                replay_drop_flush(r, i);
                replay_describe_event(r, i, text, sizeof(text));
                (void) is_seen(s, r, text);
                r = replay_free(r);
        }
}

/* -- a kill, then a cut ----------------------------------------------------------------------------------------- */

/* The first process does not get beyond its n-th flush, the second one does all of it; then all media of both. */
static void kill_and_judge(const Scene *of, Deed deed, long n, bool power_too) {
        Version were[2];
        char text[200];
        Scene s;

        memcpy(were, held, sizeof(were));
        memcpy(held, of->facts.before, sizeof(held));
        disk_write(&device, &of->before);
        (void) snprintf(text, sizeof(text), "%s, killed before flush %ld", of->name, n);
        scene_begin(&s, text);
        assert_true(run_killed(s.log, deed, of->facts.release, n));
        if (power_too) { /* and nothing lost: a resumed installation is recorded from its start */
                log_stop(s.log);
                scene_done(&s);
                scene_begin(&s, text);
        }
        run_here(deed, of->facts.release);
        scene_end(&s, of->facts.target, of->facts.release);
        print_message("%s%s: %u media\n", text, power_too ? ", resumed" : "", judge_scene(&s));
        n_kills++;
        scene_done(&s);
        memcpy(held, were, sizeof(held));
}

static uint32_t count_flushes(const Scene *s, uint32_t end) {
        uint32_t n = 0;

        for (uint32_t i = s->log->n_before; i < end; i++)
                n += s->log->events[i].type == EVENT_FLUSH;
        return n;
}

/* By default only before the flushes of the boot state that W2 or W11 make; the log of `s` is gone afterwards. */
static void kill_everywhere(const Scene *s, Deed deed, InstallStep first, InstallStep last) {
        uint32_t from = thorough ? s->log->n_before : find_step(s, first, false);
        uint32_t end = thorough ? s->log->n_events : find_step(s, last, true);
        uint32_t wanted[200], n = 0;

        for (uint32_t i = from; i < end; i++) {
                const Event *e = &s->log->events[i];

                if (e->type == EVENT_FLUSH && n < ELEMENTSOF(wanted) &&
                    (thorough || is_of(s, e, "grubenv") || is_of(s, e, "grubenv.good")))
                        wanted[n++] = count_flushes(s, i);
        }
        assert_true(n > 0);
        for (uint32_t i = 0; i < n; i++)
                kill_and_judge(s, deed, wanted[i], false);
        for (uint32_t i = 0; thorough && i < n; i += 7)
                kill_and_judge(s, deed, wanted[i], true);
        disk_write(&device, &s->after);
}

/* -- tests ------------------------------------------------------------------------------------------------------ */

static void whatever_a_first_installation_loses_the_device_comes_back(void **state) {
        Scene s;

        (void) state;
        install_and_judge(&s, "first installation", 1, 1);
        scene_done(&s);
        mark_and_judge(&s, "marking good", 1, 1);
        scene_done(&s);
}

static void what_an_installation_over_a_good_slot_loses_never_starts_it_half_written(void **state) {
        Scene s;

        (void) state;
        install_and_judge(&s, "installation over a good slot", 0, 2);
        assert_mutations_are_seen(&s);
        kill_everywhere(&s, do_install, INSTALL_W2_UNBOOTABLE, INSTALL_W2_UNBOOTABLE);
        scene_done(&s);
}

static void what_marking_good_loses_never_shuts_out_a_slot_that_is_started(void **state) {
        Scene s;

        (void) state;
        mark_and_judge(&s, "marking good with a rising floor", 0, 2);
        kill_everywhere(&s, do_mark, INSTALL_W11_FLOOR, INSTALL_W11_FLOOR);
        scene_done(&s);
}

static int do_again(TestEngine *e, const TestRelease *r, RsError *err) {
        char name[WRITER_NAME_SIZE + 1];
        int k;

        k = install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_BAD, "B", name, err);
        return k < 0 ? k : test_engine_install(e, r, err);
}

static void what_the_same_release_again_loses_costs_nothing(void **state) {
        Scene s;

        (void) state;
        if (!thorough)
                return;
        install_and_judge(&s, "installation over a slot that is shut", 1, 3);
        kill_everywhere(&s, do_install, INSTALL_W2_UNBOOTABLE, INSTALL_W2_UNBOOTABLE);
        scene_done(&s);
        record(&s, "the same release again", do_again, 1, 3);
        assert_slot_proves(&device, 1, &releases[3]);
        print_message("%s: %u media\n", s.name, judge_scene(&s));
        kill_everywhere(&s, do_again, INSTALL_W2_UNBOOTABLE, INSTALL_W2_UNBOOTABLE);
        scene_done(&s);
}

static int group_setup(void **state) {
        const char *text = getenv("RESEAL_TEST_CUTS");

        thorough = text && atoi(text) >= 1000;
        if (getenv("RESEAL_TEST_SEED"))
                seed = strtoull(getenv("RESEAL_TEST_SEED"), NULL, 10);
        if (test_pki_setup(state) < 0)
                return -1;
        test_device_make(&device, REPLAY_ROOTFS);
        for (uint64_t i = 1; i <= RELEASES; i++)
                test_release_make(&releases[i], i, i < 2 ? 0 : 1, REPLAY_ROOTFS);
        return 0;
}

static int group_teardown(void **state) {
        print_message("%u media judged, %u devices made of them, %u kills\n", n_media, n_converged, n_kills);
        for (uint64_t i = 1; i <= RELEASES; i++)
                test_release_done(&releases[i]);
        test_device_done(&device);
        return test_pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whatever_a_first_installation_loses_the_device_comes_back),
                cmocka_unit_test(what_an_installation_over_a_good_slot_loses_never_starts_it_half_written),
                cmocka_unit_test(what_marking_good_loses_never_shuts_out_a_slot_that_is_started),
                cmocka_unit_test(what_the_same_release_again_loses_costs_nothing),
        };

        cmocka_set_test_filter(getenv("RESEAL_TEST_FILTER"));
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
