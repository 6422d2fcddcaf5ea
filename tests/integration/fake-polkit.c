/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fake-polkit - an authority with one answer, for tests of src/reseald/bus-access.c.
 *
 *   fake-polkit yes|no|challenge|error|garbage|silent
 *
 * Owns org.freedesktop.PolicyKit1 on the bus of DBUS_SYSTEM_BUS_ADDRESS, prints "ready", then one line for each question:
 * "SUBJECT-KIND ACTION".  Until it is killed.
 */
#include <stdio.h>
#include <string.h>

#include <systemd/sd-bus.h>

static int check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *answer = userdata, *kind, *key, *name, *action;

        if (sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action) < 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "not a question");
        printf("%s %s\n", kind, action);
        (void) fflush(stdout);
        if (strcmp(answer, "silent") == 0)
                return 0;
        if (strcmp(answer, "error") == 0)
                return sd_bus_error_set(error, "org.freedesktop.PolicyKit1.Error.Failed", "cannot say");
        if (strcmp(answer, "garbage") == 0)
                return sd_bus_reply_method_return(m, "s", "yes");
        return sd_bus_reply_method_return(m, "(bba{ss})", strcmp(answer, "yes") == 0, strcmp(answer, "challenge") == 0, 0);
}

/* The signatures are checked by hand, so that an answer of another form can be given. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (!sd_bus_message_is_method_call(m, "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"))
                return 0;
        int r = check(m, userdata, error);
        return r < 0 ? sd_bus_reply_method_error(m, error) : 1;
}

int main(int argc, char **argv) {
        sd_bus *bus = NULL;

        if (argc != 2)
                return 2;
        int r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_add_object(bus, NULL, "/org/freedesktop/PolicyKit1/Authority", on_message, argv[1]);
        if (r >= 0)
                r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0);
        if (r >= 0)
                puts("ready");
        (void) fflush(stdout);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        (void) sd_bus_unref(bus);
        return 1;
}
