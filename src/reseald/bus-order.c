/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-order - what a caller may say about an installation, and in which form.
 *
 *   Install, Inspect, Check   source: an https address.  Option "ticket" s: address of the ticket.
 *   InstallFd                 source: a descriptor.  Option "ticket": an address (s), the bytes (ay) or another
 *                             descriptor (h).  Option "name" s: what is shown as Source, behind "file:".
 *
 * An unknown option, one given twice and one of another type are refused: a misspelt "ticket" must not
 * silently mean "none".  Descriptors are looked at (kind, access mode) but not read here: that may wait.
 */
#include <string.h>

#include <reseal/base/cleanup.h>

#include "order.h"

#define NAME_MAX_SHOWN 255u

static int take_text(sd_bus_message *request, const char *option, const char **ret, RsError *err) {
        if (*ret && (*ret)[0])
                return rs_fail(err, INVALID, "unknown or repeated option %.40s", option);
        if (sd_bus_message_read(request, "v", "s", ret) < 0)
                return rs_fail(err, INVALID, "option %s is a string", option);
        if (!(*ret)[0])
                return rs_fail(err, INVALID, "option %s is empty", option);
        return 0;
}

static int take_ticket_bytes(sd_bus_message *request, JobRequest *o, RsError *err) {
        const void *data;
        size_t size;
        int r = sd_bus_message_enter_container(request, 'v', "ay");

        if (r >= 0)
                r = sd_bus_message_read_array(request, 'y', &data, &size);
        if (r >= 0)
                r = sd_bus_message_exit_container(request);
        if (r < 0 || size == 0)
                return rs_fail(err, INVALID, "option ticket holds no bytes");
        if (size > RS_TICKET_MAX)
                return rs_fail(err, TOO_MUCH, "a ticket of %zu bytes", size);
        o->ticket = SPAN(data, size);
        return 0;
}

static int take_ticket(Manager *m, sd_bus_message *request, bool by_fd, JobRequest *o, RsError *err) {
        const char *type = NULL;

        if ((o->ticket_url && o->ticket_url[0]) || o->ticket.size || o->ticket_fd >= 0)
                return rs_fail(err, INVALID, "unknown or repeated option ticket");
        if (sd_bus_message_peek_type(request, NULL, &type) <= 0 || !type)
                return rs_fail(err, INVALID, "options cannot be read");
        if (by_fd && strcmp(type, "ay") == 0)
                return take_ticket_bytes(request, o, err);
        if (by_fd && strcmp(type, "h") == 0) {
                if (sd_bus_message_read(request, "v", "h", &o->ticket_fd) < 0)
                        return rs_fail(err, INVALID, "option ticket has no descriptor");
                return fd_check(o->ticket_fd, err);
        }
        int r = take_text(request, "ticket", &o->ticket_url, err);
        return r < 0 ? r : https_check_url(&m->config.https, o->ticket_url, err);
}

static int take_name(sd_bus_message *request, const char **ret, RsError *err) {
        int r = take_text(request, "name", ret, err);

        if (r < 0)
                return r;
        if (strlen(*ret) > NAME_MAX_SHOWN)
                return rs_fail(err, INVALID, "a name of more than %u bytes", NAME_MAX_SHOWN);
        for (const char *p = *ret; *p; p++)
                if ((unsigned char) *p < 0x20 || (unsigned char) *p > 0x7e)
                        return rs_fail(err, INVALID, "the name holds what cannot be shown");
        return 0;
}

static int read_options(Manager *m, sd_bus_message *request, bool by_fd, JobRequest *o, RsError *err) {
        int r = sd_bus_message_enter_container(request, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(request, 'e', "sv")) > 0) {
                const char *key;
                r = sd_bus_message_read(request, "s", &key);
                if (r < 0)
                        break;
                if (strcmp(key, "ticket") == 0)
                        r = take_ticket(m, request, by_fd, o, err);
                else if (by_fd && strcmp(key, "name") == 0)
                        r = take_name(request, &o->name, err);
                else
                        r = rs_fail(err, INVALID, "unknown or repeated option %.40s", key);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(request);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(request);
        return r < 0 ? rs_fail(err, INVALID, "options cannot be read") : 0;
}

int order_read_url(Manager *m, sd_bus_message *request, JobRequest *ret, RsError *err) {
        JobRequest o = JOB_REQUEST_INIT;

        if (sd_bus_message_rewind(request, true) < 0 || sd_bus_message_read(request, "s", &o.url) < 0)
                return rs_fail(err, INVALID, "source is a string");
        int r = https_check_url(&m->config.https, o.url, err);
        if (r >= 0)
                r = read_options(m, request, false, &o, err);
        if (r < 0)
                return r;
        o.owner = sd_bus_message_get_sender(request);
        *ret = o;
        return 0;
}

int order_read_fd(Manager *m, sd_bus_message *request, JobRequest *ret, RsError *err) {
        JobRequest o = JOB_REQUEST_INIT;

        if (sd_bus_message_rewind(request, true) < 0 || sd_bus_message_read(request, "h", &o.bundle_fd) < 0)
                return rs_fail(err, INVALID, "fd is a descriptor");
        int r = fd_check(o.bundle_fd, err);
        if (r >= 0)
                r = read_options(m, request, true, &o, err);
        if (r < 0)
                return r;
        o.owner = sd_bus_message_get_sender(request);
        *ret = o;
        return 0;
}
