/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration reader refuses what it does not understand, with file and line. */
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
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>

typedef struct Seen {
        unsigned n;
        char last[400];
} Seen;

/* Knows [a] x and [a] y and any key of [any]; the key "bad" has a value that is never right. */
static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        Seen *seen = userdata;

        if (strcmp(key, "bad") == 0)
                return rs_fail(err, CONFIG, "never right");
        if (strcmp(key, "silent") == 0)
                return -EINVAL;
        if (strcmp(section, "any") != 0 &&
            (strcmp(section, "a") != 0 || (strcmp(key, "x") != 0 && strcmp(key, "y") != 0)))
                return 0;
        seen->n++;
        (void) snprintf(seen->last, sizeof(seen->last), "%s.%s=%s", section, key, value);
        return 1;
}

static int parse(const char *text, Seen *seen, RsError *err) {
        *seen = (Seen){ 0 };
        *err = RS_ERROR_INIT;
        return config_parse("file", text, strlen(text), on_key, seen, err);
}

static void known_keys_reach_the_handler(void **state) {
        RsError err;
        Seen seen;

        (void) state;
        assert_int_equal(parse("# comment\n; comment\n\n[a]\nx = 1\ny= two words ; tail\n", &seen, &err), 0);
        assert_int_equal(seen.n, 2);
        assert_string_equal(seen.last, "a.y=two words");
        assert_int_equal(parse("[a]\r\nx=https://h/p?q=1\r\n", &seen, &err), 0);
        assert_string_equal(seen.last, "a.x=https://h/p?q=1");
        assert_int_equal(parse("[a]\nx=last line has no end", &seen, &err), 0);
        assert_string_equal(seen.last, "a.x=last line has no end");
        assert_int_equal(parse("", &seen, &err), 0);
        assert_int_equal(seen.n, 0);
}

static void check_refused(const char *text, const char *expected) {
        RsError err;
        Seen seen;

        assert_int_equal(parse(text, &seen, &err), -EINVAL);
        assert_int_equal(err.reason, RS_REASON_CONFIG);
        assert_string_equal(err.text, expected);
}

static void what_is_not_understood_is_refused_with_its_line(void **state) {
        (void) state;
        check_refused("[a]\nx=1\nz=1\n", "file:3: [a] z is not known");
        check_refused("[b]\nx=1\n", "file:2: [b] x is not known");
        check_refused("x=1\n", "file:1: [] x is not known");
        check_refused("[a]\nx=1\n\n[a]\nx=1\n", "file:5: [a] x stands here twice");
        check_refused("[a]\n#\nnonsense\nx=1\n", "file:3: neither [section] nor key = value");
        check_refused("[a\nx=1\n", "file:1: neither [section] nor key = value");
        check_refused("[a]\n=1\n", "file:2: a value without a key");
        check_refused("[a]\nx=1\n  y=2\n", "file:3: the line starts with a blank");
        check_refused("[a]\nbad=1\n", "file:2: [a] bad: never right");
        check_refused("[a]\nsilent=1\n", "file:2: [a] silent was refused");
}

static void the_first_of_two_mistakes_is_told(void **state) {
        (void) state;
        check_refused("[a]\nnonsense\nz=1\n", "file:2: neither [section] nor key = value");
        check_refused("[a]\nz=1\nnonsense\n", "file:2: [a] z is not known");
}

static void bytes_that_do_not_belong_are_refused(void **state) {
        static const char nul[] = "[a]\nx=1\0y\n";
        RsError err = RS_ERROR_INIT;
        Seen seen = { 0 };

        (void) state;
        check_refused("[a]\nx=1\033[2J\n", "file:2: control byte");
        check_refused("[a]\nx=1\x7f\n", "file:2: control byte");
        check_refused("[a]\nx=1\r2\n", "file:2: control byte");
        check_refused("\xef\xbb\xbf[a]\nx=1\n", "file:1: byte order mark");
        assert_int_equal(config_parse("file", nul, sizeof(nul) - 1, on_key, &seen, &err), -EINVAL);
        assert_string_equal(err.text, "file:2: NUL byte");
}

