/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's environment block: read as GRUB reads it, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/grub-env.h>

#define SIGNATURE "# GRUB Environment Block\n"

static void block_of(const char *text, uint8_t ret[GRUB_ENV_SIZE]) {
        memset(ret, '#', GRUB_ENV_SIZE);
        memcpy(ret, text, strlen(text));
}

static void variables_and_escapes_survive(void **state) {
        uint8_t block[GRUB_ENV_SIZE], again[GRUB_ENV_SIZE];
        RsError err = RS_ERROR_INIT;
        GrubEnv e;

        (void) state;
        block_of(SIGNATURE "ORDER=A B\nempty=\nodd=a\\\\b\\\nc=d\n", block);
        assert_int_equal(grub_env_parse(SPAN_ARRAY(block), &e, &err), 0);
        assert_int_equal(e.n_vars, 3);
        assert_string_equal(grub_env_get(&e, "ORDER"), "A B");
        assert_string_equal(grub_env_get(&e, "empty"), "");
        assert_string_equal(grub_env_get(&e, "odd"), "a\\b\nc=d");
        assert_null(grub_env_get(&e, "none"));
        assert_int_equal(grub_env_encode(&e, again, &err), 0);
        assert_memory_equal(block, again, GRUB_ENV_SIZE);
}

static void comments_are_passed_over(void **state) {
        uint8_t block[GRUB_ENV_SIZE];
        RsError err = RS_ERROR_INIT;
        GrubEnv e;

        (void) state;
        block_of(SIGNATURE "# WARNING: Do not edit\na=1\n", block);
        assert_int_equal(grub_env_parse(SPAN_ARRAY(block), &e, &err), 0);
        assert_int_equal(e.n_vars, 1);
}

static void what_grub_would_guess_at_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "# GRUB Environment block\na=1\n",
                SIGNATURE "a=1\na=2\n",           /* GRUB: the last one wins */
                SIGNATURE "a\nb=1\n",             /* GRUB: a variable named "a\nb" */
                SIGNATURE "=1\n",
                SIGNATURE "a b=1\n",
                SIGNATURE "a=1",                  /* runs into the padding, no end */
                SIGNATURE "a=1\n###x###",         /* padding with something in it */
                SIGNATURE "# comment \\\na=1\n",  /* GRUB reads the escaped line end as part of the comment */
        };
        uint8_t block[GRUB_ENV_SIZE];
        GrubEnv e;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                RsError err = RS_ERROR_INIT;

                block_of(bad[i], block);
                e.n_vars = 77;
                assert_true(grub_env_parse(SPAN_ARRAY(block), &e, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_BOOT_STATE);
                assert_int_equal(e.n_vars, 77);
        }
}

static void only_blocks_of_1024_bytes_without_zeros_are_read(void **state) {
        uint8_t block[GRUB_ENV_SIZE + 1];
        RsError err = RS_ERROR_INIT;
        GrubEnv e;

        (void) state;
        block_of(SIGNATURE "a=1\n", block);
        block[GRUB_ENV_SIZE] = '#';
        assert_true(grub_env_parse(SPAN(block, GRUB_ENV_SIZE + 1), &e, &err) < 0);
        err = RS_ERROR_INIT;
        assert_true(grub_env_parse(SPAN(block, GRUB_ENV_SIZE - 1), &e, &err) < 0);
        err = RS_ERROR_INIT;
        block[900] = 0;
        assert_true(grub_env_parse(SPAN(block, GRUB_ENV_SIZE), &e, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_BOOT_STATE);
}

static void a_full_block_fits_and_one_byte_more_does_not(void **state) {
        char value[GRUB_ENV_SIZE] = "";
        uint8_t block[GRUB_ENV_SIZE];
        RsError err = RS_ERROR_INIT;
        GrubEnv e = GRUB_ENV_INIT;

        (void) state;
        memset(value, 'x', GRUB_ENV_SIZE - strlen(SIGNATURE) - strlen("a=\n"));
        assert_int_equal(grub_env_add(&e, "a", value, &err), 0);
        assert_int_equal(grub_env_encode(&e, block, &err), 0);
        assert_int_equal(block[GRUB_ENV_SIZE - 1], '\n');
        e = GRUB_ENV_INIT;
        value[strlen(value)] = 'x';
        assert_int_equal(grub_env_add(&e, "a", value, &err), 0);
        assert_true(grub_env_encode(&e, block, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_BOOT_STATE);
}

static void variables_are_counted(void **state) {
        char name[16], value[GRUB_ENV_TEXT_MAX];
        RsError err = RS_ERROR_INIT;
        GrubEnv e = GRUB_ENV_INIT;

        (void) state;
        for (uint32_t i = 0; i < GRUB_ENV_VARS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "v%u", i);
                assert_int_equal(grub_env_add(&e, name, "", &err), 0);
        }
        assert_true(grub_env_add(&e, "more", "", &err) < 0);
        e = GRUB_ENV_INIT;
        err = RS_ERROR_INIT;
        memset(value, '\\', sizeof(value));
        value[GRUB_ENV_TEXT_MAX - 3] = '\0';
        assert_int_equal(grub_env_add(&e, "a", value, &err), 0);
        {
                uint8_t block[GRUB_ENV_SIZE];

                assert_true(grub_env_encode(&e, block, &err) < 0); /* each byte escaped: the widest case */
        }
        err = RS_ERROR_INIT;
        assert_true(grub_env_add(&e, "b", "", &err) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(variables_and_escapes_survive),
                cmocka_unit_test(comments_are_passed_over),
                cmocka_unit_test(what_grub_would_guess_at_is_refused),
                cmocka_unit_test(only_blocks_of_1024_bytes_without_zeros_are_read),
                cmocka_unit_test(a_full_block_fits_and_one_byte_more_does_not),
                cmocka_unit_test(variables_are_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
