/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the state directory: what is damaged reads as absent, a bitmap of another installation as empty. */
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
#include <reseal/base/file.h>
#include <reseal/install/install.h>

typedef struct Directory {
        char path[64];
        int fd;
        InstallRecord record;
} Directory;

static int setup(void **state) {
        Directory *d = calloc(1, sizeof(*d));

        (void) strcpy(d->path, "/tmp/reseal-record.XXXXXX");
        assert_non_null(mkdtemp(d->path));
        d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        d->record = (InstallRecord){ .step = 4,
                                     .target = "B",
                                     .floor_max = 3,
                                     .release = 7,
                                     .epoch = 2,
                                     .version = "1.7",
                                     .bundle_id = { 1, 2 },
                                     .nonce = { 9 },
                                     .n_images = 2 };
        d->record.images[0] = (InstallImage){ "rootfs", "rootfs.b", 1u << 30, 64, true };
        d->record.images[1] = (InstallImage){ "kernel", "kernel.b", 1u << 20, 1, false };
        *state = d;
        return 0;
}

static int teardown(void **state) {
        Directory *d = *state;
        char command[100];

        (void) close(d->fd);
        (void) snprintf(command, sizeof(command), "rm -r %s", d->path);
        assert_int_equal(system(command), 0);
        free(d);
        return 0;
}

static void a_record_comes_back_as_it_was(void **state) {
        Directory *d = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord got = { 0 };

        assert_int_equal(install_record_load(d->fd, &got, &err), 0);
        assert_int_equal(install_record_save(d->fd, &d->record, &err), 0);
        assert_int_equal(install_record_load(d->fd, &got, &err), 1);
        assert_memory_equal(&got, &d->record, sizeof(got));
        assert_int_equal(install_record_remove(d->fd, &err), 0);
        assert_int_equal(install_record_load(d->fd, &got, &err), 0);
        assert_int_equal(install_record_remove(d->fd, &err), 0);
}

static void a_record_with_any_byte_changed_or_cut_reads_as_absent(void **state) {
        Directory *d = *state;
        _cleanup_(freep) uint8_t *data = NULL;
        RsError err = RS_ERROR_INIT;
        InstallRecord got;
        size_t size;

        assert_int_equal(install_record_save(d->fd, &d->record, &err), 0);
        assert_int_equal(file_read(d->fd, INSTALL_FILE_RECORD, 65536, &data, &size, &err), 1);
        for (size_t i = 0; i < size; i += 7) {
                data[i] ^= 0x10;
                assert_int_equal(file_replace(d->fd, INSTALL_FILE_RECORD, SPAN(data, size), 0600, &err), 0);
                assert_int_equal(install_record_load(d->fd, &got, &err), 0);
                data[i] ^= 0x10;
        }
        for (size_t n = 0; n < size; n += 11) {
                assert_int_equal(file_replace(d->fd, INSTALL_FILE_RECORD, SPAN(data, n), 0600, &err), 0);
                assert_int_equal(install_record_load(d->fd, &got, &err), 0);
        }
}

static void put_in_the_way(int dir_fd, const char *name, int kind) {
        (void) unlinkat(dir_fd, name, 0);
        (void) unlinkat(dir_fd, name, AT_REMOVEDIR);
        if (kind == 0)
                assert_int_equal(symlinkat("/dev/null", dir_fd, name), 0);
        else if (kind == 1)
                assert_int_equal(mkdirat(dir_fd, name, 0700), 0);
        else {
                _cleanup_(closep) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                assert_int_equal(ftruncate(fd, (off_t) 1 << 30), 0);
        }
}

static void what_is_no_file_or_too_large_reads_as_absent(void **state) {
        Directory *d = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord record;
        InstallReport report;
        InstallSlot slot;
        int fd = -EBADF;

        for (int kind = 0; kind < 3; kind++) {
                put_in_the_way(d->fd, INSTALL_FILE_RECORD, kind);
                put_in_the_way(d->fd, INSTALL_FILE_BITMAP, kind);
                put_in_the_way(d->fd, "slot-B.info", kind);
                put_in_the_way(d->fd, "slot-B.report", kind);
                assert_int_equal(install_record_load(d->fd, &record, &err), 0);
                assert_int_equal(install_bitmap_open(d->fd, &d->record, &fd, &err), 0);
                assert_int_equal(install_slot_load(d->fd, "B", &slot, &err), 0);
                assert_int_equal(install_report_load(d->fd, "B", d->record.bundle_id, &report, &err), 0);
        }
}