static void a_line_that_would_be_cut_is_refused(void **state) {
        char text[512];
        size_t longest = 0;
        RsError err;
        Seen seen;

        (void) state;
        for (size_t n = 1; n < 400; n++) {
                (void) snprintf(text, sizeof(text), "[a]\nx=%0*d\n", (int) n, 1);
                if (parse(text, &seen, &err) == 0) {
                        assert_int_equal(strlen(seen.last), strlen("a.x=") + n); /* nothing was cut off */
                        longest = n;
                        continue;
                }
                assert_string_equal(err.text, "file:2: line too long");
        }
        assert_true(longest >= 190);
        assert_true(longest < 399);
}

static void a_section_name_that_would_be_cut_is_refused(void **state) {
        RsError err;
        Seen seen;
        char text[128];

        (void) state;
        (void) snprintf(text, sizeof(text), "[%050d]\n", 1);
        check_refused(text, "file:1: section name too long");
        (void) snprintf(text, sizeof(text), "[%049d]\n", 1);
        assert_int_equal(parse(text, &seen, &err), 0);
}

static void a_file_with_too_many_keys_is_refused(void **state) {
        _cleanup_(freep) char *text = malloc(CONFIG_FILE_MAX);
        size_t used = 0;
        RsError err;
        Seen seen;

        (void) state;
        assert_non_null(text);
        used += (size_t) sprintf(text, "[any]\n");
        for (unsigned i = 0; i < 512; i++)
                used += (size_t) sprintf(text + used, "k%u=1\n", i);
        assert_int_equal(parse(text, &seen, &err), 0);
        assert_int_equal(seen.n, 512);
        (void) sprintf(text + used, "one-more=1\n");
        check_refused(text, "file:514: more than 512 keys");
}

static void a_text_above_the_cap_is_refused(void **state) {
        _cleanup_(freep) char *text = malloc(CONFIG_FILE_MAX + 1);
        RsError err = RS_ERROR_INIT;
        Seen seen = { 0 };

        (void) state;
        assert_non_null(text);
        memset(text, '\n', CONFIG_FILE_MAX + 1);
        assert_int_equal(config_parse("file", text, CONFIG_FILE_MAX, on_key, &seen, &err), 0);
        assert_int_equal(config_parse("file", text, CONFIG_FILE_MAX + 1, on_key, &seen, &err), -EINVAL);
}

static void an_earlier_failure_stays(void **state) {
        RsError err = RS_ERROR_INIT;
        Seen seen = { 0 };

        (void) state;
        (void) rs_fail(&err, BUSY, "before");
        assert_int_equal(config_parse("file", "z=1\n", 4, on_key, &seen, &err), -EBUSY);
        assert_string_equal(err.text, "before");
}

static void only_files_that_nobody_else_can_write_are_read(void **state) {
        char path[] = "/tmp/reseal-test-config-XXXXXX";
        _cleanup_(closep) int fd = mkstemp(path);
        static const mode_t bad[] = { 0620, 0602, 0666 };
        RsError err = RS_ERROR_INIT;
        Seen seen = { 0 };
        int r;

        (void) state;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "[a]\nx=1\n", 8), 8);
        assert_int_equal(fchmod(fd, 0644), 0);
        assert_int_equal(config_read(path, on_key, &seen, &err), 0);
        assert_int_equal(seen.n, 1);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                err = RS_ERROR_INIT;
                assert_int_equal(fchmod(fd, bad[i]), 0);
                assert_int_equal(config_read(path, on_key, &seen, &err), -EINVAL);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
        }
        if (geteuid() == 0) {
                err = RS_ERROR_INIT;
                assert_int_equal(fchmod(fd, 0644), 0);
                assert_int_equal(fchown(fd, 65534, 65534), 0);
                assert_int_equal(config_read(path, on_key, &seen, &err), -EINVAL);
        }
        (void) unlink(path);
        err = RS_ERROR_INIT;
        r = config_read(path, on_key, &seen, &err);
        assert_int_equal(r, -EINVAL);
        assert_non_null(strstr(err.text, path));
        err = RS_ERROR_INIT;
        assert_int_equal(config_read("/dev/null", on_key, &seen, &err), -EINVAL);
}

static void words_for_yes_and_no(void **state) {
        static const char *const bad[] = { "", "1", "0", "Yes", "on", "yes " };
        RsError err = RS_ERROR_INIT;
        bool v = false;

        (void) state;
        assert_int_equal(config_bool("yes", &v, &err), 0);
        assert_true(v);
        assert_int_equal(config_bool("no", &v, &err), 0);
        assert_false(v);
        assert_int_equal(config_bool("true", &v, &err), 0);
        assert_true(v);
        assert_int_equal(config_bool("false", &v, &err), 0);
        assert_false(v);
        v = true;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                err = RS_ERROR_INIT;
                assert_int_equal(config_bool(bad[i], &v, &err), -EINVAL);
        }
        assert_true(v);
}

