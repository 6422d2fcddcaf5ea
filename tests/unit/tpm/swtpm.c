/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * swtpm - a TPM of its own for one test program.  A blank state directory is enough (swtpm_setup would only
 * add certificates), and the process ends with the test program even when that is killed (PDEATHSIG).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "swtpm.h"

static bool answers(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool yes;

        assert_true(fd >= 0);
        assert_true(strlen(path) < sizeof(address.sun_path));
        memcpy(address.sun_path, path, strlen(path) + 1);
        yes = connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0;
        (void) close(fd);
        return yes;
}

void swtpm_boot(Swtpm *s) {
        char state[128], server[160], ctrl[160], socket_path[128], ctrl_path[128];

        (void) snprintf(state, sizeof(state), "dir=%s", s->dir);
        (void) snprintf(socket_path, sizeof(socket_path), "%s/s", s->dir);
        (void) snprintf(ctrl_path, sizeof(ctrl_path), "%s/s.ctrl", s->dir);
        (void) snprintf(server, sizeof(server), "type=unixio,path=%s", socket_path);
        (void) snprintf(ctrl, sizeof(ctrl), "type=unixio,path=%s", ctrl_path);
        (void) unlink(socket_path);
        (void) unlink(ctrl_path);
        s->pid = fork();
        assert_true(s->pid >= 0);
        if (s->pid == 0) {
                int null = open("/dev/null", O_RDWR);

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) dup2(null, 1);
                (void) dup2(null, 2);
                execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server,
                       "--ctrl", ctrl, "--flags", "not-need-init,startup-clear", (char *) NULL);
                _exit(127);
        }
        for (int i = 0; i < 1000; i++) {
                const struct timespec pause = { .tv_nsec = 5000000 };

                if (answers(ctrl_path) && answers(socket_path)) /* bound is not yet listening */
                        return;
                (void) nanosleep(&pause, NULL);
        }
        fail_msg("swtpm does not start");
}

void swtpm_start(Swtpm *s) {
        const char *fault = getenv("FAULT_TCTI");

        *s = (Swtpm){ 0 };
        (void) snprintf(s->dir, sizeof(s->dir), "/tmp/reseal-tpm.XXXXXX");
        assert_non_null(mkdtemp(s->dir));
        (void) snprintf(s->tcti, sizeof(s->tcti), "swtpm:path=%s/s", s->dir);
        (void) snprintf(s->lock, sizeof(s->lock), "%s/lock", s->dir);
        if (fault)
                (void) snprintf(s->fault_tcti, sizeof(s->fault_tcti), "%s:%s", fault, s->tcti);
        swtpm_boot(s);
}

void swtpm_kill(Swtpm *s) {
        if (s->pid <= 0)
                return;
        (void) kill(s->pid, SIGCONT);
        (void) kill(s->pid, SIGKILL);
        (void) waitpid(s->pid, NULL, 0);
        s->pid = 0;
}

void swtpm_power_cycle(Swtpm *s) {
        swtpm_kill(s);
        swtpm_boot(s);
}

void swtpm_stop(Swtpm *s) {
        static const char *const files[] = { "s",     "s.ctrl",          "lock",
                                             ".lock", "tpm2-00.permall", "tpm2-00.volatilestate" };
        char path[128];

        swtpm_kill(s);
        for (unsigned i = 0; i < ELEMENTSOF(files); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", s->dir, files[i]);
                (void) unlink(path);
        }
        assert_int_equal(rmdir(s->dir), 0);
}

TpmConfig swtpm_config(Swtpm *s) {
        return (TpmConfig){ .tcti = s->tcti, .lock_path = s->lock, .lock_timeout_usec = 20000000 };
}

TpmConfig swtpm_fault_config(Swtpm *s) {
        TpmConfig c = swtpm_config(s);

        assert_true(s->fault_tcti[0] != '\0');
        c.tcti = s->fault_tcti;
        return c;
}

Tpm *device_tpm(Device *d, bool faulty) {
        TpmConfig c = faulty ? swtpm_fault_config(&d->swtpm) : swtpm_config(&d->swtpm);
        RsError err = RS_ERROR_INIT;
        Tpm *t = NULL;

        assert_int_equal(tpm_new(&c, d->srk_name, &t, &err), 0);
        return t;
}

void device_make(Device *d) {
        RsError err = RS_ERROR_INIT;
        TpmConfig c;
        Tpm *t = NULL;
        bool changed;

        *d = (Device){ 0 };
        swtpm_start(&d->swtpm);
        c = swtpm_config(&d->swtpm);
        d->gate = secret_new_random(32);
        d->owner = secret_new_random(32);
        d->lockout = secret_new_random(32);
        assert_true(d->gate && d->owner && d->lockout);
        assert_int_equal(tpm_new(&c, NULL, &t, &err), 0);
        if (tpm_provision_srk(t, NULL, d->srk_name, &changed, &err) < 0 ||
            tpm_provision_nv(t, NULL, d->gate, &changed, &err) < 0 ||
            tpm_provision_auth(t, d->owner, d->lockout, NULL, &err) < 0)
                fail_msg("provision: %s (%s)", err.text, err.origin);
        (void) tpm_free(t);
}

void device_done(Device *d) {
        d->gate = secret_free(d->gate);
        d->owner = secret_free(d->owner);
        d->lockout = secret_free(d->lockout);
        swtpm_stop(&d->swtpm);
}
