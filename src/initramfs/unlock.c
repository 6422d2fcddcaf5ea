/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-unlock - opens the slot to boot, in the initramfs.
 *
 *   user             root, before there are other users
 *   descriptors      one device at a time
 *   hostile inputs   all that lies on the disk: partition names, LUKS2 header, token, trailer, manifest; the kernel
 *                    command line, which may choose a slot and nothing else
 *   trusted inputs   the initramfs itself (configuration, firmware root of version 0), the TPM
 *   can never        write to a disk, mount, give a root that nobody signed, open another slot
 *
 * Partition, token, TPM, dm-crypt, record, roots, trailer, manifest, dm-verity, /run/reseal/booted, in this order,
 * once.  A failure takes down what was opened, says why, and ends with 1: whoever called reboots, and the bootloader
 * goes on to the other slot when it has counted enough, or at once where one start can be named to it (refuse.c).
 * Any other end has told the loader nothing: whoever called does that with --not-started before he reboots.
 * Opening that one here would be a fallback nobody counted, under a kernel that is not its own.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>
#include <reseal/base/text.h>
#include <reseal/slot/open.h>

#include "advice.h"
#include "device.h"
#include "proof.h"
#include "refuse.h"
#include "roots.h"
#include "unlock-config.h"
#include "unseal.h"

#define SYSFS_BLOCK "/sys/class/block"
#define CMDLINE_MAX 65536u
#define NAME_MAX_MAPPER 32u
#define EXIT_UNTOLD 2                   /* the bootloader was not told: wrong arguments, or not done in time */

typedef struct Options {
        const char *config_path, *class_name, *name;
        const char *slot;               /* NULL: from the kernel command line */
        uint64_t timeout_usec;
        bool not_started;               /* tried before, and no system came of it */
} Options;

typedef struct Unlock {
        const Options *options;
        UnlockConfig config;
        const Slot *slot;
        TrustAnchors *anchors;
        char *boot_name, *device;
        uint64_t slot_size;
        TpmSealed sealed;
        uint8_t token_bundle_id[32];
        TpmRecord record;
        Proof proof;
        char crypt_name[NAME_MAX_MAPPER + 8];
        bool crypt_open, verity_open;
        uint64_t started_usec, tpm_usec;
} Unlock;

static void unlock_done(Unlock *u) {
        unlock_config_done(&u->config);
        u->anchors = anchors_free(u->anchors);
        free(u->boot_name);
        free(u->device);
        proof_done(&u->proof);
}

/* -- the steps ---------------------------------------------------------------------------------------------------- */

static int choose_slot(Unlock *u, RsError *err) {
        _cleanup_(freep) uint8_t *cmdline = NULL;
        size_t size;
        int r;

        r = unlock_config_load(u->options->config_path, &u->config, err);
        if (r < 0)
                return r;
        if (u->options->slot) {
                u->boot_name = strdup(u->options->slot);
                if (!u->boot_name)
                        return rs_fail_oom(err);
        } else {
                r = file_read(AT_FDCWD, "/proc/cmdline", CMDLINE_MAX, &cmdline, &size, err);
                if (r == 0)
                        return rs_fail(err, IO, "/proc is not mounted");
                if (r > 0)
                        r = unlock_cmdline_slot((const char *) cmdline, &u->boot_name, err);
                if (r < 0)
                        return r;
        }
        return unlock_config_slot(&u->config, u->options->class_name, u->boot_name, &u->slot, err);
}

static int wait_for_device(Unlock *u, RsError *err) {
        const struct timespec pause = { .tv_nsec = 50000000 };
        _cleanup_(closep) int fd = -EBADF;

        for (;;) {
                int r = device_find(u->slot->device, SYSFS_BLOCK, &u->device, err);

                if (r < 0)
                        return r;
                if (r > 0)
                        break;
                if (clock_boottime_usec() - u->started_usec >= u->options->timeout_usec)
                        return rs_fail(err, TARGET, "%s did not appear within %llu s", u->slot->device,
                                       (unsigned long long) (u->options->timeout_usec / 1000000));
                (void) nanosleep(&pause, NULL);
        }
        fd = open(u->device, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || ioctl(fd, BLKGETSIZE64, &u->slot_size) < 0)
                return rs_fail_errno(err, errno, "%s", u->device);
        return 0;
}

/* The secret lives in this function. */
static int open_crypt(Unlock *u, RsError *err) {
        _cleanup_(secret_freep) Secret *secret = NULL;
        uint64_t before;
        int r;

        r = slot_open_token(u->device, &u->sealed, u->token_bundle_id, err);
        if (r < 0)
                return r;
        before = clock_boottime_usec();
        r = unseal_wait(&u->config.tpm, &u->sealed, u->options->timeout_usec, &secret, err);
        if (r < 0)
                return r;
        u->tpm_usec = clock_boottime_usec() - before;
        r = slot_open_crypt(u->device, secret, u->crypt_name, err);
        if (r < 0)
                return r;
        u->crypt_open = true;
        return 0;
}

