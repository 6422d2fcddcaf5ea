/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store - the two state directories, and files in them with the right owner.
 *
 * What reseald reads belongs to root and is readable by its group: a taken-over reseald cannot exchange its
 * own keys.  What the writer reads belongs to the writer alone.  Where the users do not exist (an image being
 * built, a test), files stay root's. Every file is old or new after a power cut, and one that is there with
 * the same content is not written again.
 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>

#include "provision.h"

static int open_dir(int parent_fd, const char *path, mode_t mode, RsError *err) {
        int fd;

        if (mkdirat(parent_fd, path, mode) < 0 && errno != EEXIST)
                return rs_fail_errno(err, errno, "make %s", path);
        fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 ? fd : rs_fail_errno(err, errno, "open %s", path);
}

/* Owner and group by name, where they exist and we may. */
static int give_to(int fd, const char *user, const char *group, const char *what, RsError *err) {
        const struct passwd *pw = user ? getpwnam(user) : NULL;
        const struct group *gr = group ? getgrnam(group) : NULL;

        if (geteuid() != 0 || (!pw && !gr))
                return 0;
        if (fchown(fd, pw ? pw->pw_uid : (uid_t) -1, gr ? gr->gr_gid : (gid_t) -1) < 0)
                return rs_fail_errno(err, errno, "owner of %s", what);
        return 0;
}

int store_open(const Options *o, bool with_writer, Store *ret, RsError *err) {
        _cleanup_(closep) int state_fd = -EBADF;
        Store s = STORE_INIT;
        int r;

        state_fd = r = open_dir(AT_FDCWD, o->state_dir, 0750, err);
        if (r < 0)
                return r;
        r = give_to(state_fd, RS_USER_DAEMON, RS_USER_DAEMON, o->state_dir, err);
        if (r < 0)
                return r;
        s.keys_fd = r = open_dir(state_fd, "keys", 0750, err);
        if (r >= 0)
                r = give_to(s.keys_fd, NULL, RS_USER_DAEMON, "keys", err);
        if (r >= 0 && with_writer) {
                s.with_writer = true;
                s.writer_fd = r = open_dir(AT_FDCWD, o->writer_state_dir, 0700, err);
                if (r >= 0)
                        r = give_to(s.writer_fd, RS_USER_WRITER, RS_USER_WRITER, o->writer_state_dir, err);
        }
        if (r < 0) {
                store_close(&s);
                return r;
        }
        *ret = s;
        return 0;
}

void store_close(Store *s) {
        closep(&s->keys_fd);
        closep(&s->writer_fd);
        *s = STORE_INIT;
}

static int same_content(int dir_fd, const char *name, Span content, RsError *err) {
        _cleanup_(freep) uint8_t *there = NULL;
        size_t size;
        int r;

        r = file_read(dir_fd, name, RS_CERT_FILE_MAX, &there, &size, err);
        if (r <= 0)
                return r;
        return span_equal(SPAN(there, size), content) ? 1 : 0;
}

static int put(Store *s, int dir_fd, const char *name, Span content, mode_t mode, const char *user,
               const char *group, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        int r;

        r = same_content(dir_fd, name, content, err);
        if (r < 0)
                return r;
        if (r == 0) {
                r = file_replace(dir_fd, name, content, mode, err);
                if (r < 0)
                        return r;
                s->n_written++;
        }
        /* also when it was there: a run that was cut before the owner was set */
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return rs_fail_errno(err, errno, "open %s", name);
        return give_to(fd, user, group, name, err);
}

int store_public(Store *s, const char *name, Span content, RsError *err) {
        return put(s, s->keys_fd, name, content, 0640, NULL, RS_USER_DAEMON, err);
}

int store_private(Store *s, const char *name, Span content, RsError *err) {
        return put(s, s->writer_fd, name, content, 0600, RS_USER_WRITER, RS_USER_WRITER, err);
}

const char *store_key_file(TpmKeyPurpose purpose) {
        static const char *const names[_TPM_KEY_PURPOSE_MAX] = {
                [TPM_KEY_IDENTITY] = RS_FILE_IDENTITY_KEY,
                [TPM_KEY_UNWRAP] = RS_FILE_UNWRAP_KEY,
                [TPM_KEY_ATTEST] = RS_FILE_ATTEST_KEY,
        };

        return names[purpose];
}

const char *store_certificate_file(TpmKeyPurpose purpose) {
        static const char *const names[_TPM_KEY_PURPOSE_MAX] = {
                [TPM_KEY_IDENTITY] = RS_FILE_IDENTITY_CERT,
                [TPM_KEY_UNWRAP] = RS_FILE_UNWRAP_CERT,
                [TPM_KEY_ATTEST] = RS_FILE_ATTEST_CERT,
        };

        return names[purpose];
}

int store_key(const Store *s, TpmKeyPurpose purpose, TpmKey *ret, RsError *err) {
        _cleanup_(freep) uint8_t *blob = NULL;
        TpmKey key;
        size_t size;
        int r;

        r = file_read(s->keys_fd, store_key_file(purpose), TPM_BLOB_MAX, &blob, &size, err);
        if (r <= 0)
                return r;
        r = tpm_key_parse(SPAN(blob, size), &key, err);
        if (r < 0)
                return rs_context(err, "%s", store_key_file(purpose));
        if (key.purpose != purpose)
                return rs_fail(err, TPM_STATE, "%s holds the %s key", store_key_file(purpose),
                               tpm_key_purpose_to_string(key.purpose));
        *ret = key;
        return 1;
}
