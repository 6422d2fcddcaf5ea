/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store - the two state directories, and files in them with the right owner.
 *
 * What reseald reads belongs to root and is readable by its group.  What the writer reads belongs to the writer alone.
 * Where the users do not exist (an image being built, a test), files stay root's.  Every file is old or new after a
 * power cut, and one that is there with the same content and owner is not written again.
 *
 * Both state directories belong to services that may have been taken over, and this program is root: what it finds in
 * them is not followed, has the owner it must have, and is given away only under a name that nobody else can reach.
 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/directory.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>

#include "provision.h"

/* Owner and group by name, where they exist and we may; else as it is. */
static FileOwner owner_of(const char *user, const char *group) {
        const struct passwd *pw = user && geteuid() == 0 ? getpwnam(user) : NULL;
        const struct group *gr = geteuid() == 0 ? getgrnam(group) : NULL;

        return (FileOwner){ .uid = pw ? pw->pw_uid : (uid_t) -1, .gid = gr ? gr->gr_gid : (gid_t) -1 };
}

static int give_directory(int fd, const char *user, const char *group, const char *what, RsError *err) {
        FileOwner owner = owner_of(user, group);

        return fchown(fd, owner.uid, owner.gid) < 0 ? rs_fail_errno(err, errno, "owner of %s", what) : 0;
}

/* A state directory: the path is the operator's, the directory its service's. */
static int open_state(const char *path, mode_t mode, const char *user, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        int r;

        r = directory_make(path, mode, &fd, err);
        if (r >= 0)
                r = give_directory(fd, user, user, path, err);
        return r < 0 ? r : TAKE_FD(fd);
}

/* Root's own directory inside one of reseald's. */
static int open_keys(int state_fd, RsError *err) {
        _cleanup_(closep) int fd = -EBADF;
        struct stat st;
        int r;

        if (mkdirat(state_fd, "keys", 0750) < 0 && errno != EEXIST)
                return rs_fail_errno(err, errno, "make keys");
        fd = openat(state_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "open keys");
        if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return rs_fail_errno(err, EPERM,
                                     "keys belongs to user %u or others may write in it, so it is not the one that was "
                                     "made here; move it away",
                                     (unsigned) st.st_uid);
        r = give_directory(fd, NULL, RS_USER_DAEMON, "keys", err);
        return r < 0 ? r : TAKE_FD(fd);
}

int store_open(const Options *o, bool with_writer, Store *ret, RsError *err) {
        _cleanup_(closep) int state_fd = -EBADF;
        Store s = STORE_INIT;
        int r;

        state_fd = r = open_state(o->state_dir, 0750, RS_USER_DAEMON, err);
        if (r < 0)
                return r;
        s.keys_fd = r = open_keys(state_fd, err);
        if (r < 0)
                (void) rs_context(err, "%s", o->state_dir);
        if (r >= 0 && with_writer) {
                s.with_writer = true;
                s.writer_fd = r = open_state(o->writer_state_dir, 0700, RS_USER_WRITER, err);
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

/* 1 if it has them already (or no others are known); never followed, never changed in place. */
static int same_owner(int dir_fd, const char *name, const FileOwner *owner, RsError *err) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return rs_fail_errno(err, errno, "%s", name);
        return (owner->uid == (uid_t) -1 || owner->uid == st.st_uid) &&
               (owner->gid == (gid_t) -1 || owner->gid == st.st_gid);
}

static int put(Store *s, int dir_fd, const char *name, Span content, mode_t mode, const char *user,
               const char *group, RsError *err) {
        FileOwner owner = owner_of(user, group);
        int r;

        r = same_content(dir_fd, name, content, err);
        if (r > 0)
                r = same_owner(dir_fd, name, &owner, err);
        if (r != 0)
                return r < 0 ? r : 0;
        r = file_replace_for(dir_fd, name, content, &owner, mode, err);
        if (r < 0)
                return r;
        s->n_written++;
        return 0;
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
