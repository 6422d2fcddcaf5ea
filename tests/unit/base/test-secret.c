/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secret: locked, undumpable, wiped (STYLE 7; S10, S26, S34). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <reseal/base/secret.h>

/* AddressSanitizer replaces mlock by a function that does nothing. */
#ifdef __SANITIZE_ADDRESS__
static const bool mlock_is_real = false;
#else
static const bool mlock_is_real = true;
#endif

static void a_new_secret_is_zero_and_as_large_as_asked(void **state) {
        _cleanup_(secret_freep) Secret *s = secret_new(33);
        static const uint8_t zero[33];

        (void) state;
        assert_non_null(s);
        assert_int_equal(secret_size(s), 33);
        assert_memory_equal(secret_bytes(s), zero, 33);
        assert_ptr_equal(secret_span(s).data, secret_bytes(s));
        assert_int_equal((uintptr_t) secret_bytes(s) % 16, 0);
}

static void the_size_is_capped(void **state) {
        _cleanup_(secret_freep) Secret *largest = secret_new(RS_SECRET_MAX), *empty = secret_new(0);

        (void) state;
        assert_non_null(largest);
        memset(secret_bytes_mut(largest), 1, RS_SECRET_MAX);
        assert_non_null(empty);
        assert_int_equal(secret_size(empty), 0);
        assert_null(secret_new(RS_SECRET_MAX + 1));
        assert_null(secret_new(SIZE_MAX));
}

static void random_secrets_differ(void **state) {
        _cleanup_(secret_freep) Secret *a = secret_new_random(32), *b = secret_new_random(32);

        (void) state;
        assert_non_null(a);
        assert_non_null(b);
        assert_false(secret_equal(a, b));
}

static void taking_bytes_wipes_the_source(void **state) {
        char key[] = "0123456789abcdef";
        _cleanup_(secret_freep) Secret *s = NULL;
        static const char zero[16];

        (void) state;
        s = secret_new_take(key, 16);
        assert_memory_equal(secret_bytes(s), "0123456789abcdef", 16);
        assert_memory_equal(key, zero, 16);
}

static void taking_too_many_bytes_wipes_them_all_the_same(void **state) {
        _cleanup_(freep) uint8_t *key = malloc(RS_SECRET_MAX + 1);

        (void) state;
        assert_non_null(key);
        memset(key, 7, RS_SECRET_MAX + 1);
        assert_null(secret_new_take(key, RS_SECRET_MAX + 1));
        for (size_t i = 0; i <= RS_SECRET_MAX; i++)
                assert_int_equal(key[i], 0);
}

static void a_copy_is_equal_and_independent(void **state) {
        _cleanup_(secret_freep) Secret *a = secret_new_random(48), *b = NULL;

        (void) state;
        b = secret_dup(a);
        assert_true(secret_equal(a, b));
        secret_bytes_mut(b)[47] ^= 1;
        assert_false(secret_equal(a, b));
        secret_bytes_mut(b)[47] ^= 1;
        assert_int_equal(secret_shrink(b, 47), 0);
        assert_false(secret_equal(a, b));
}

static void shrinking_wipes_the_rest_and_never_grows(void **state) {
        _cleanup_(secret_freep) Secret *s = secret_new_random(64);
        static const uint8_t zero[32];
        uint8_t head[32];

        (void) state;
        memcpy(head, secret_bytes(s), 32);
        assert_int_equal(secret_shrink(s, 65), -EINVAL);
        assert_int_equal(secret_size(s), 64);
        assert_int_equal(secret_shrink(s, 32), 0);
        assert_int_equal(secret_size(s), 32);
        assert_memory_equal(secret_bytes(s), head, 32);
        assert_memory_equal(secret_bytes(s) + 32, zero, 32);
        assert_int_equal(secret_shrink(s, 33), -EINVAL);
}

static void freeing_nothing_is_fine(void **state) {
        (void) state;
        assert_null(secret_free(NULL));
}

/* The VmFlags of the mapping that holds this address, as the kernel tells them. */
static void vm_flags_of(const void *address, char *ret, size_t size) {
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/smaps", "re");
        char line[512];
        bool inside = false;

        assert_non_null(f);
        *ret = '\0';
        while (fgets(line, sizeof(line), f)) {
                uintptr_t start, end;

                if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
                        inside = start <= (uintptr_t) address && (uintptr_t) address < end;
                else if (inside && strncmp(line, "VmFlags:", 8) == 0)
                        (void) snprintf(ret, size, "%s", line);
        }
}

