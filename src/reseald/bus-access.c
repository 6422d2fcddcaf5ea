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
 *
 * What waits is counted (places.h): per caller, once he is known, and before that per connection.  A message may carry
 * 16 descriptors whatever its signature says, and they live as long as it does; so what is kept is a copy, which has
 * those that the arguments name, and the message is let go of before this returns.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>

#include "journal.h"
#include "manager.h"

#define UNKNOWN_MAX 8192u               /* callers the driver is asked about: 4 of each of the 2048 that a bus has */
#define UNKNOWN_OF_ONE 4u               /* ... over one connection */
#define INTERACTIVE_TIMEOUT_USEC (120 * UINT64_C(1000000))
#define DRIVER_TIMEOUT_USEC (10 * UINT64_C(1000000))

typedef struct Check {
        struct Check *next, **link;  /* link NULL: not in the list any more, the caller is known */
        Manager *manager;
        sd_bus_message *request;     /* the copy */
        char action[64];             /* empty: anybody may */
        AccessGranted fn;
        Caller caller;
        int place;
} Check;

static void unlink_check(Check *c) {
        if (!c->link)
                return;
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        c->link = NULL;
}

static void link_check(Check *c) {
        c->next = c->manager->checks;
        c->link = &c->manager->checks;
        if (c->next)
                c->next->link = &c->next;
        c->manager->checks = c;
}

/* 0, for callbacks to return. */
static int check_free(Check *c) {
        unlink_check(c);
        (void) sd_bus_message_unref(c->request);
        free(c);
        return 0;
}

static int deny(Check *c) {
        RsError err = RS_ERROR_INIT;
        const char *what = c->action[0] ? c->action : "this";

        (void) rs_fail(&err, ACCESS, "%s is not permitted to uid %u", what, c->caller.uid);
        journal_send(JOURNAL_ACCESS_DENIED, &(JournalFields){ .error = &err },
                     "Denied %s to uid %u, ignoring the request", what, c->caller.uid);
        return bus_reply_error(c->request, &err);
}

static int check_end(Check *c, bool granted) {
        Manager *m = c->manager;
        RsError err = RS_ERROR_INIT;

        unlink_check(c);
        places_give_back(&m->places, c->place); /* for the question that may follow */
        int r = granted ? c->fn(m, c->request, &c->caller) : deny(c);
        if (r < 0) {
                err = RS_ERROR_INIT;
                (void) rs_fail(&err, INTERNAL, "%s", strerror(-r));
                (void) bus_reply_error(c->request, &err);
        }
        return check_free(c);
}

static int on_polkit(sd_bus_message *answer, void *userdata, sd_bus_error *unused) {
        Check *c = userdata;
        int authorized = 0, challenge = 0;

        (void) unused;
        const sd_bus_error *e = sd_bus_message_get_error(answer);
        if (e) {
                bool absent = sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                              sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER);
                return check_end(c, absent && c->caller.kind == CALLER_OPERATOR);
        }
        if (sd_bus_message_enter_container(answer, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(answer, "bb", &authorized, &challenge) < 0)
                return check_end(c, false);
        return check_end(c, authorized);
}

static int ask_polkit(Check *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *q = NULL;
        RsError err = RS_ERROR_INIT;

        c->place = places_take(&c->manager->places, &c->caller, &err);
        if (c->place < 0) {
                (void) bus_reply_error(c->request, &err);
                return check_free(c);
        }
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
                        c->caller.kind = CALLER_OPERATOR;
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
                        r = sd_bus_message_read(m, "v", "u", &c->caller.uid);
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
        const Manager *m = c->manager;

        (void) unused;
        if (sd_bus_message_get_error(answer) || read_credentials(c, answer) <= 0)
                return check_end(c, false);
        unlink_check(c);
        if (c->caller.uid == 0 || c->caller.uid == geteuid())
                c->caller.kind = CALLER_SYSTEM;
        else if (c->caller.uid == m->health_uid)
                c->caller.kind = CALLER_HEALTH;
        if (c->action[0] == '\0' || c->caller.kind == CALLER_SYSTEM ||
            (c->caller.kind == CALLER_HEALTH && strcmp(c->action, "org.reseal1.inspect") == 0))
                return check_end(c, true);
        return ask_polkit(c);
}

/* The same request for whoever reads its arguments or answers it. */
static int copy_request(sd_bus *bus, sd_bus_message *request, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *copy = NULL;
        uint64_t cookie;
        int r = sd_bus_message_get_cookie(request, &cookie);

        if (r >= 0)
                r = sd_bus_message_rewind(request, true);
        if (r >= 0)
                r = sd_bus_message_new_method_call(bus, &copy, RS_BUS_NAME, sd_bus_message_get_path(request),
                                                   sd_bus_message_get_interface(request),
                                                   sd_bus_message_get_member(request));
        if (r >= 0)
                r = sd_bus_message_set_sender(copy, sd_bus_message_get_sender(request));
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(copy, sd_bus_message_get_expect_reply(request));
        if (r >= 0)
                r = sd_bus_message_set_allow_interactive_authorization(
                        copy, sd_bus_message_get_allow_interactive_authorization(request) > 0);
        if (r >= 0)
                r = sd_bus_message_copy(copy, request, true);
        if (r >= 0)
                r = sd_bus_message_seal(copy, cookie, 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

static int check_unknown(const Manager *m, const char *sender, RsError *err) {
        unsigned of_one = 0, of_all = 0;

        if (!sender)
                return rs_fail(err, BUSY, "a request without a sender");
        for (const Check *c = m->checks; c; c = c->next) {
                of_one += strcmp(sd_bus_message_get_sender(c->request), sender) == 0;
                of_all++;
        }
        if (of_one >= UNKNOWN_OF_ONE || of_all >= UNKNOWN_MAX)
                return rs_fail(err, BUSY, "too many requests at a time%s", of_one ? " over one connection" : "");
        return 0;
}

static int ask_driver(Check *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *q = NULL;
        sd_bus *bus = c->manager->bus;
        int r = sd_bus_message_new_method_call(bus, &q, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                               "org.freedesktop.DBus", "GetConnectionCredentials");

        if (r >= 0)
                r = sd_bus_message_append(q, "s", sd_bus_message_get_sender(c->request));
        return r < 0 ? r : sd_bus_call_async(bus, NULL, q, on_credentials, c, DRIVER_TIMEOUT_USEC);
}

int access_check(Manager *m, sd_bus_message *request, const char *action, AccessGranted fn) {
        RsError err = RS_ERROR_INIT;

        if (check_unknown(m, sd_bus_message_get_sender(request), &err) < 0)
                return bus_reply_error(request, &err);
        Check *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (Check){ .manager = m, .fn = fn, .place = -1, .caller = { .uid = UINT32_MAX, .kind = CALLER_OTHER } };
        (void) snprintf(c->action, sizeof(c->action), "%s", action ? action : "");
        int r = copy_request(m->bus, request, &c->request);
        if (r < 0) {
                free(c);
                return r;
        }
        link_check(c);
        if (ask_driver(c) < 0)
                {
                (void) check_end(c, false);
                return 1; /* it is answered */
        }
        return 1;
}
