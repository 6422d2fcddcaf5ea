/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - health.conf to a struct.  A file that asks for nothing is refused: it would call every release good.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define DEADLINE_MAX_SEC 86400u
#define SETTLE_MAX_SEC 3600u
#define UNIT_NAME_MAX 255u

/* The characters of a unit name (systemd.unit(5)), and a suffix. */
static bool is_unit(const char *name) {
        static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@";
        size_t n = strlen(name);

        return n <= UNIT_NAME_MAX && strspn(name, characters) == n && strchr(name, '.') && name[0] != '.';
}

static int add_units(HealthConfig *c, const char *value, RsError *err) {
        _cleanup_(freep) char *copy = strdup(value);
        char *rest = copy, *name;

        if (!copy)
                return rs_fail_oom(err);
        while ((name = strsep(&rest, " \t"))) {
                if (*name == '\0')
                        continue;
                if (!is_unit(name))
                        return rs_fail(err, CONFIG, "\"%s\" is not the name of a unit", name);
                if (c->n_units == HEALTH_UNITS_MAX)
                        return rs_fail(err, CONFIG, "more than %u units", HEALTH_UNITS_MAX);
                c->units[c->n_units] = strdup(name);
                if (!c->units[c->n_units])
                        return rs_fail_oom(err);
                c->n_units++;
        }
        return 0;
}

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        HealthConfig *c = userdata;
        int r;

        if (strcmp(section, "health") != 0)
                return 0;
        if (strcmp(key, "units") == 0)
                r = add_units(c, value, err);
        else if (strcmp(key, "checks") == 0)
                r = config_path(value, &c->checks, err);
        else if (strcmp(key, "source") == 0)
                r = config_string(value, &c->source, err);
        else if (strcmp(key, "deadline") == 0)
                r = config_seconds(value, DEADLINE_MAX_SEC, &c->deadline_usec, err);
        else if (strcmp(key, "settle") == 0)
                r = config_seconds(value, SETTLE_MAX_SEC, &c->settle_usec, err);
        else
                return 0;
        return r < 0 ? r : 1;
}

int health_config_load(const char *path, HealthConfig *ret, RsError *err) {
        _cleanup_(health_config_done) HealthConfig c = HEALTH_CONFIG_EMPTY;
        int r;

        r = config_read(path, on_key, &c, err);
        if (r < 0)
                return r;
        if (c.n_units == 0 && !c.checks && !c.source)
                return rs_fail(err, CONFIG, "%s: neither units nor checks nor source: nothing would be checked", path);
        if (c.settle_usec >= c.deadline_usec)
                return rs_fail(err, CONFIG, "%s: settle must be shorter than deadline", path);
        *ret = c;
        c = HEALTH_CONFIG_EMPTY;
        return 0;
}

void health_config_done(HealthConfig *c) {
        for (size_t i = 0; i < c->n_units; i++)
                free(c->units[i]);
        free(c->checks);
        free(c->source);
        *c = HEALTH_CONFIG_EMPTY;
}