/* Whom to believe, and from which epoch on: the TPM says it. */
static int ask_record(Unlock *u, RsError *err) {
        uint64_t before = clock_boottime_usec();
        int r;

        r = roots_record(&u->config.tpm, u->sealed.srk_name, &u->record, err);
        u->tpm_usec += clock_boottime_usec() - before;
        if (r < 0)
                return r;
        return roots_find(&u->config, &u->record, SYSFS_BLOCK, u->options->timeout_usec, &u->anchors, err);
}

static int open_verity(Unlock *u, RsError *err) {
        const ProofWanted wanted = {
                .line = u->config.line,
                .compatible = u->config.compatible,
                .class_name = u->options->class_name,
                .record = &u->record,
        };
        _cleanup_(slot_trailer_done) SlotTrailer trailer = { 0 };
        _cleanup_(closep) int fd = -EBADF;
        char volume[sizeof(SLOT_MAPPER_DIR) + sizeof(u->crypt_name) + 1];
        uint64_t size;
        int r;

        (void) snprintf(volume, sizeof(volume), SLOT_MAPPER_DIR "/%s", u->crypt_name);
        fd = open(volume, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
                return rs_fail_errno(err, errno, "%s", volume);
        r = slot_trailer_read(fd, size, &trailer, err);
        if (r == 0)
                r = proof_make(&trailer, u->slot_size, &wanted, u->token_bundle_id, u->anchors, &u->proof, err);
        if (r == 0)
                r = slot_open_verity(volume, &u->proof.layout, u->proof.image, u->options->name, err);
        if (r < 0)
                return r;
        u->verity_open = true;
        return 0;
}

/* What the writer believes about the running slot (docs/protocol-writer.md): last of all, into root's tmpfs. */
static int write_booted(const Unlock *u, RsError *err) {
        char text[256], hex[HEX_SIZE(32)];
        int n;

        hex_encode(SPAN_ARRAY(u->proof.bundle_id), hex);
        n = snprintf(text, sizeof(text), "slot=%s\nmanifest=%s\n", u->boot_name, hex);
        return file_replace(AT_FDCWD, RS_PATH_BOOTED, SPAN(text, (size_t) n), 0644, err);
}

/* Lock file of a bare TPM and the result lie there; udev, systemd-tmpfiles and we agree on the mode. */
static int make_directory(RsError *err) {
        static const char path[] = "/run/reseal";

        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return rs_fail_errno(err, errno, "%s", path);
        if (unlink(RS_PATH_BOOTED) < 0 && errno != ENOENT)
                return rs_fail_errno(err, errno, "%s", RS_PATH_BOOTED);
        return 0;
}

static int unlock(Unlock *u, RsError *err) {
        int r;

        r = make_directory(err);
        if (r == 0)
                r = choose_slot(u, err);
        if (r == 0)
                r = wait_for_device(u, err);
        if (r == 0)
                r = open_crypt(u, err);
        if (r == 0)
                r = ask_record(u, err);
        if (r == 0)
                r = open_verity(u, err);
        return r < 0 ? r : write_booted(u, err);
}

/* -- what is said ------------------------------------------------------------------------------------------------- */

/* To the kernel's log, from where the journal takes it.  One write: dprintf would seek first, which kmsg refuses. */
static void tell(const Unlock *u) {
        _cleanup_(closep) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        char version[RS_NAME_MAX * 4 + 1], line[512];
        const Manifest *m = u->proof.manifest;
        int n;

        (void) text_escape(SPAN(m->version, strlen(m->version)), version, sizeof(version));
        n = snprintf(line, sizeof(line), "<6>reseal-unlock: slot %s, release %llu (%s), verified; %llu ms, TPM %llu ms\n",
                     u->boot_name, (unsigned long long) m->release, version,
                     (unsigned long long) (clock_boottime_usec() - u->started_usec) / 1000,
                     (unsigned long long) u->tpm_usec / 1000);
        if (fd >= 0 && n > 0 && write(fd, line, (size_t) n) < 0)
                return; /* no log, no line */
}

static void complain(const Unlock *u, const RsError *err) {
        const char *name = u->boot_name ? u->boot_name : "?";
        char slot[4 * 64 + 1]; /* what the kernel command line says, which need not be a name */
        char next[128];

        (void) text_escape(SPAN(name, strlen(name)), slot, sizeof(slot));
        refuse(u->options->config_path, u->boot_name, err->reason, next);
        (void) fprintf(stderr,
                       "reseal-unlock: slot %s cannot be started: %s (%s)\n"
                       "reseal-unlock: %s\n"
                       "reseal-unlock: %s\n"
                       "reseal-unlock: The device restarts; %s\n",
                       slot, rs_reason_text(err->reason), rs_reason_name(err->reason),
                       err->text, advice_for(err->reason), next);
}

/* The result is written last of all, and taken away first. */
static const char *why_not_started(void) {
        return access(RS_PATH_BOOTED, F_OK) == 0 ? "it was opened, and no system came up from it" :
                                                   "opening it did not come to its end";
}

static void close_all(const Unlock *u) {
        RsError ignored = RS_ERROR_INIT; /* the reboot closes what does not close */

        if (u->verity_open)
                (void) slot_close(u->options->name, &ignored);
        if (u->crypt_open)
                (void) slot_close(u->crypt_name, &ignored);
}

static void usage(void) {
        (void) printf("reseal-unlock [--slot NAME] [--class CLASS] [--name NAME] [--timeout SECONDS] [--config FILE]\n\n"
                      "Opens the slot to boot as /dev/mapper/root; see reseal-unlock(8).\n"
                      "      --slot NAME        instead of reseal.slot= of the kernel command line\n"
                      "      --class CLASS      of the slot, default rootfs\n"
                      "      --name NAME        of the device in /dev/mapper, default root\n"
                      "      --timeout SECONDS  how long to wait for partition and TPM, default 30\n"
                      "      --not-started      only say that no system came of the slot\n"
                      "  -c, --config FILE      instead of %s\n"
                      "      --version          print the version\n",
                      RS_PATH_CONF_WRITER);
}

static bool set_option(Options *o, int c, const char *value) {
        uint64_t seconds;

        switch (c) {
        case 'N':
                o->not_started = true;
                return true;
        case 'c':
                o->config_path = value;
                return true;
        case 's':
                o->slot = value;
                return true;
        case 'C':
                o->class_name = value;
                return true;
        case 'n':
                o->name = value;
                return strlen(value) > 0 && strlen(value) <= NAME_MAX_MAPPER && !strchr(value, '/');
        case 't':
                if (text_to_u64(value, 3600, &seconds) < 0)
                        return false;
                o->timeout_usec = seconds * 1000000;
                return true;
        default:
                return false;
        }
}

/* 0 go on, else the exit status plus one. */
static int parse_options(int argc, char **argv, Options *o) {
        static const struct option known[] = {
                { "class", required_argument, NULL, 'C' },
                { "config", required_argument, NULL, 'c' },
                { "help", no_argument, NULL, 'h' },
                { "name", required_argument, NULL, 'n' },
                { "not-started", no_argument, NULL, 'N' },
                { "slot", required_argument, NULL, 's' },
                { "timeout", required_argument, NULL, 't' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "c:h", known, NULL)) >= 0) {
                if (c == 'h') {
                        usage();
                        return 1;
                }
                if (c == 'v') {
                        (void) printf("reseal-unlock %s\n", RS_VERSION);
                        return 1;
                }
                if (!set_option(o, c, optarg)) {
                        (void) fprintf(stderr, "reseal-unlock: wrong arguments; try --help\n");
                        return EXIT_UNTOLD + 1;
                }
        }
        if (optind < argc)
                (void) fprintf(stderr, "reseal-unlock: %s: no such argument\n", argv[optind]);
        return optind < argc ? EXIT_UNTOLD + 1 : 0;
}