static void numbers_keep_to_their_range(void **state) {
        uint64_t v = 77;

        (void) state;
        for (unsigned i = 0; i < 8; i++) {
                RsError err = RS_ERROR_INIT;

                switch (i) {
                case 0:
                        assert_int_equal(config_u64("1", 1, 9, &v, &err), 0);
                        assert_true(v == 1);
                        break;
                case 1:
                        assert_int_equal(config_u64("9", 1, 9, &v, &err), 0);
                        assert_true(v == 9);
                        break;
                case 2:
                        assert_int_equal(config_u64("0", 1, 9, &v, &err), -EINVAL);
                        break;
                case 3:
                        assert_int_equal(config_u64("10", 1, 9, &v, &err), -EINVAL);
                        break;
                case 4:
                        assert_int_equal(config_u64("nine", 1, 9, &v, &err), -EINVAL);
                        break;
                case 5:
                        assert_int_equal(config_size("64K", 65536, 65536, &v, &err), 0);
                        assert_true(v == 65536);
                        break;
                case 6:
                        assert_int_equal(config_size("65K", 65536, 65536, &v, &err), -EINVAL);
                        break;
                default:
                        assert_int_equal(config_size("64KiB", 0, UINT64_MAX, &v, &err), -EINVAL);
                        break;
                }
        }
        assert_true(v == 65536);
}

static void times_have_units(void **state) {
        static const struct {
                const char *value;
                uint64_t sec;
        } good[] = { { "0", 0 }, { "90", 90 }, { "90s", 90 }, { "5min", 300 }, { "2h", 7200 }, { "1d", 86400 } };
        static const char *const bad[] = { "", "s", "-1", "1m", "1 s", "86401", "2d", "99999999999999999999999999",
                                           "18446744073709551615d", "05", "1.5" };
        uint64_t v;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                RsError err = RS_ERROR_INIT;

                assert_int_equal(config_seconds(good[i].value, 86400, &v, &err), 0);
                assert_true(v == good[i].sec * 1000000);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                RsError err = RS_ERROR_INIT;

                v = 77;
                assert_int_equal(config_seconds(bad[i], 86400, &v, &err), -EINVAL);
                assert_true(v == 77);
        }
}

static void strings_replace_and_paths_are_absolute(void **state) {
        static const char *const bad[] = { "", "relative", "./x", "/a/../b", "/..", "/a/.." };
        _cleanup_(freep) char *v = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(config_string("one", &v, &err), 0);
        assert_int_equal(config_string("two", &v, &err), 0);
        assert_string_equal(v, "two");
        assert_int_equal(config_path("/etc/..reseal/a..", &v, &err), 0);
        assert_string_equal(v, "/etc/..reseal/a..");
        assert_int_equal(config_string("", &v, &err), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                err = RS_ERROR_INIT;
                assert_int_equal(config_path(bad[i], &v, &err), -EINVAL);
        }
        assert_string_equal(v, "/etc/..reseal/a..");
}

/* -- a table of keys, and notes ------------------------------------------------------------------------------- */

static const ConfigKey table[] = {
        { "a", "x", "1" }, { "a", "y", NULL }, { "any", "z", "here" }, { "any *", "w", NULL }, { "a", "nobody", NULL },
};

static char noted_path[] = "/tmp/reseal-noted.XXXXXX";

/* "any NAME" is taken, too; [a] nobody is in the table only. */
static int on_noted(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        return on_key(userdata, strncmp(section, "any ", 4) == 0 ? "any" : section, key, value, err);
}

