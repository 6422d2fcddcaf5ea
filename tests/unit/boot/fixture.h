/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A directory of its own per test, whole files as strings, and the output of a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/boot/boot.h>

typedef struct Fixture {
        char directory[64];
        char path[96], second[96], config_path[96];
        BootConfig config;
        Boot *boot;
} Fixture;

static inline void put_file(const char *path, const void *bytes, size_t size) {
        FILE *f = fopen(path, "wbe");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

static inline void get_file(const char *path, void *bytes, size_t size) {
        FILE *f = fopen(path, "rbe");

        assert_non_null(f);
        assert_int_equal(fread(bytes, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

/* Exit status; standard output goes to `ret`. */
__attribute__((format(printf, 3, 4)))
static inline int run(char *ret, size_t size, const char *format, ...) {
        char command[512];
        size_t n;
        va_list ap;
        FILE *p;

        va_start(ap, format);
        (void) vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        p = popen(command, "re");
        assert_non_null(p);
        n = fread(ret, 1, size - 1, p);
        ret[n] = '\0';
        return pclose(p);
}

static inline int fixture_done(void **state) {
        Fixture *f = *state;
        char out[16], command[128];

        f->boot = boot_close(f->boot);
        boot_config_done(&f->config);
        (void) snprintf(command, sizeof(command), "rm -rf '%s'", f->directory);
        (void) run(out, sizeof(out), "%s", command);
        free(f);
        return 0;
}

static inline Fixture *fixture_new(const char *backend) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) strcpy(f->directory, "/tmp/reseal-test-boot-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        (void) snprintf(f->path, sizeof(f->path), "%s/env", f->directory);
        (void) snprintf(f->second, sizeof(f->second), "%s/second", f->directory);
        (void) snprintf(f->config_path, sizeof(f->config_path), "%s/fw_env.config", f->directory);
        f->config.backend = strdup(backend);
        f->config.tries = 3;
        f->config.n_names = 2;
        (void) strcpy(f->config.names[0], "A");
        (void) strcpy(f->config.names[1], "B");
        return f;
}

static inline void reads_as(Fixture *f, const char *primary, int a_good, uint32_t a_tries, int b_good,
                            uint32_t b_tries) {
        RsError err = RS_ERROR_INIT;
        BootState s;

        if (boot_read(f->boot, &s, &err) < 0)
                fail_msg("%s: %s", rs_reason_name(err.reason), err.text);
        assert_int_equal(s.n_slots, 2);
        assert_string_equal(s.primary, primary);
        assert_string_equal(s.slots[0].name, "A");
        assert_string_equal(s.slots[1].name, "B");
        assert_int_equal(s.slots[0].good, a_good);
        assert_int_equal(s.slots[0].tries_left, a_tries);
        assert_int_equal(s.slots[0].bootable, a_tries > 0);
        assert_int_equal(s.slots[1].good, b_good);
        assert_int_equal(s.slots[1].tries_left, b_tries);
        assert_int_equal(s.slots[1].bootable, b_tries > 0);
}

static inline void does(int r, const RsError *err) {
        if (r < 0)
                fail_msg("%s: %s", rs_reason_name(err->reason), err->text);
}
#define DOES(call)                         \
        do {                               \
                RsError err = RS_ERROR_INIT; \
                does(call, &err);          \
        } while (0)
#define REFUSES(call, why)                                       \
        do {                                                     \
                RsError err = RS_ERROR_INIT;                     \
                assert_true((call) < 0);                         \
                assert_int_equal(err.reason, RS_REASON_##why);   \
        } while (0)
