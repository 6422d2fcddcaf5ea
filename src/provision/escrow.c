/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * escrow - ownerAuth and lockoutAuth between making them and handing them over.
 *
 * They are needed to clear or redefine what protects against rollback, so they must leave the device: this
 * program makes them, writes them once, sets them, and keeps nothing.  The file is written and flushed
 * *before* the TPM learns the values: a cut in between leaves values that are not in force yet, never values
 * in force that nobody knows.  A later run finds the file and goes on with what is in it.
 *
 * Standard output is the printer of a factory line; a run that is cut there and repeated prints new values
 * for what was not set yet, and only for that.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

#include "provision.h"

#define AUTH_SIZE 32u

void escrow_done(Escrow *e) {
        e->owner = secret_free(e->owner);
        e->lockout = secret_free(e->lockout);
}

int escrow_random(Secret **ret, RsError *err) {
        for (;;) {
                Secret *s = secret_new_random(AUTH_SIZE);

                if (!s)
                        return rs_fail_oom(err);
                if (secret_bytes(s)[AUTH_SIZE - 1] != 0) {
                        *ret = s;
                        return 0;
                }
                (void) secret_free(s);
        }
}

int escrow_make(Escrow *ret, RsError *err) {
        Escrow e = { 0 };
        int r;

        r = escrow_random(&e.owner, err);
        if (r >= 0)
                r = escrow_random(&e.lockout, err);
        if (r < 0) {
                escrow_done(&e);
                return r;
        }
        *ret = e;
        return 0;
}

static int take_auth(const char *value, Secret **ret, RsError *err) {
        Secret *s = secret_new(AUTH_SIZE);

        if (!s)
                return rs_fail_oom(err);
        if (hex_decode(value, secret_bytes_mut(s), AUTH_SIZE) < 0) {
                (void) secret_free(s);
                return rs_fail(err, CONFIG, "an authorization value has 64 hexadecimal digits");
        }
        *ret = s;
        return 1;
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        Escrow *e = userdata;

        if (strcmp(section, "escrow") != 0)
                return 0;
        if (strcmp(key, "owner-auth") == 0)
                return take_auth(value, &e->owner, err);
        if (strcmp(key, "lockout-auth") == 0)
                return take_auth(value, &e->lockout, err);
        return strcmp(key, "device") == 0;
}

int escrow_read(const char *path, Escrow *ret, RsError *err) {
        _cleanup_(escrow_done) Escrow e = { 0 };
        int r;

        if (access(path, F_OK) < 0 && errno == ENOENT)
                return 0;
        r = config_read(path, on_key, &e, err);
        if (r < 0)
                return r;
        if (!e.owner)
                return rs_fail(err, CONFIG, "%s: no owner-auth", path);
        *ret = e;
        e = (Escrow){ 0 };
        return 1;
}

int escrow_write(const char *path, const char *serial, const Escrow *e, RsError *err) {
        char owner[HEX_SIZE(AUTH_SIZE)], lockout[HEX_SIZE(AUTH_SIZE)] = "";
        char text[512];
        int n, r = 0;

        hex_encode(secret_span(e->owner), owner);
        if (e->lockout)
                hex_encode(secret_span(e->lockout), lockout);
        n = snprintf(text, sizeof(text),
                     "# Authorization values of one device's TPM. Keep them off the device.\n"
                     "[escrow]\ndevice = %s\nowner-auth = %s\n%s%s%s",
                     serial, owner, e->lockout ? "lockout-auth = " : "", lockout, e->lockout ? "\n" : "");
        if (n < 0 || (size_t) n >= sizeof(text))
                r = rs_fail(err, INVALID, "serial number too long");
        else if (strcmp(path, "-") == 0) {
                if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
                        r = rs_fail_errno(err, errno, "standard output");
        } else
                r = file_replace(AT_FDCWD, path, SPAN(text, (size_t) n), 0600, err);
        explicit_bzero(text, sizeof(text));
        explicit_bzero(owner, sizeof(owner));
        explicit_bzero(lockout, sizeof(lockout));
        return r;
}
