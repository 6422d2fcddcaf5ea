/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * program - what a program of ours lets in from its environment.
 *
 * libcurl reads proxies, .netrc's place and a file for TLS secrets from there, OpenSSL its configuration and modules,
 * ESYS what to log where, systemd's library a bus and time limits, the resolver its search list, libcryptsetup and
 * libubootenv paths.  Nobody of us wants any of it, and the next version reads names that are not in this list; so the
 * list is of those that stay.  What the loader and libc read before main() (LD_*, GLIBC_TUNABLES, OPENSSL_ia32cap) is
 * out of reach: units are where that is kept away.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/program.h>

static const char *const kept[] = {
        "PATH=", "TZ=",
        /* a terminal */
        "NO_COLOR=", "TERM=", "COLUMNS=",
        /* what a service manager says to the one process it starts */
        "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=",
        "JOURNAL_STREAM=", "INVOCATION_ID=",
        /* which bus: a service is told by its unit, a caller may ask another machine's */
        "DBUS_SYSTEM_BUS_ADDRESS=",
        /* our own names: no program reads one, rigs of the tests do */
        "RESEAL_",
};

static bool is_kept(const char *entry) {
        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                if (strncmp(entry, kept[i], strlen(kept[i])) == 0)
                        return true;
        return false;
}

/* In place: the strings stay where they are, so that what was looked up before stays good. */
void program_environment(void) {
        char **to = environ;

        for (char **from = environ; from && *from; from++)
                if (is_kept(*from))
                        *to++ = *from;
        if (to)
                *to = NULL;
}
