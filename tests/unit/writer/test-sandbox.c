/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the sandbox leaves open, asked of the kernel by a child that is in it (T26: code of an attacker in the writer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/confine/confine.h>

#include "sandbox.h"

#define NO_LANDLOCK 77

static char directory[] = "/tmp/reseal-sandbox.XXXXXX";

static void make(const char *name) {
        char path[128];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fprintf(f, "%s/environment 0x0 0x4000\n", directory) > 0);
        assert_int_equal(fclose(f), 0);
}

static int setup(void **state) {
        (void) state;
        if (!mkdtemp(directory))
                return -1;
        make("fw_env.config");
        make("environment");
        make("other");
        make(RS_EFI_BOOT_ORDER);
        make(RS_EFI_BOOT_NEXT);
        return 0;
}

static int teardown(void **state) {
        char command[96];

        (void) state;
        (void) snprintf(command, sizeof(command), "rm -r %s", directory);
        return system(command);
}

/* errno of opening a file of the directory in the sandbox of this back end, 0 when it opens. */
static int open_inside(const char *backend, const char *boot_path, const char *name, int flags) {
        char path[128], conf[96];
        int status = 0;
        pid_t pid;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        (void) snprintf(conf, sizeof(conf), "%s/%s", directory, boot_path);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char other[] = "/nonexistent/other";
                WriterConfig c = { .state_dir = other, .booted_path = other };
                RsError err = RS_ERROR_INIT;
                int r;

                c.map = slot_map_new();
                c.boot.backend = strdup(backend);
                c.boot.path = conf;
                c.tpm.lock_path = other;
                r = c.map && c.boot.backend ? confine_early(&err) : -ENOMEM;
                if (r == 0)
                        r = sandbox_close(&c, &err);
                if (r <= 0)
                        _exit(r < 0 ? 126 : NO_LANDLOCK);
                _exit(open(path, flags | O_CLOEXEC, 0600) < 0 ? errno : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NO_LANDLOCK) {
                print_message("SKIP: this kernel has no Landlock\n");
                exit(77);
        }
        return WEXITSTATUS(status);
}

/* fw_env.config lies in /etc: only what it names may be written. */
static void with_uboot_only_the_environment_may_be_written(void **state) {
        (void) state;
        assert_int_equal(open_inside("uboot", "fw_env.config", "environment", O_RDWR), 0);
        assert_int_equal(open_inside("uboot", "fw_env.config", "fw_env.config", O_RDONLY), 0);
        assert_int_equal(open_inside("uboot", "fw_env.config", "fw_env.config", O_RDWR), EACCES);
        assert_int_equal(open_inside("uboot", "fw_env.config", "other", O_RDWR), EACCES);
        assert_int_equal(open_inside("uboot", "fw_env.config", "new", O_RDWR | O_CREAT), EACCES);
}

/* A directory that stands for efivarfs: no other variable may be set, none made, none removed. */
static void with_efi_only_the_two_variables_may_be_written(void **state) {
        char path[128];

        (void) state;
        assert_int_equal(open_inside("efi", ".", RS_EFI_BOOT_ORDER, O_RDWR), 0);
        assert_int_equal(open_inside("efi", ".", RS_EFI_BOOT_NEXT, O_RDWR), 0);
        assert_int_equal(open_inside("efi", ".", "other", O_RDONLY), 0);
        assert_int_equal(open_inside("efi", ".", "other", O_RDWR), EACCES);
        assert_int_equal(open_inside("efi", ".", "Driver0000", O_RDWR | O_CREAT), EACCES);
        (void) snprintf(path, sizeof(path), "%s/Driver0000", directory);
        assert_int_equal(access(path, F_OK), -1);
}

static void with_grub_the_block_may_be_written(void **state) {
        (void) state;
        assert_int_equal(open_inside("grub", "environment", "environment", O_RDWR), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(with_uboot_only_the_environment_may_be_written),
                cmocka_unit_test(with_efi_only_the_two_variables_may_be_written),
                cmocka_unit_test(with_grub_the_block_may_be_written),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
