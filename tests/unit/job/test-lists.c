/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reseald's own copies of the source's revocation lists: they outlive a restart, never go back, and revoke (S71, T45). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/job/lists.h>

#include "pki-fixture.h"

static TrustAnchors *source;
static char dir[] = "/tmp/reseal-lists-XXXXXX";
static int dir_fd = -EBADF;

/* The list of this issuer with this number, naming these certificates ("" for none). */
static Span make_list(const char *issuer, unsigned number, const char *certs, uint8_t **ret) {
        char command[512], name[64];
        RsError err = RS_ERROR_INIT;
        size_t size;

        (void) snprintf(command, sizeof(command), "'%s'/tests/fixtures/make-pki.sh crl %s %s %u %s", getenv("SOURCE_ROOT"), pki_dir,
                        issuer, number, certs);
        assert_int_equal(system(command), 0);
        (void) snprintf(name, sizeof(name), "%s.crl", issuer);
        assert_int_equal(file_read(AT_FDCWD, pki_path(name), CRL_SIZE_MAX, ret, &size, &err), 1);
        return SPAN(*ret, size);
}

static SourceLists *open_lists(void) {
        RsError err = RS_ERROR_INIT;
        SourceLists *l = NULL;

        assert_int_equal(source_lists_open(dir_fd, source, &l, &err), 0);
        return l;
}

static void a_list_outlives_a_restart_and_never_goes_back(void **state) {
        _cleanup_(freep) uint8_t *first = NULL, *second = NULL;
        _cleanup_(source_lists_freep) SourceLists *l = open_lists();
        RsError err = RS_ERROR_INIT;
        Span one = make_list("source/root", 3, "source/ticket.pem", &first);
        Span two = make_list("source/root", 5, "source/ticket.pem", &second);
        CrlInfo info;

        (void) state;
        assert_int_equal(crl_set_count(source_lists_set(l)), 0);
        assert_int_equal(source_lists_add(l, two, &err), 0);
        assert_int_equal(source_lists_add(l, one, &err), 0); /* older: the one here stays */
        l = source_lists_free(l);
        l = open_lists();
        assert_int_equal(crl_set_count(source_lists_set(l)), 1);
        crl_set_info(source_lists_set(l), 0, &info);
        assert_true(info.number == 5 && info.n_revoked == 1);
}

static void a_list_of_another_domain_is_not_kept(void **state) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        _cleanup_(source_lists_freep) SourceLists *l = open_lists();
        uint32_t n = crl_set_count(source_lists_set(l));
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(source_lists_add(l, make_list("firmware/root", 9, "", &bytes), &err), 0);
        assert_int_equal(crl_set_count(source_lists_set(l)), n);
}

static void a_directory_that_was_put_back_shows_by_the_writers_number(void **state) {
        _cleanup_(source_lists_freep) SourceLists *l = open_lists();
        RsError err = RS_ERROR_INIT;
        WriterTrust trust = { .n_crls = 1 };
        CrlInfo info;

        (void) state;
        crl_set_info(source_lists_set(l), 0, &info);
        memcpy(trust.crls[0].issuer_key, info.issuer_key, sizeof(info.issuer_key));
        trust.crls[0].number = info.number;
        assert_int_equal(source_lists_check(l, &trust, &err), 0);
        trust.crls[0].number++;
        assert_true(source_lists_check(l, &trust, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CRL_ROLLBACK);
}

/* A disk from before the first list has no copy at all; lists of other domains are the writer's alone. */
static void a_copy_that_is_gone_shows_as_well(void **state) {
        _cleanup_(source_lists_freep) SourceLists *l = open_lists(), *empty = NULL;
        WriterTrust trust = { .n_crls = 1 };
        RsError err = RS_ERROR_INIT;
        CrlInfo info;

        (void) state;
        crl_set_info(source_lists_set(l), 0, &info);
        assert_int_equal(unlinkat(dir_fd, "crls", 0), 0);
        empty = open_lists();
        trust.crls[0].number = 1;
        assert_int_equal(source_lists_check(empty, &trust, &err), 0);
        memcpy(trust.crls[0].issuer_key, info.issuer_key, sizeof(info.issuer_key));
        assert_true(source_lists_check(empty, &trust, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_CRL_ROLLBACK);
}

static void a_damaged_file_counts_as_empty(void **state) {
        static const uint8_t garbage[] = { 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3 };
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(file_replace(dir_fd, "crls", SPAN_ARRAY(garbage), 0600, &err), 0);
        _cleanup_(source_lists_freep) SourceLists *l = open_lists();
        assert_int_equal(crl_set_count(source_lists_set(l)), 0);
}

/* Whatever lies at the name: the service starts, and can say what is wrong. */
static void what_cannot_be_read_counts_as_empty_and_is_told(void **state) {
        enum { LINK, DIRECTORY, FIFO, LARGE, GARBAGE, NOTHING, N_CASES };

        (void) state;
        for (int i = 0; i < N_CASES; i++) {
                (void) unlinkat(dir_fd, "crls", 0);
                if (i == LINK)
                        assert_int_equal(symlinkat("/dev/null", dir_fd, "crls"), 0);
                else if (i == DIRECTORY)
                        assert_int_equal(mkdirat(dir_fd, "crls", 0700), 0);
                else if (i == FIFO)
                        assert_int_equal(mkfifoat(dir_fd, "crls", 0600), 0);
                else if (i != NOTHING) {
                        _cleanup_(closep) int fd = openat(dir_fd, "crls", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                        assert_int_equal(ftruncate(fd, i == LARGE ? (off_t) 1 << 30 : 3), 0);
                }
                _cleanup_(source_lists_freep) SourceLists *l = open_lists();
                assert_int_equal(crl_set_count(source_lists_set(l)), 0);
                if (i == NOTHING)
                        assert_null(source_lists_unread(l));
                else {
                        assert_non_null(source_lists_unread(l));
                        assert_non_null(strstr(source_lists_unread(l)->text, "crls"));
                }
                if (i == DIRECTORY)
                        assert_int_equal(unlinkat(dir_fd, "crls", AT_REMOVEDIR), 0);
        }
}

static int setup(void **state) {
        RsError err = RS_ERROR_INIT;

        if (pki_setup(state) < 0 || !mkdtemp(dir))
                return -1;
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0 ? -1 : anchors_load(pki_path("source/root.pem"), &source, &err);
}

static int teardown(void **state) {
        source = anchors_free(source);
        (void) unlinkat(dir_fd, "crls", 0);
        closep(&dir_fd);
        (void) rmdir(dir);
        return pki_teardown(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_list_outlives_a_restart_and_never_goes_back),
                cmocka_unit_test(a_list_of_another_domain_is_not_kept),
                cmocka_unit_test(a_directory_that_was_put_back_shows_by_the_writers_number),
                cmocka_unit_test(a_copy_that_is_gone_shows_as_well),
                cmocka_unit_test(a_damaged_file_counts_as_empty),
                cmocka_unit_test(what_cannot_be_read_counts_as_empty_and_is_told),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
