/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * apply - reads the file with the caller's rights, the service has none to it.
 *
 * The set travels in a sealed memfd, because it may be longer than a message and because the service must not wait for
 * a slow writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <reseal/base/file.h>
#include <reseal/format/trust-set.h>
#include <reseal/ipc/channel.h>
#include <reseal/ipc/memfd.h>

#include "apply.h"
#include "serve.h"

static int connect_to(const char *path, Channel **ret, RsError *err) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return rs_fail(err, INVALID, "%s: too long for a socket", path);
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return rs_fail_errno(err, errno, "socket");
        if (connect(fd, (const struct sockaddr *) (const void *) &address, sizeof(address)) < 0)
                return rs_fail(err, CONNECT, "%s: %s (is reseal-certstore.socket started?)", path, strerror(errno));
        return channel_new(TAKE_FD(fd), ret, err);
}

static int take_answer(const Message *m, uint64_t *ret_version, RsError *err) {
        Reader r = READER(m->payload);
        RsError told = RS_ERROR_INIT;
        uint64_t version;

        if (m->type == CERTSTORE_FAIL) {
                int k = channel_decode_error(m->payload, &told, err);

                return k < 0 ? k : rs_pass(err, &told);
        }
        version = reader_u64(&r);
        if (m->type != CERTSTORE_APPLIED || m->fd >= 0 || reader_finish(&r) < 0)
                return rs_fail(err, PROTOCOL, "the service answers with message %u", m->type);
        *ret_version = version;
        return 0;
}

int apply_file(const char *path, const char *socket_path, uint64_t *ret_version, RsError *err) {
        _cleanup_(channel_freep) Channel *c = NULL;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        _cleanup_(freep) uint8_t *data = NULL;
        _cleanup_(closep) int fd = -EBADF;
        Message m = { .fd = -EBADF };
        size_t size;
        int r;

        r = file_read(AT_FDCWD, path, TRUST_SET_CMS_MAX, &data, &size, err);
        if (r == 0 || (r > 0 && size == 0))
                return rs_fail(err, NOT_FOUND, "%s: no such file, or empty", path);
        if (r < 0)
                return r;
        r = memfd_sealed("trust-set", SPAN(data, size), &fd, err);
        if (r < 0)
                return r;
        r = connect_to(socket_path, &c, err);
        if (r < 0)
                return r;
        encoder_u32(&e, (uint32_t) size);
        if (encoder_finish(&e) < 0)
                return rs_fail_oom(err);
        r = channel_send(c, CERTSTORE_APPLY, 1, encoder_view(&e), fd, err);
        if (r == 0)
                r = channel_receive(c, &m, err);
        if (r < 0)
                return r;
        r = take_answer(&m, ret_version, err);
        closep(&m.fd);
        return r;
}
