/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * escrow - ownerAuth, lockoutAuth and endorsementAuth between making them and handing them over.
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
        e->endorsement = secret_free(e->endorsement);
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

int escrow_make(Escrow *e, bool owner, bool lockout, bool endorsement, RsError *err) {
        Secret **const made[] = { owner && !e->owner ? &e->owner : NULL, lockout && !e->lockout ? &e->lockout : NULL,
                                  endorsement && !e->endorsement ? &e->endorsement : NULL };
        int any = 0;

        for (size_t i = 0; i < ELEMENTSOF(made); i++) {
                int r = made[i] ? escrow_random(made[i], err) : 0;

                if (r < 0)
                        return r;
                any |= made[i] != NULL;
        }
        return any;
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
        if (strcmp(key, "endorsement-auth") == 0)
                return take_auth(value, &e->endorsement, err);
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
        if (!e.owner && !e.endorsement)
                return rs_fail(err, CONFIG, "%s: no authorization value", path);
        *ret = e;
        e = (Escrow){ 0 };
        return 1;
}

static int put_line(char *text, size_t size, size_t *at, const char *key, const Secret *value) {
        char hex[HEX_SIZE(AUTH_SIZE)];
        int n;

        if (!value)
                return 0;
        hex_encode(secret_span(value), hex);
        n = snprintf(text + *at, size - *at, "%s = %s\n", key, hex);
        explicit_bzero(hex, sizeof(hex));
        if (n < 0 || (size_t) n >= size - *at)
                return -ENOSPC;
        *at += (size_t) n;
        return 0;
}

int escrow_write(const char *path, const char *serial, const Escrow *e, RsError *err) {
        char text[640];
        size_t at;
        int n, r;

        n = snprintf(text, sizeof(text), "# Authorization values of one device's TPM. Keep them off the device.\n"
                                         "[escrow]\ndevice = %s\n", serial);
        if (n < 0 || (size_t) n >= sizeof(text))
                return rs_fail(err, INVALID, "serial number too long");
        at = (size_t) n;
        r = put_line(text, sizeof(text), &at, "owner-auth", e->owner);
        if (r == 0)
                r = put_line(text, sizeof(text), &at, "lockout-auth", e->lockout);
        if (r == 0)
                r = put_line(text, sizeof(text), &at, "endorsement-auth", e->endorsement);
        if (r < 0)
                r = rs_fail(err, INVALID, "serial number too long");
        else if (strcmp(path, "-") == 0) {
                if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
                        r = rs_fail_errno(err, errno, "standard output");
        } else
                r = file_replace(AT_FDCWD, path, SPAN(text, at), 0600, err);
        explicit_bzero(text, sizeof(text));
        return r;
}
