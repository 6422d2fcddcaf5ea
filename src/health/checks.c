/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * checks - units, programs, source.
 *
 * What is not there yet may come: a unit that is being started, a network that is being found.  So the units and the
 * source are asked again until the deadline.  A program decides by itself and is run once.
 *
 * A unit that dies and is started again is active whenever one looks.  So what is compared is which start it is active
 * since: the same over the settling time, and still the same when everything else has been checked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <reseal/base/clock.h>
#include <reseal/base/names.h>

#include "bus.h"
#include "checks.h"

#define ASK_UNITS_USEC 500000u
#define ASK_SOURCE_USEC 2000000u
#define PROGRAMS_MAX 256

/* False when until has come. */
static bool wait_usec(uint64_t usec, uint64_t until) {
        uint64_t now = clock_boottime_usec();

        if (now >= until)
                return false;
        if (usec > until - now)
                usec = until - now;
        (void) poll(NULL, 0, (int) (usec / 1000) + 1);
        return true;
}

/* -- units ------------------------------------------------------------------------------------------------------ */

/*
 * NULL when all are active, else one that is not, with its state.  *ret_again: one that was started again since starts
 * was filled last, or NULL.
 */
static const char *find_inactive(sd_bus *bus, const HealthConfig *c, UnitStart *starts, const char **ret_again,
                                 char state[32]) {
        *ret_again = NULL;
        for (size_t i = 0; i < c->n_units; i++) {
                UnitStart start = { 0 };

                if (!bus_unit_is_active(bus, c->units[i], state, &start))
                        return c->units[i];
                if (!unit_start_equal(&start, &starts[i]))
                        *ret_again = c->units[i];
                starts[i] = start;
        }
        return NULL;
}

int checks_units(const HealthConfig *c, uint64_t until, UnitStart *ret_starts, RsError *err) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        const char *again = NULL;
        char state[32] = "";
        const char *inactive;
        uint64_t since = 0, now;

        if (c->n_units == 0)
                return 0;
        do {
                if (!bus && sd_bus_open_system(&bus) < 0) {
                        inactive = "the system bus";
                        (void) snprintf(state, sizeof(state), "not there");
                        continue;
                }
                inactive = find_inactive(bus, c, ret_starts, &again, state);
                now = clock_boottime_usec();
                since = inactive ? 0 : since && !again ? since : now;
                if (since && now - since >= c->settle_usec)
                        return 0;
        } while (wait_usec(ASK_UNITS_USEC, until));
        if (inactive)
                return rs_fail(err, UNHEALTHY, "%s is %s", inactive, state);
        return again ? rs_fail(err, UNHEALTHY, "%s does not stay active: it is started again and again", again)
                     : rs_fail(err, UNHEALTHY, "the units have not settled");
}

/*
 * What was found settled is active since the same start still.  A unit that reloads at this moment, or a bus that does
 * not answer, is asked again until the deadline; one that was started again has not stayed.
 */
static int check_unchanged(const HealthConfig *c, uint64_t until, const UnitStart *settled, RsError *err) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        const char *inactive;
        char state[32] = "";

        if (c->n_units == 0)
                return 0;
        do {
                UnitStart starts[HEALTH_UNITS_MAX];
                const char *again = NULL;

                inactive = "the system bus";
                (void) snprintf(state, sizeof(state), "not there");
                if (!bus && sd_bus_open_system(&bus) < 0)
                        continue;
                memcpy(starts, settled, sizeof(starts));
                inactive = find_inactive(bus, c, starts, &again, state);
                if (again)
                        return rs_fail(err, UNHEALTHY, "%s was started again during the other checks", again);
                if (!inactive)
                        return 0;
        } while (wait_usec(ASK_UNITS_USEC, until));
        return rs_fail(err, UNHEALTHY, "%s is %s after the other checks", inactive, state);
}

/* -- programs --------------------------------------------------------------------------------------------------- */

/* Only what root alone can change is run. */
static int check_owner(int dir_fd, const char *name, const char *where, RsError *err) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return rs_fail(err, UNHEALTHY, "check %s: %s", where, strerror(errno));
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return rs_fail(err, UNHEALTHY, "check %s does not belong to root", where);
        if (st.st_mode & (S_IWGRP | S_IWOTH))
                return rs_fail(err, UNHEALTHY, "others may write check %s", where);
        return S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR);
}