static void a_record_of_a_step_that_does_not_exist_reads_as_absent(void **state) {
        Directory *d = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord got;

        d->record.step = INSTALL_W12_CLOSE;
        assert_int_equal(install_record_save(d->fd, &d->record, &err), 0);
        assert_int_equal(install_record_load(d->fd, &got, &err), 1);
        d->record.step = _INSTALL_STEP_MAX;
        assert_int_equal(install_record_save(d->fd, &d->record, &err), 0);
        assert_int_equal(install_record_load(d->fd, &got, &err), 0);
}

static void windows_are_set_one_by_one(void **state) {
        Directory *d = *state;
        uint8_t bits[INSTALL_WINDOWS_MAX / 8];
        RsError err = RS_ERROR_INIT;
        int fd = -EBADF;

        assert_int_equal(install_bitmap_open(d->fd, &d->record, &fd, &err), 0);
        assert_int_equal(install_bitmap_create(d->fd, &d->record, &err), 0);
        assert_int_equal(install_bitmap_open(d->fd, &d->record, &fd, &err), 1);
        assert_int_equal(install_bitmap_read(fd, &d->record, 0, bits, &err), 0);
        for (size_t i = 0; i < sizeof(bits); i++)
                assert_int_equal(bits[i], 0);
        assert_int_equal(install_bitmap_set(fd, &d->record, 0, 0, &err), 0);
        assert_int_equal(install_bitmap_set(fd, &d->record, 0, 63, &err), 0);
        assert_int_equal(install_bitmap_read(fd, &d->record, 0, bits, &err), 0);
        assert_int_equal(bits[0], 1);
        assert_int_equal(bits[7], 0x80);
        assert_int_equal(install_bitmap_read(fd, &d->record, 1, bits, &err), 0);
        assert_int_equal(bits[0], 0);
        assert_int_equal(install_bitmap_set(fd, &d->record, 1, 0, &err), 0);
        assert_int_equal(install_bitmap_read(fd, &d->record, 1, bits, &err), 0);
        assert_int_equal(bits[0], 1);
        closep(&fd);
}

static void a_bitmap_of_another_installation_is_not_believed(void **state) {
        Directory *d = *state;
        RsError err = RS_ERROR_INIT;
        InstallRecord other = d->record;
        int fd = -EBADF;

        assert_int_equal(install_bitmap_create(d->fd, &d->record, &err), 0);
        other.nonce[15] ^= 1;
        assert_int_equal(install_bitmap_open(d->fd, &other, &fd, &err), 0);
        other = d->record;
        other.images[1].n_windows++;
        assert_int_equal(install_bitmap_open(d->fd, &other, &fd, &err), 0);
}

static void a_finished_slot_is_remembered_by_its_boot_name(void **state) {
        const InstallSlot slot = { .boot_name = "B", .release = 7, .epoch = 2, .floor_max = 3, .version = "1.7",
                                   .bundle_id = { 5 } };
        Directory *d = *state;
        RsError err = RS_ERROR_INIT;
        InstallSlot got;
        int fd;

        assert_int_equal(install_slot_load(d->fd, "B", &got, &err), 0);
        assert_int_equal(install_slot_save(d->fd, &slot, &err), 0);
        assert_int_equal(install_slot_load(d->fd, "B", &got, &err), 1);
        assert_string_equal(got.boot_name, slot.boot_name);
        assert_string_equal(got.version, slot.version);
        assert_memory_equal(got.bundle_id, slot.bundle_id, sizeof(slot.bundle_id));
        assert_true(got.release == 7 && got.epoch == 2 && got.floor_max == 3);
        assert_int_equal(install_slot_load(d->fd, "A", &got, &err), 0);
        /* a copy under another name says nothing about that slot */
        fd = linkat(d->fd, "slot-B.info", d->fd, "slot-A.info", 0);
        assert_int_equal(fd, 0);
        assert_int_equal(install_slot_load(d->fd, "A", &got, &err), 0);
        assert_int_equal(install_slot_remove(d->fd, "B", &err), 0);
        assert_int_equal(install_slot_load(d->fd, "B", &got, &err), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_record_comes_back_as_it_was, setup, teardown),
                cmocka_unit_test_setup_teardown(a_record_with_any_byte_changed_or_cut_reads_as_absent, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_record_of_a_step_that_does_not_exist_reads_as_absent, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(what_is_no_file_or_too_large_reads_as_absent, setup, teardown),
                cmocka_unit_test_setup_teardown(windows_are_set_one_by_one, setup, teardown),
                cmocka_unit_test_setup_teardown(a_bitmap_of_another_installation_is_not_believed, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(a_finished_slot_is_remembered_by_its_boot_name, setup,
                                                teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
