/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hostile-daemon - a reseald that was taken over and writes to the terminal of whoever asks it (threat T26).
 *
 * Owns org.reseal1 on the bus of DBUS_SYSTEM_BUS_ADDRESS, prints "ready", and answers every call with text that a
 * terminal obeys: escape sequences, C1 controls, marks that turn the direction of writing; as names, keys and values,
 * in errors and signals.  Until it is killed.
 */
#include <stdio.h>
#include <string.h>

#include <systemd/sd-bus.h>

#define TRAP "\033]0;owned\007\033[2Jx\302\2332J\342\200\256y\rz\177"

static int append_entry(sd_bus_message *m, const char *key, const char *type, const char *value) {
        return sd_bus_message_append(m, "{sv}", key, type, value);
}

static int append_dictionary(sd_bus_message *m) {
        static const char *const keys[] = { TRAP, "State", "Step", "Source", "Text", "Result", "version", "report",
                                            "boot-name", "type", "Line", "Version", "BootedSlot", "PrimarySlot", "reason",
                                            "file", "section", "key", "value" };
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        for (size_t i = 0; r >= 0 && i < sizeof(keys) / sizeof(*keys); i++)
                r = append_entry(m, keys[i], "s", TRAP);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "Compatible", "as", 2, TRAP, TRAP, "purposes", "as", 1, TRAP,
                                          "release", "t", UINT64_C(7), "failed", "b", 1);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_named(sd_bus_message *m) {
        int r = sd_bus_message_open_container(m, 'a', "(sa{sv})");

        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", TRAP);
        if (r >= 0)
                r = append_dictionary(m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_list(sd_bus_message *m) {
        int r = sd_bus_message_open_container(m, 'a', "a{sv}");

        if (r >= 0)
                r = append_dictionary(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_chain(sd_bus_message *m) {
        int r = append_dictionary(m);

        if (r >= 0)
                r = append_dictionary(m);
        if (r >= 0)
                r = append_list(m);
        return r < 0 ? r : append_dictionary(m);
}

static int answer(sd_bus_message *m, sd_bus_message *reply) {
        const char *member = sd_bus_message_get_member(m);

        if (strcmp(member, "GetAll") == 0 || strcmp(member, "Check") == 0 || strcmp(member, "Inspect") == 0)
                return append_dictionary(reply);
        if (strcmp(member, "ListSlots") == 0 || strcmp(member, "GetKeys") == 0)
                return append_named(reply);
        if (strcmp(member, "ListJobs") == 0)
                return sd_bus_message_append(reply, "a(os)", 1, "/org/reseal1/job/1", TRAP);
        if (strcmp(member, "GetChain") == 0)
                return append_chain(reply);
        if (strcmp(member, "GetPolicy") == 0)
                return append_list(reply);
        if (strcmp(member, "Install") == 0)
                return sd_bus_message_append(reply, "o", "/org/reseal1/job/1");
        if (strcmp(member, "Mark") == 0 || strcmp(member, "CertifyRecord") == 0)
                return sd_bus_message_append(reply, "s", TRAP); /* bytes are expected of the second */
        return 0;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        sd_bus *bus = sd_bus_message_get_bus(m);
        sd_bus_message *reply = NULL;
        int r;

        (void) userdata;
        if (sd_bus_message_is_method_call(m, NULL, "Cancel"))
                return sd_bus_reply_method_errorf(m, "org.reseal1.Error.Io", "%s", TRAP);
        if (sd_bus_message_is_method_call(m, NULL, "ImportCrl"))
                return sd_bus_error_set(error, "org.reseal1.Error.NoSuchWord", TRAP);
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = answer(m, reply);
        if (r >= 0)
                r = sd_bus_send(bus, reply, NULL);
        if (r >= 0 && sd_bus_message_is_method_call(m, NULL, "GetAll"))
                r = sd_bus_emit_signal(bus, "/org/reseal1", "org.reseal1.Manager", "JobRemoved", "uos", 1,
                                       "/org/reseal1/job/1", TRAP);
        (void) sd_bus_message_unref(reply);
        return r < 0 ? r : 1;
}

int main(void) {
        sd_bus *bus = NULL;
        int r = sd_bus_open_system(&bus);

        if (r >= 0)
                r = sd_bus_add_fallback(bus, NULL, "/org/reseal1", on_message, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, "org.reseal1", 0);
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