static int start(const char *path, pid_t *ret, RsError *err) {
        static char path_variable[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        char *const environment[] = { path_variable, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        char *copy = strdup(path);
        int r;

        if (!copy)
                return rs_fail_oom(err);
        (void) posix_spawn_file_actions_init(&actions);
        (void) posix_spawnattr_init(&attributes);
        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0) /* a group of its own: what it started ends with it */
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
        if (r == 0)
                r = posix_spawn(ret, path, &actions, &attributes, (char *const[]){ copy, NULL }, environment);
        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&actions);
        free(copy);
        return r == 0 ? 0 : rs_fail(err, UNHEALTHY, "check %s cannot be started: %s", path, strerror(r));
}

/* True when the process has ended by itself before until. */
static bool wait_for_end(pid_t pid, uint64_t until) {
        _cleanup_(closep) int fd = pidfd_open(pid, 0);
        uint64_t now;

        while ((now = clock_boottime_usec()) < until) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                uint64_t msec = (until - now) / 1000 + 1;

                if (poll(&p, 1, msec > 60000 ? 60000 : (int) msec) > 0)
                        return true;
                if (fd < 0)
                        return false;
        }
        return false;
}

static int run(const char *path, uint64_t until, RsError *err) {
        const char *name = strrchr(path, '/') + 1;
        bool in_time;
        int status = 0, r;
        pid_t pid = -1;

        r = start(path, &pid, err);
        if (r < 0)
                return r;
        in_time = wait_for_end(pid, until);
        (void) kill(-pid, SIGKILL);
        if (waitpid(pid, &status, 0) != pid)
                return rs_fail(err, UNHEALTHY, "check %s was lost", name);
        if (!in_time)
                return rs_fail(err, UNHEALTHY, "check %s did not end in time", name);
        if (WIFSIGNALED(status))
                return rs_fail(err, UNHEALTHY, "check %s ended by signal %d", name, WTERMSIG(status));
        if (WEXITSTATUS(status) != 0)
                return rs_fail(err, UNHEALTHY, "check %s failed with status %d", name, WEXITSTATUS(status));
        return 0;
}

static int not_hidden(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

static int run_list(const HealthConfig *c, int dir_fd, struct dirent **list, int n, uint64_t until, RsError *err) {
        char path[4096];
        int r;

        if (n > PROGRAMS_MAX)
                return rs_fail(err, UNHEALTHY, "more than %d checks in %s", PROGRAMS_MAX, c->checks);
        for (int i = 0; i < n; i++) {
                r = check_owner(dir_fd, list[i]->d_name, list[i]->d_name, err);
                if (r > 0 && snprintf(path, sizeof(path), "%s/%s", c->checks, list[i]->d_name) < (int) sizeof(path))
                        r = run(path, until, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

int checks_programs(const HealthConfig *c, uint64_t until, RsError *err) {
        _cleanup_(closep) int dir_fd = -EBADF;
        struct dirent **list = NULL;
        int n, r;

        if (!c->checks)
                return 0;
        dir_fd = open(c->checks, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return rs_fail(err, UNHEALTHY, "%s: %s", c->checks, strerror(errno));
        r = check_owner(dir_fd, ".", c->checks, err);
        if (r < 0)
                return r;
        n = scandirat(dir_fd, ".", &list, not_hidden, alphasort);
        if (n < 0)
                return rs_fail(err, UNHEALTHY, "%s: %s", c->checks, strerror(errno));
        r = run_list(c, dir_fd, list, n, until, err);
        for (int i = 0; i < n; i++)
                free(list[i]);
        free(list);
        return r;
}

/* -- source ----------------------------------------------------------------------------------------------------- */

int checks_source(const HealthConfig *c, uint64_t until, RsError *err) {
        char why[160] = "nobody answers";

        if (!c->source)
                return 0;
        do {
                _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
                uint64_t now = clock_boottime_usec();

                if (now < until && sd_bus_open_system(&bus) >= 0 &&
                    bus_check_source(bus, c->source, until - now, why, sizeof(why)))
                        return 0;
        } while (wait_usec(ASK_SOURCE_USEC, until));
        return rs_fail(err, UNHEALTHY, "source: %s", why);
}

int checks_run(const HealthConfig *c, uint64_t until, RsError *err) {
        UnitStart starts[HEALTH_UNITS_MAX] = { 0 };
        int r;

        r = checks_units(c, until, starts, err);
        if (r == 0)
                r = checks_programs(c, until, err);
        if (r == 0)
                r = checks_source(c, until, err);
        return r < 0 ? r : check_unchanged(c, until, starts, err);
}
