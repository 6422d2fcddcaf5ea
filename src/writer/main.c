/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-writer - the half of Reseal that decides.
 *
 *   user             reseal-writer; groups tss, reseal-slots, reseal-boot.  Never root.
 *   capabilities     none, ever (NoNewPrivileges, empty bounding set)
 *   descriptors      the listening sockets (or one connection with --fd), the state directory, an eventfd, the loop's;
 *                    slots and boot state only while they are used
 *   hostile inputs   every byte from a connection: messages, descriptors, tables, ring contents; manifests and their
 *                    certificates; the boot environment; what lies on a slot
 *   trusted inputs   writer.conf, the firmware root, its own state directory, the TPM (sessions salted to its SRK)
 *   can never        reach a network, execute a program, open a file outside its list (Landlock), write the running
 *                    slot (read-only since --protect, which is root's: protect.c), write a byte that nobody signed,
 *                    name an unproven slot bootable
 *
 * Order of start: limits on itself, configuration, anchors, sandbox, worker, first connection.  What needs rights
 * that
 * the sandbox takes is done before it; what a client could influence comes after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/ossl.h>
#include <reseal/base/program.h>
#include <reseal/base/text.h>
#include <reseal/confine/confine.h>

#include "config.h"
#include "journal.h"
#include "protect.h"
#include "sandbox.h"
#include "server.h"
#include "watchdog.h"

#define HEALTH_NAME "health" /* FileDescriptorName= of reseal-health.socket */

typedef struct Options {
        const char *config_path;
        bool protect;           /* --protect: as root, before the writer itself */
        int client_fd;          /* --fd: the connection of a test or a launcher */
} Options;

typedef struct Manager {
        WriterConfig config;
        sd_id128_t boot_id;
        Encoder policy;         /* the notes of the configuration, for POLICY */
        Secret *gate_auth;
        Tpm *tpm;
        Boot *boot;
        int state_fd, wake_fd, listen_fd, health_fd;
        uid_t client_uid, health_uid;
        sd_event *loop;
        Worker *worker;
        Watchdog *watchdog;
        Server *server;
} Manager;

/* -h, --version and bad words end here: *ret_exit >= 0. */
static Options parse_options(int argc, char **argv, int *ret_exit) {
        static const struct option known[] = {
                { "config", required_argument, NULL, 'c' },
                { "fd", required_argument, NULL, 'f' },
                { "help", no_argument, NULL, 'h' },
                { "protect", no_argument, NULL, 'p' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        Options o = { .config_path = RS_PATH_CONF_WRITER, .client_fd = -EBADF };
        uint64_t fd;
        int c;

        *ret_exit = -1;
        while (*ret_exit < 0 && (c = getopt_long(argc, argv, "c:h", known, NULL)) >= 0) {
                if (c == 'c')
                        o.config_path = optarg;
                else if (c == 'f' && text_to_u64(optarg, INT32_MAX, &fd) == 0)
                        o.client_fd = (int) fd;
                else if (c == 'p')
                        o.protect = true;
                else if (c == 'h') {
                        (void) printf("reseal-writer [--config FILE] [--fd N]\n\n"
                                      "Started by reseal-writer.socket; see reseal-writer(8).\n"
                                      "  -c, --config FILE  instead of %s\n"
                                      "      --fd N         serve the connection on descriptor N and end with it\n"
                                      "      --protect      make the running slot read-only, as root, and end\n"
                                      "      --version      print the version\n",
                                      RS_PATH_CONF_WRITER);
                        *ret_exit = EXIT_SUCCESS;
                } else if (c == 'v') {
                        (void) printf("reseal-writer %s\n", RS_VERSION);
                        *ret_exit = EXIT_SUCCESS;
                } else
                        *ret_exit = 2;
        }
        if (*ret_exit < 0 && optind < argc) {
                (void) fprintf(stderr, "reseal-writer: %s: no such argument\n", argv[optind]);
                *ret_exit = 2;
        }
        return o;
}

/*
 * One or two sockets.  The one that reseal-health.socket named "health" is for the health check, the other for reseald:
 * without the name a socket has no more rights than before, it only lets other users in.
 */
static int sort_listen_fds(Manager *m, char *const *names, int n, RsError *err) {
        if (n < 1 || n > 2)
                return rs_fail(err, CONFIG, "started with %d sockets: start reseal-writer.socket, or use --fd", n);
        for (int i = 0; i < n; i++) {
                int *field = names && strcmp(names[i], HEALTH_NAME) == 0 ? &m->health_fd : &m->listen_fd;

                if (*field >= 0)
                        return rs_fail(err, CONFIG, "started with two sockets of one kind");
                if (sd_is_socket_unix(SD_LISTEN_FDS_START + i, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
                        return rs_fail(err, CONFIG, "a socket is not a listening SOCK_SEQPACKET of AF_UNIX");
                *field = SD_LISTEN_FDS_START + i;
        }
        return 0;
}

static int take_listen_fds(Manager *m, RsError *err) {
        char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names);
        int r = sort_listen_fds(m, names, n, err);

        for (char **name = names; name && *name; name++)
                free(*name);
        free(names);
        return r;
}

static int open_state(Manager *m, RsError *err) {
        struct stat st;

        m->state_fd = open(m->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (m->state_fd < 0)
                return rs_fail_errno(err, errno, "%s", m->config.state_dir);
        if (fstat(m->state_fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", m->config.state_dir);
        if (st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return rs_fail(err, CONFIG, "%s must belong to this user alone", m->config.state_dir);
        return 0;
}

static int open_device(Manager *m, RsError *err) {
        _cleanup_(anchors_freep) TrustAnchors *anchors = NULL;
        uint8_t srk_name[TPM_NAME_SIZE];
        int r;

        r = open_state(m, err);
        if (r < 0)
                return r;
        /* Only looked at, so that a wrong file shows at the start; the worker loads what holds then. */
        r = anchors_load(m->config.firmware_root, &anchors, err);
        if (r < 0)
                return r;
        r = file_read_secret(m->state_fd, RS_FILE_GATE_AUTH, 64, &m->gate_auth, err);
        if (r == 0)
                return rs_fail(err, NOT_PROVISIONED, "%s/%s is missing", m->config.state_dir, RS_FILE_GATE_AUTH);
        if (r < 0)
                return r;
        r = tpm_srk_name_load(m->state_fd, srk_name, err);
        if (r == 0)
                return rs_fail(err, NOT_PROVISIONED, "%s/%s is missing", m->config.state_dir, RS_FILE_SRK_NAME);
        if (r < 0)
                return r;
        r = sd_id128_get_boot(&m->boot_id); /* /proc is out of reach later */
        if (r < 0)
                return rs_fail_errno(err, -r, "boot id");
        r = tpm_new(&m->config.tpm, srk_name, &m->tpm, err);
        if (r < 0)
                return r;
        return boot_open(&m->config.boot, &m->boot, err);
}

static int start_worker(Manager *m, RsError *err) {
        InstallDevice device = {
                .state_dir = m->config.state_dir,
                .state_fd = m->state_fd,
                .booted_path = m->config.booted_path,
                .map = m->config.map,
                .boot = m->boot,
                .tpm = m->tpm,
                .gate_auth = m->gate_auth,
                .trust = {
                        .firmware_root = m->config.firmware_root,
                        .source_root = m->config.source_root,
                        .time_root = m->config.time_root,
                        .recovery = m->config.recovery,
                        .set_path = m->config.trust_set,
                        .state_fd = m->state_fd,
                        .line = m->config.line,
                },
                .build_time = RS_BUILD_TIME,
                .line = m->config.line,
                .compatible = m->config.compatible,
                .require_encryption = m->config.require_encryption,
                .policy = {
                        .require_time = m->config.require_time,
                        .require_crl = m->config.require_crl,
                        .freshness = { .require = m->config.require_latest,
                                       .allow_intermediate = m->config.allow_intermediate },
                        .crl_grace_sec = m->config.crl_grace_usec / 1000000,
                        .trials_by_health = !m->config.mark_by_daemon,
                },
        };
        int r;

        memcpy(device.boot_id, m->boot_id.bytes, sizeof(device.boot_id));
        m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (m->wake_fd < 0)
                return rs_fail_errno(err, errno, "eventfd");
        r = worker_start(&device, m->wake_fd, &m->worker, err);
        return r < 0 ? r : watchdog_new(m->loop, m->worker, &m->watchdog, err);
}

static int start_server(Manager *m, int client_fd, RsError *err) {
        ServerSpec spec = {
                .loop = m->loop,
                .worker = m->worker,
                .wake_fd = m->wake_fd,
                .listen_fd = TAKE_FD(m->listen_fd),
                .health_fd = TAKE_FD(m->health_fd),
                .client_fd = client_fd,
                .client_uid = m->client_uid,
                .health_uid = m->health_uid,
                .idle_exit_usec = m->config.idle_exit_usec,
                .line = m->config.line,
                .require_encryption = m->config.require_encryption,
        };

        writer_encode_notes(&m->policy, &m->config.notes);
        if (encoder_finish(&m->policy) < 0) {
                closep(&spec.listen_fd);
                closep(&spec.health_fd);
                return rs_fail_oom(err);
        }
        spec.policy = encoder_view(&m->policy);
        return server_new(&spec, &m->server, err);
}

/* Who may connect: the users of the configuration, or with --fd whoever this process is. */
static int find_uid(const char *name, uid_t *ret, RsError *err) {
        const struct passwd *user = getpwnam(name);

        if (!user)
                return rs_fail(err, CONFIG, "there is no user %s", name);
        *ret = user->pw_uid;
        return 0;
}

static int find_client_uids(Manager *m, int client_fd, RsError *err) {
        int r = 0;

        m->client_uid = m->health_uid = geteuid();
        if (client_fd >= 0)
                return 0;
        if (m->listen_fd >= 0)
                r = find_uid(m->config.client_user, &m->client_uid, err);
        if (r == 0 && m->health_fd >= 0)
                r = find_uid(m->config.health_user, &m->health_uid, err);
        if (r == 0 && m->listen_fd >= 0 && m->health_fd >= 0 && m->client_uid == m->health_uid)
                return rs_fail(err, CONFIG, "health-user and client-user are one user of two names");
        return r;
}

static int start_loop(Manager *m, RsError *err) {
        sigset_t ends;
        int r;

        (void) sigemptyset(&ends);
        (void) sigaddset(&ends, SIGTERM);
        (void) sigaddset(&ends, SIGINT);
        if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
                return rs_fail_errno(err, errno, "signals");
        r = sd_event_new(&m->loop);
        if (r >= 0)
                r = sd_event_add_signal(m->loop, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(m->loop, NULL, SIGINT, NULL, NULL);
        return r < 0 ? rs_fail_errno(err, -r, "event loop") : 0;
}

static int start(Manager *m, const Options *o, RsError *err) {
        int r;

        r = confine_early(err);
        if (r < 0)
                return r;
        if (o->client_fd < 0) {
                r = take_listen_fds(m, err);
                if (r < 0)
                        return r;
        }
        r = writer_config_load(o->config_path, &m->config, err);
        if (r < 0)
                return r;
        r = find_client_uids(m, o->client_fd, err);
        if (r < 0)
                return r;
        r = open_device(m, err);
        if (r < 0)
                return r;
        r = start_loop(m, err);
        if (r < 0)
                return r;
        r = sandbox_close(&m->config, err);
        if (r < 0)
                return r;
        if (r == 0)
                journal_say(LOG_WARNING, MESSAGE_WRITER_SANDBOX, "RESEAL_SANDBOX=seccomp", NULL,
                            "ignoring that this kernel has no Landlock: sandbox=seccomp");
        r = start_worker(m, err);
        if (r < 0)
                return r;
        return start_server(m, o->client_fd, err);
}

/* What the unit has root do before: no byte of a client is near. */
static int protect(Manager *m, const Options *o, RsError *err) {
        int r = writer_config_load(o->config_path, &m->config, err);

        return r < 0 ? r : protect_running(&m->config, err);
}

static void stop(Manager *m) {
        (void) sd_notify(0, "STOPPING=1");
        (void) server_free(m->server);
        (void) watchdog_free(m->watchdog);
        (void) worker_stop(m->worker);
        (void) sd_event_unref(m->loop);
        (void) boot_close(m->boot);
        (void) tpm_free(m->tpm);
        (void) secret_free(m->gate_auth);
        closep(&m->listen_fd);
        closep(&m->health_fd);
        closep(&m->wake_fd);
        closep(&m->state_fd);
        encoder_done(&m->policy);
        writer_config_done(&m->config);
}

static void on_unlocked(void) {
        journal_say(LOG_WARNING, MESSAGE_WRITER_SANDBOX, "RESEAL_SANDBOX=unlocked", NULL,
                    "ignoring that memory of keys cannot be locked: raise LimitMEMLOCK");
}

int main(int argc, char **argv) {
        Manager m = { .state_fd = -EBADF, .wake_fd = -EBADF, .listen_fd = -EBADF, .health_fd = -EBADF };
        RsError err = RS_ERROR_INIT;
        Options options;
        int r, status;

        program_environment();
        (void) signal(SIGPIPE, SIG_IGN); /* a TPM or peer that goes away is a failure, not the end */
        options = parse_options(argc, argv, &status);
        if (status >= 0)
                return status;
        journal_init("reseal-writer");
        secret_on_unlocked(on_unlocked);
        (void) umask(0077);
        r = options.protect ? 0 : ossl_program(&err);
        if (r >= 0)
                r = options.protect ? protect(&m, &options, &err) : start(&m, &options, &err);
        if (r >= 0 && options.protect)
                status = EXIT_SUCCESS;
        else if (r >= 0) {
                (void) sd_notify(0, "READY=1");
                r = sd_event_loop(m.loop);
                status = r < 0 ? EXIT_FAILURE : r;
        } else {
                journal_say(LOG_ERR, MESSAGE_WRITER_REFUSED, NULL, &err, "cannot start");
                status = EXIT_FAILURE;
        }
        stop(&m);
        return status;
}
