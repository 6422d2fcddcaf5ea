/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tpm-cost - what trust costs: the gate's time by number of links, and the TPM commands and NV writes of an
 * installation of one release, at levels L1 and L2.
 *
 * The gate runs as the engine calls it, on a release whose signer stands 1, 16 and 1,000 links behind the recorded one.
 * The commands are counted where they leave the process (tests/tpm/faulttcti.c), against a software TPM: their
 * number is that of any TPM, their time is not.
 *
 *   FAULT_TCTI=.../faulttcti.so SOURCE_ROOT=... bench-tpm-cost      (`./tests/bench --trust` sets both)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/crypto/digest.h>
#include <reseal/trust/gate.h>

#include "chain.h"
#include "device.h"

#define ROOTFS ((uint64_t) 1 << 20)
#define LAST 1001u
#define RUNS 3u

/* CPU of this thread: what else runs on the machine does not count. */
static double now_msec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static void must(bool good, const RsError *err) {
        if (good)
                return;
        (void) fprintf(stderr, "tpm-cost: %s\n", err->text);
        exit(1);
}

static int any_size(const void *slot, const ManifestImage *image, size_t manifest_cms_size, RsError *err) {
        (void) slot;
        (void) image;
        (void) manifest_cms_size;
        (void) err;
        return 0;
}

static int by_value(const void *a, const void *b) {
        const double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

/* The record of a device that has accepted release `from`, asked for the last one with the links between. */
static void time_gate(const TestRelease *r, uint64_t from) {
        const ChainFixture *history = test_history();
        _cleanup_(encoder_done) Encoder links = ENCODER_INIT;
        const GateSlot slots[] = { { "rootfs", "" }, { "kernel", "" } };
        TpmRecord record = { 0 };
        GateInput input = { .manifest_cms = encoder_view(&r->cms),
                            .firmware_root = history->anchors,
                            .recovery = (const uint8_t(*)[32]) history->recovery_spki,
                            .n_recovery = 3,
                            .time = { .low = RS_BUILD_TIME, .high = UINT64_MAX },
                            .line = TEST_LINE,
                            .compatible = TEST_BOARD,
                            .slots = slots,
                            .n_slots = 2,
                            .check_size = any_size,
                            .require_encryption = true,
                            .record = &record };
        double took[RUNS];
        uint32_t n = 0;

        tpm_record_set_chain(&record, &chain_fixture_release(history, from)->record);
        chain_set(history, from + 1, LAST, &links);
        input.links = encoder_view(&links);
        for (unsigned i = 0; i < RUNS; i++) {
                RsError err = RS_ERROR_INIT;
                AcceptedRelease *a = NULL;

                took[i] = now_msec();
                must(accept_release(&input, &a, &err) == 0, &err);
                took[i] = now_msec() - took[i];
                (void) accepted_steps(a, &n);
                (void) accepted_release_free(a);
        }
        qsort(took, RUNS, sizeof(*took), by_value);
        printf("  gate, %4u links %25.1f ms of CPU   %7zu bytes of links\n", n, took[RUNS / 2], links.size);
}

typedef struct Count {
        char path[112];
        unsigned commands[_INSTALL_STEP_MAX], writes[_INSTALL_STEP_MAX];
        InstallStep step;
} Count;

/* What was sent since the last look belongs to the step that was running. */
static void collect(Count *c) {
        FILE *f = fopen(c->path, "re");
        char line[32];

        while (f && fgets(line, sizeof(line), f)) {
                unsigned long code = strtoul(line, NULL, 0);

                c->commands[c->step]++;
                c->writes[c->step] += code == 0x137 || code == 0x134; /* NV_Write, NV_Increment */
        }
        if (f)
                (void) fclose(f);
        (void) unlink(c->path);
}

static void on_step(void *userdata, InstallStep step, bool done) {
        Count *c = userdata;

        collect(c);
        c->step = done ? INSTALL_W0_GATE : step;
}

static void show(const Count *c, const char *name) {
        unsigned commands = 0, writes = 0;

        for (int i = 0; i < _INSTALL_STEP_MAX; i++) {
                commands += c->commands[i];
                writes += c->writes[i];
        }
        printf("  %-44s %5u commands, %u NV writes (W7: %u, %u)\n", name, commands, writes,
               c->commands[INSTALL_W7_ACCEPT], c->writes[INSTALL_W7_ACCEPT]);
        if (c->commands[INSTALL_W11_FLOOR] > 0)
                printf("  %-44s %5u commands, %u NV writes\n", "  of these W11, a higher epoch",
                       c->commands[INSTALL_W11_FLOOR], c->writes[INSTALL_W11_FLOOR]);
}

static int install(TestEngine *e, const TestRelease *r, RsError *err) {
        return test_engine_install(e, r, err);
}

static int mark_good(TestEngine *e, const TestRelease *r, RsError *err) {
        char name[WRITER_NAME_SIZE + 1];

        (void) r;
        return install_mark(e->installer, INSTALL_BY_DAEMON, WRITER_MARK_GOOD, "", name, err);
}

static void count(TestDevice *d, const TestRelease *r, const char *name,
                  int (*what)(TestEngine *e, const TestRelease *r, RsError *err)) {
        RsError err = RS_ERROR_INIT;
        Count c = { 0 };
        TestEngine e;

        (void) snprintf(c.path, sizeof(c.path), "%s/trace", d->dir);
        (void) unlink(c.path);
        (void) setenv("RESEAL_FAULT_TRACE", c.path, 1);
        test_engine_open(&e, d, on_step, &c);
        must(what(&e, r, &err) >= 0, &err);
        test_engine_close(&e);
        (void) unsetenv("RESEAL_FAULT_TRACE");
        collect(&c);
        show(&c, name);
}

static void count_level(bool level2) {
        const char *level = level2 ? "L2" : "L1";
        TestDevice d;
        TestRelease r;
        char name[64];

        test_device_make(&d, ROOTFS);
        d.faulty = true;
        if (level2)
                test_device_level2(&d);
        for (unsigned i = 1; i <= 3; i++) {
                const uint64_t release = i == 3 ? 18 : i;

                test_release_make(&r, release, i == 3, ROOTFS);
                (void) snprintf(name, sizeof(name), "install at %s, %s", level,
                                i == 1   ? "first release"
                                : i == 2 ? "next release"
                                         : "16 releases on");
                count(&d, &r, name, install);
                if (i < 3)
                        test_release_done(&r);
        }
        test_device_boot(&d, "B", r.bundle_id);
        (void) snprintf(name, sizeof(name), "mark good at %s, higher epoch", level);
        count(&d, &r, name, mark_good);
        test_release_done(&r);
        test_device_done(&d);
}

int main(void) {
        static const uint64_t links[] = { 1, 16, 1000 };
        void *state = NULL;
        TestRelease r;

        if (test_pki_setup(&state) < 0)
                return 1;
        printf("Trust\n");
        test_release_make(&r, LAST, 0, ROOTFS);
        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                time_gate(&r, LAST - links[i]);
        test_release_done(&r);
        count_level(false);
        count_level(true);
        return test_pki_teardown(&state) < 0;
}
