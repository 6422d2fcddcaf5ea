/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection to the service.  Errors of the bus become an RsError again: org.reseal1.Error.X is reason X, so the
 * exit code and the printed reason are those of the table, whichever process refused.
 */
#include <stdarg.h>
#include <string.h>

#include "resealctl.h"

/* Authorization may ask a person; an inspection waits for a server. */
#define CALL_TIMEOUT_USEC (120ull * 1000 * 1000)

int client_open(Client *c, const Options *options, RsError *err) {
        c->options = options;
        int r = sd_bus_open_system(&c->bus);
        if (r < 0)
                return rs_fail(err, CONNECT, "system bus: %s", strerror(-r));
        r = sd_event_default(&c->event);
        if (r >= 0)
                r = sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0) {
                client_done(c);
                return rs_fail(err, INTERNAL, "event loop: %s", strerror(-r));
        }
        return 0;
}

void client_done(Client *c) {
        c->bus = sd_bus_flush_close_unref(c->bus);
        c->event = sd_event_unref(c->event);
}

static int fail_unreachable(Client *c, RsError *err, const char *what, const char *why) {
        c->unreachable = true;
        return rs_fail(err, CONNECT, "%s: %s", what, why);
}

int client_fail(Client *c, RsError *err, int r, const sd_bus_error *error, const char *what) {
        static const char *const GONE[] = {
                SD_BUS_ERROR_SERVICE_UNKNOWN,
                SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                SD_BUS_ERROR_NO_REPLY,
                SD_BUS_ERROR_DISCONNECTED,
        };

        if (r == -ENOTCONN || r == -ECONNRESET || r == -ETIMEDOUT)
                return fail_unreachable(c, err, what, "the bus does not answer");
        if (!sd_bus_error_is_set(error))
                return rs_fail(err, INTERNAL, "%s: %s", what, strerror(r < 0 ? -r : EIO));
        if (strncmp(error->name, RS_BUS_ERROR_PREFIX, strlen(RS_BUS_ERROR_PREFIX)) == 0) {
                RsReason reason = rs_reason_from_name(error->name + strlen(RS_BUS_ERROR_PREFIX));
                if (reason != RS_REASON_NONE)
                        return rs_fail_at(err, reason, __func__, __LINE__, "%s", error->message ? error->message : "");
        }
        for (size_t i = 0; i < ELEMENTSOF(GONE); i++)
                if (sd_bus_error_has_name(error, GONE[i]))
                        return fail_unreachable(c, err, "the service does not answer", error->message);
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED) ||
            sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                return rs_fail(err, ACCESS, "%s: %s", what, error->message);
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                return rs_fail(err, STATE, "there is no such job, or it has ended");
        if (sd_bus_error_has_name(error, SD_BUS_ERROR_INVALID_ARGS))
                return rs_fail(err, INVALID, "%s: %s", what, error->message);
        return rs_fail(err, INTERNAL, "%s: %s: %s", what, error->name, error->message);
}

int exit_code_of(const Client *c, const RsError *err) {
        if (c->unreachable)
                return EXIT_NO_SERVICE;
        if (err->reason == RS_REASON_ACCESS)
                return EXIT_NO_ACCESS;
        if (err->reason == RS_REASON_BUSY)
                return EXIT_SERVICE_BUSY;
        return EXIT_FAILED;
}

int client_call(Client *c, const char *path, const char *interface, const char *method, json_t **ret, RsError *err,
                const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *request = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_message_new_method_call(c->bus, &request, RS_BUS_NAME, path, interface, method);

        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(request, true);
        if (r >= 0 && types) {
                va_list ap;
                va_start(ap, types);
                r = sd_bus_message_appendv(request, types, ap);
                va_end(ap);
        }
        if (r < 0)
                return rs_fail(err, INVALID, "%s: %s", method, strerror(-r));
        r = sd_bus_call(c->bus, request, CALL_TIMEOUT_USEC, &error, &reply);
        if (r < 0)
                return client_fail(c, err, r, &error, method);
        return ret ? bus_read_json_all(reply, ret, err) : 0;
}

int client_call_bytes(Client *c, const char *method, const void *bytes, size_t size, json_t **ret, RsError *err) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *request = NULL, *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_message_new_method_call(c->bus, &request, RS_BUS_NAME, RS_BUS_PATH, RS_BUS_IFACE_MANAGER,
                                               method);

        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(request, true);
        if (r >= 0)
                r = sd_bus_message_append_array(request, 'y', bytes, size);
        if (r < 0)
                return rs_fail(err, INVALID, "%s: %s", method, strerror(-r));
        r = sd_bus_call(c->bus, request, CALL_TIMEOUT_USEC, &error, &reply);
        if (r < 0)
                return client_fail(c, err, r, &error, method);
        return bus_read_json_all(reply, ret, err);
}

int client_properties(Client *c, const char *path, const char *interface, json_t **ret, RsError *err) {
        return client_call(c, path, "org.freedesktop.DBus.Properties", "GetAll", ret, err, "s", interface);
}
