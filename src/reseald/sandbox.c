/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sandbox - what is left to reseald: reading below /etc, /usr, /run and the like (resolver), writing in
 * its state directory, the TPM and its lock file, the network.
 *
 * No file becomes code any more, a memfd least of all: what would be loaded later, the TCTI and resolver modules, is
 * loaded before.  A module of nsswitch.conf that is not in the list is then "unavailable", and the next one is asked.
 *
 * Block devices cannot be opened for writing: Landlock permits it nowhere, whatever the device node's mode says.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>

#include <reseal/base/cleanup.h>
#include <reseal/confine/confine.h>

#include "sandbox.h"

static int allow_all(int files, const DaemonConfig *c, RsError *err) {
        static const char *const readable[] = { "/etc", "/usr", "/lib", "/lib64", "/run", "/var/run", "/proc", "/sys",
                                                "/dev/random", "/dev/urandom" };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(readable); i++)
                r = confine_files_allow(files, readable[i], CONFINE_READ, err);
        if (r == 0)
                r = confine_files_allow(files, c->state_dir, CONFINE_CHANGE, err);
        if (r == 0)
                r = confine_files_allow(files, c->keys_dir, CONFINE_READ, err);
        if (r == 0) /* the lock file is made on first use: it is its directory that must be allowed */
                r = confine_files_allow_parent(files, c->tpm.lock_path, CONFINE_CREATE, err);
        for (unsigned n = 0; r == 0 && n < 4; n++) {
                char path[32];

                (void) snprintf(path, sizeof(path), n & 1 ? "/dev/tpmrm%u" : "/dev/tpm%u", n / 2);
                r = confine_files_allow(files, path, CONFINE_WRITE, err);
        }
        return r < 0 ? r : confine_files_allow(files, "/dev/null", CONFINE_WRITE, err);
}

static void load_resolvers(void) {
        static const char *const modules[] = { "libnss_resolve.so.2", "libnss_mdns4_minimal.so.2", "libnss_myhostname.so.2" };

        for (size_t i = 0; i < ELEMENTSOF(modules); i++)
                (void) dlopen(modules[i], RTLD_NOW); /* where it is installed; never closed */
}

int sandbox_close(const DaemonConfig *config, RsError *err) {
        /* Beside what any service needs: curl's resolver thread, what follows a file, what gives a file away. */
        static const char *const beside[] = { "bind", "inotify_add_watch", "inotify_init1", "inotify_rm_watch",
                                              "mincore", "recvmmsg", "recvmmsg_time64", "sendfile", "sendfile64",
                                              "socketpair" };
        static const int families[] = { AF_INET, AF_INET6, AF_NETLINK };
        const ConfineCalls calls = { .service = true, .allowed = beside, .n_allowed = ELEMENTSOF(beside),
                                     .families = families, .n_families = ELEMENTSOF(families) };
        _cleanup_(closep) int files = -EBADF;
        int landlock, r;

        tpm_preload(&config->tpm);
        load_resolvers();
        landlock = confine_files_begin(&files, err);
        if (landlock < 0)
                return landlock;
        r = allow_all(files, config, err);
        if (r == 0)
                r = confine_files_enforce(files, err);
        if (r == 0)
                r = confine_calls(&calls, err);
        return r < 0 ? r : landlock;
}
