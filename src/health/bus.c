/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus - two questions.  The unit is asked by its path, which exists for units that are loaded or not: what is not
 * loaded is inactive.  Its start is read before and after its state, so that both are of one start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

#include "bus.h"

#define SYSTEMD "org.freedesktop.systemd1"

static bool read_invocation(sd_bus *bus, const char *path, uint8_t ret[16]) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const void *id;
        size_t size;

        if (sd_bus_get_property(bus, SYSTEMD, path, SYSTEMD ".Unit", "InvocationID", NULL, &reply, "ay") < 0 ||
            sd_bus_message_read_array(reply, 'y', &id, &size) < 0 || (size != 0 && size != 16))
                return false;
        if (size == 16) /* none: nobody has started it */
                memcpy(ret, id, 16);
        return true;
}

static bool read_start(sd_bus *bus, const char *path, UnitStart *ret) {
        *ret = (UnitStart){ 0 };
        /* What is no service has no such interface; the number stays 0. */
        (void) sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Service", "NRestarts", NULL, 'u', &ret->n_restarts);
        return read_invocation(bus, path, ret->invocation) &&
               sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveEnterTimestampMonotonic", NULL, 't',
                                           &ret->entered_usec) >= 0;
}

bool unit_start_equal(const UnitStart *a, const UnitStart *b) {
        return memcmp(a->invocation, b->invocation, sizeof(a->invocation)) == 0 && a->entered_usec == b->entered_usec &&
               a->n_restarts == b->n_restarts;
}

bool bus_unit_is_active(sd_bus *bus, const char *unit, char state[32], UnitStart *ret_start) {
        _cleanup_(freep) char *path = NULL, *said = NULL;
        UnitStart before, after;

        if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0 || !read_start(bus, path, &before) ||
            sd_bus_get_property_string(bus, SYSTEMD, path, SYSTEMD ".Unit", "ActiveState", NULL, &said) < 0 ||
            !read_start(bus, path, &after)) {
                (void) snprintf(state, 32, "not known");
                return false;
        }
        if (!unit_start_equal(&before, &after)) {
                (void) snprintf(state, 32, "just started again");
                return false;
        }
        (void) snprintf(state, 32, "%s", said);
        *ret_start = after;
        return strcmp(said, "active") == 0;
}

bool bus_check_source(sd_bus *bus, const char *source, uint64_t usec, char *why, size_t size) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, RS_BUS_NAME, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "Check");
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", source, 0);
        if (r >= 0)
                r = sd_bus_call(bus, m, usec, &error, &reply);
        if (r >= 0)
                return true;
        if (error.message)
                (void) text_escape(SPAN(error.message, strlen(error.message)), why, size);
        else
                (void) snprintf(why, size, "%s", strerror(-r));
        return false;
}