static int read_noted(const char *text, const ConfigKey *keys, size_t n, Seen *seen, ConfigNotes *ret, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;

        *seen = (Seen){ 0 };
        *err = RS_ERROR_INIT;
        fd = open(noted_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return config_read_noted(noted_path, keys, n, on_noted, seen, ret, err);
}

static void expect_note(const ConfigNotes *notes, const char *section, const char *key, const char *value, unsigned line) {
        const ConfigNote *note = config_notes_find(notes, section, key);

        assert_non_null(note);
        assert_string_equal(note->value, value);
        assert_int_equal(note->line, line);
}

static void each_value_is_noted_with_its_line_or_none(void **state) {
        _cleanup_(config_notes_done) ConfigNotes notes = { 0 };
        RsError err;
        Seen seen;

        (void) state;
        assert_int_equal(read_noted("# a comment\n[any]\n\n[a]\ny = two words\n[any q]\nw=3\n", table, ELEMENTSOF(table),
                                    &seen, &notes, &err), 0);
        assert_string_equal(notes.file, noted_path);
        assert_int_equal(notes.n, 5);
        expect_note(&notes, "a", "x", "1", 0);
        expect_note(&notes, "a", "y", "two words", 5);
        expect_note(&notes, "any", "z", "here", 0);
        expect_note(&notes, "any q", "w", "3", 7);
        expect_note(&notes, "a", "nobody", "", 0);
        assert_null(config_notes_find(&notes, "any *", "w"));
        assert_int_equal(seen.n, 4); /* two defaults, two lines */
        assert_string_equal(seen.last, "any.w=3");
}

static void the_file_overrides_a_default(void **state) {
        _cleanup_(config_notes_done) ConfigNotes notes = { 0 };
        RsError err;
        Seen seen;

        (void) state;
        assert_int_equal(read_noted("[a]\nx=9\n", table, ELEMENTSOF(table), &seen, &notes, &err), 0);
        expect_note(&notes, "a", "x", "9", 2);
        assert_string_equal(seen.last, "a.x=9"); /* what was told last is what holds */
        assert_int_equal(config_notes_set(&notes, "a", "x", "10", 0), 0);
        expect_note(&notes, "a", "x", "10", 0);
        assert_int_equal(notes.n, 4); /* [any *] has no section in this file */
}

static void what_the_table_does_not_list_is_refused(void **state) {
        static const char *const unknown[] = { "[any]\nq=1\n", "[b]\nx=1\n", "[any]\nw=1\n", "[anything]\nw=1\n" };
        static const ConfigKey untaken[] = { { "b", "x", "1" } };
        ConfigNotes notes = { 0 };
        RsError err;
        Seen seen;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
                assert_true(read_noted(unknown[i], table, ELEMENTSOF(table), &seen, &notes, &err) < 0);
                assert_int_equal(err.reason, RS_REASON_CONFIG);
                assert_non_null(strstr(err.text, ":2: "));
                assert_non_null(strstr(err.text, "not known"));
        }
        /* A row that the handler does not take is our own mistake, whether it is met as a default or as a line. */
        assert_true(read_noted("", untaken, 1, &seen, &notes, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        assert_true(read_noted("[a]\nnobody=1\n", table, ELEMENTSOF(table), &seen, &notes, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_INTERNAL);
        assert_null(notes.list);
}

static int noted_setup(void **state) {
        int fd = mkstemp(noted_path);

        (void) state;
        return fd < 0 ? -1 : close(fd);
}

static int noted_teardown(void **state) {
        (void) state;
        return unlink(noted_path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(known_keys_reach_the_handler),
                cmocka_unit_test(what_is_not_understood_is_refused_with_its_line),
                cmocka_unit_test(the_first_of_two_mistakes_is_told),
                cmocka_unit_test(bytes_that_do_not_belong_are_refused),
                cmocka_unit_test(a_line_that_would_be_cut_is_refused),
                cmocka_unit_test(a_section_name_that_would_be_cut_is_refused),
                cmocka_unit_test(a_file_with_too_many_keys_is_refused),
                cmocka_unit_test(a_text_above_the_cap_is_refused),
                cmocka_unit_test(an_earlier_failure_stays),
                cmocka_unit_test(only_files_that_nobody_else_can_write_are_read),
                cmocka_unit_test(words_for_yes_and_no),
                cmocka_unit_test(numbers_keep_to_their_range),
                cmocka_unit_test(times_have_units),
                cmocka_unit_test(strings_replace_and_paths_are_absolute),
                cmocka_unit_test(each_value_is_noted_with_its_line_or_none),
                cmocka_unit_test(the_file_overrides_a_default),
                cmocka_unit_test(what_the_table_does_not_list_is_refused),
        };
        return cmocka_run_group_tests(tests, noted_setup, noted_teardown);
}
