/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-access - may this caller do that?  (T40)
 *
 * Asked for each call that makes the device fetch, write or switch anything, without ever waiting: the
 * request is kept, the bus driver is asked who the sender is, polkit whether he may, and only then the method
 * goes on.
 *
 *   root, or the daemon's own user    may
 *   the health check                  may look at a bundle (inspect), to see whether the source is there
 *   otherwise polkit is there         its answer counts, and nothing else
 *   otherwise                         members of group reseal-operator may, nobody else
 *
 * The bus policy (conf/org.reseal1.conf) keeps everyone but root and the operators from sending these calls
 * in the first place; the two fences are independent.  The sender is identified by his unique name, which the
 * bus never reuses: who disconnects while polkit thinks cannot be impersonated.  Unknown answers, timeouts
 * and errors deny.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>

#include "journal.h"
#include "manager.h"

#define CHECKS_MAX 128u
#define INTERACTIVE_TIMEOUT_USEC (120 * UINT64_C(1000000))
#define DRIVER_TIMEOUT_USEC (10 * UINT64_C(1000000))

typedef struct Check {
        Manager *manager;
        sd_bus_message *request;
        char action[64];
        AccessGranted fn;
        uint32_t uid;
        bool is_operator;
} Check;

static int check_end(Check *c, bool granted) {
        Manager *m = c->manager;
        RsError err = RS_ERROR_INIT;
        int r;

        if (granted)
                r = c->fn(m, c->request);
        else {
                (void) rs_fail(&err, ACCESS, "%s is not permitted to uid %u", c->action, c->uid);
                journal_send(JOURNAL_ACCESS_DENIED, &(JournalFields){ .error = &err },
                             "Denied %s to uid %u, ignoring the request", c->action, c->uid);
                r = bus_reply_error(c->request, &err);
        }
        if (r < 0) {
                err = RS_ERROR_INIT;
                (void) rs_fail(&err, INTERNAL, "%s", strerror(-r));
                (void) bus_reply_error(c->request, &err);
        }
        m->n_checks--;
        (void) sd_bus_message_unref(c->request);
        free(c);
        return 0;
}

static int on_polkit(sd_bus_message *answer, void *userdata, sd_bus_error *unused) {
        Check *c = userdata;
        int authorized = 0, challenge = 0;

        (void) unused;
        const sd_bus_error *e = sd_bus_message_get_error(answer);
        if (e) {
                bool absent = sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                              sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
                return check_end(c, absent && c->is_operator);
        }
        if (sd_bus_message_enter_container(answer, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(answer, "bb", &authorized, &challenge) < 0)
                return check_end(c, false);
        return check_end(c, authorized);
}

static int ask_polkit(Check *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *q = NULL;
        bool interactive = sd_bus_message_get_allow_interactive_authorization(c->request) > 0;

        int r = sd_bus_message_new_method_call(c->manager->bus, &q, "org.freedesktop.PolicyKit1",
                                               "/org/freedesktop/PolicyKit1/Authority",
                                               "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(q, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(c->request), c->action);
        if (r >= 0)
                r = sd_bus_message_append(q, "a{ss}us", 0, interactive ? 1u : 0u, "");
        if (r >= 0)
                r = sd_bus_call_async(c->manager->bus, NULL, q, on_polkit, c, INTERACTIVE_TIMEOUT_USEC);
        return r < 0 ? check_end(c, false) : 0;
}

static int read_groups(Check *c, sd_bus_message *m) {
        uint32_t gid;
        int r = sd_bus_message_enter_container(m, 'v', "au");

        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "u");
        while (r >= 0 && (r = sd_bus_message_read(m, "u", &gid)) > 0)
                if (c->manager->operator_gid != UINT_MAX && gid == c->manager->operator_gid)
                        c->is_operator = true;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r;
}

/* 1 = the user is known */
static int read_credentials(Check *c, sd_bus_message *m) {
        bool has_uid = false;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;
                r = sd_bus_message_read(m, "s", &key);
                if (r >= 0 && strcmp(key, "UnixUserID") == 0) {
                        r = sd_bus_message_read(m, "v", "u", &c->uid);
                        has_uid = r >= 0;
                } else if (r >= 0 && strcmp(key, "UnixGroupIDs") == 0)
                        r = read_groups(c, m);
                else if (r >= 0)
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : has_uid;
}

static int on_credentials(sd_bus_message *answer, void *userdata, sd_bus_error *unused) {
        Check *c = userdata;

        (void) unused;
        if (sd_bus_message_get_error(answer) || read_credentials(c, answer) <= 0)
                return check_end(c, false);
        if (c->uid == 0 || c->uid == geteuid() ||
            (c->uid == c->manager->health_uid && strcmp(c->action, "org.reseal1.inspect") == 0))
                return check_end(c, true);
        return ask_polkit(c);
}

int access_check(Manager *m, sd_bus_message *request, const char *action, AccessGranted fn) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *q = NULL;
        const char *sender = sd_bus_message_get_sender(request);
        RsError err = RS_ERROR_INIT;

        if (!sender || m->n_checks >= CHECKS_MAX) {
                (void) rs_fail(&err, BUSY, "%s", sender ? "too many requests at a time" : "a request without a sender");
                return bus_reply_error(request, &err);
        }
        Check *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Check){ .manager = m, .request = sd_bus_message_ref(request), .fn = fn, .uid = UINT32_MAX };
        (void) snprintf(c->action, sizeof(c->action), "%s", action);
        m->n_checks++;

        int r = sd_bus_message_new_method_call(m->bus, &q, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                               "org.freedesktop.DBus", "GetConnectionCredentials");
        if (r >= 0)
                r = sd_bus_message_append(q, "s", sender);
        if (r >= 0)
                r = sd_bus_call_async(m->bus, NULL, q, on_credentials, c, DRIVER_TIMEOUT_USEC);
        if (r < 0)
                return check_end(c, false);
        return 1;
}