/*
 * The last word: also about what a library or the TPM's driver does not come back from.  A signal handler cannot tell
 * the loader, so this is not the status that says it was told.
 */
static void on_alarm(int signal_number) {
        static const char text[] = "reseal-unlock: not done in time; the device restarts\n";

        (void) signal_number;
        if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
                _exit(EXIT_UNTOLD);
        _exit(EXIT_UNTOLD);
}

/* Partition, TPM and trust set are each awaited for so long; what the disk decides has had its limits before. */
static void set_budget(const Options *o) {
        (void) signal(SIGALRM, on_alarm);
        (void) alarm((unsigned) (3 * (o->timeout_usec / 1000000) + 60));
}

int main(int argc, char **argv) {
        Options options = {
                .config_path = RS_PATH_CONF_WRITER,
                .class_name = "rootfs",
                .name = "root",
                .timeout_usec = 30u * 1000000u,
        };
        _cleanup_(unlock_done) Unlock u = { .options = &options, .started_usec = clock_boottime_usec() };
        RsError err = RS_ERROR_INIT;
        int r;

        program_environment();
        (void) signal(SIGPIPE, SIG_IGN); /* a TPM that goes away is a failure, not the end */
        r = parse_options(argc, argv, &options);
        if (r > 0)
                return r - 1;
        set_budget(&options);
        (void) snprintf(u.crypt_name, sizeof(u.crypt_name), "%s-crypt", options.name);
        if (options.not_started) {
                if (ossl_program(&err) == 0 && choose_slot(&u, &err) == 0)
                        (void) rs_fail(&err, SLOT_CONTENT, "%s", why_not_started());
                complain(&u, &err);
                return EXIT_SUCCESS;
        }
        if (ossl_program(&err) < 0 || unlock(&u, &err) < 0) {
                close_all(&u);
                complain(&u, &err);
                return EXIT_FAILURE;
        }
        refuse_tell();
        tell(&u);
        return EXIT_SUCCESS;
}