static void pages_are_locked_and_left_out_of_core_dumps(void **state) {
        _cleanup_(secret_freep) Secret *s = secret_new(32);
        unsigned failures = secret_lock_failures();
        char flags[512];

        (void) state;
        vm_flags_of(secret_bytes(s), flags, sizeof(flags));
        assert_non_null(strstr(flags, " dd")); /* S26: not dumped */
        assert_non_null(strstr(flags, " wf")); /* wiped on fork */
        if (failures == 0 && mlock_is_real)
                assert_non_null(strstr(flags, " lo")); /* S10: not swapped */
}

/* Runs fn in a child; what waitpid says. */
static int in_child(void (*fn)(Secret *), Secret *s) {
        pid_t pid = fork();
        int status = 0;

        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(STDERR_FILENO); /* a sanitizer would tell its story about the wanted crash */
                (void) signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with the next test */
                fn(s);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

static void exit_with_first_byte(Secret *s) {
        _exit(secret_bytes(s)[0]);
}

static void a_forked_child_reads_zeros(void **state) {
        _cleanup_(secret_freep) Secret *s = secret_new(32);
        int status;

        (void) state;
        secret_bytes_mut(s)[0] = 77;
        status = in_child(exit_with_first_byte, s);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(secret_bytes(s)[0], 77);
}

static void write_past_the_end(Secret *s) {
        *(volatile uint8_t *) (secret_bytes_mut(s) + secret_size(s)) = 1;
}

static void write_before_the_pages(Secret *s) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

        *(volatile uint8_t *) (((uintptr_t) secret_bytes_mut(s) & ~(page - 1)) - 1) = 1;
}

static void running_off_either_end_meets_a_guard_page(void **state) {
        _cleanup_(secret_freep) Secret *s = secret_new(32);
        int status;

        (void) state;
        status = in_child(write_past_the_end, s);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        status = in_child(write_before_the_pages, s);
        assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void lock_nothing(Secret *s) {
        const struct rlimit none = { 0, 0 };
        unsigned expected = secret_lock_failures() + (mlock_is_real ? 1 : 0);
        Secret *unlocked;

        (void) s;
        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
                _exit(2);
        unlocked = secret_new(32);
        _exit(unlocked && secret_lock_failures() == expected && !secret_free(unlocked) ? 42 : 3);
}

static void a_failing_lock_is_counted_and_not_fatal(void **state) {
        int status;

        (void) state;
        status = in_child(lock_nothing, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
}

static int told;

static void count_told(void) {
        told++;
}

/* However late the first Secret is that cannot be locked. */
static void tell_once(Secret *s) {
        const struct rlimit none = { 0, 0 };

        (void) s;
        if (!mlock_is_real)
                _exit(42);
        secret_on_unlocked(count_told);
        if (secret_free(secret_new(32)) || told != 0 || secret_lock_failures() != 0)
                _exit(4);
        if (setrlimit(RLIMIT_MEMLOCK, &none) < 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
                _exit(2);
        if (secret_free(secret_new(32)) || told != 1 || secret_free(secret_new(32)) || told != 1)
                _exit(3);
        _exit(42);
}

static void a_failing_lock_is_told_once(void **state) {
        int status;

        (void) state;
        if (secret_lock_failures() > 0)
                skip(); /* this machine locks nothing: it was told before */
        status = in_child(tell_once, NULL);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_new_secret_is_zero_and_as_large_as_asked),
                cmocka_unit_test(the_size_is_capped),
                cmocka_unit_test(random_secrets_differ),
                cmocka_unit_test(taking_bytes_wipes_the_source),
                cmocka_unit_test(taking_too_many_bytes_wipes_them_all_the_same),
                cmocka_unit_test(a_copy_is_equal_and_independent),
                cmocka_unit_test(shrinking_wipes_the_rest_and_never_grows),
                cmocka_unit_test(freeing_nothing_is_fine),
                cmocka_unit_test(pages_are_locked_and_left_out_of_core_dumps),
                cmocka_unit_test(a_forked_child_reads_zeros),
                cmocka_unit_test(running_off_either_end_meets_a_guard_page),
                cmocka_unit_test(a_failing_lock_is_counted_and_not_fatal),
                cmocka_unit_test(a_failing_lock_is_told_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
