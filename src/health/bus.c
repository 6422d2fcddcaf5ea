/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus - two questions.  The unit is asked by its path, which exists for units that are loaded or not: what is not
 * loaded is inactive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>

#include "bus.h"

bool bus_unit_is_active(sd_bus *bus, const char *unit, char state[32]) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(freep) char *path = NULL, *said = NULL;
        bool active;

        if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0 ||
            sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Unit",
                                       "ActiveState", &error, &said) < 0) {
                (void) snprintf(state, 32, "not known");
                return false;
        }
        active = strcmp(said, "active") == 0;
        (void) snprintf(state, 32, "%s", said);
        return active;
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
