/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * policy - the verb policy: what the two services go by, each value with the line it is from.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "resealctl.h"

static void print_value(const Options *o, json_t *value) {
        uint64_t line = number_of(value, "line");

        printf("  %-18s ", text_of(value, "key"));
        if (flag_of(value, "set"))
                printf("%s%-44s%s ", bold(o), text_of(value, "value"), plain(o));
        else
                printf("%-44s ", "-");
        if (line > 0)
                printf("%s:%" PRIu64 "\n", text_of(value, "file"), line);
        else
                printf("%sdefault%s\n", dim(o), plain(o));
}

static bool differs(json_t *a, json_t *b, const char *key) {
        const char *x = json_string_value(json_object_get(a, key)), *y = json_string_value(json_object_get(b, key));

        return !x || !y || strcmp(x, y) != 0;
}

static void print_policy(const Options *o, json_t *policy) {
        json_t *value, *before = NULL;
        size_t i;

        json_array_foreach(policy, i, value) {
                bool other = differs(value, before, "program");

                if (other) {
                        printf("%s%s%s", i > 0 ? "\n" : "", bold(o), text_of(value, "program"));
                        printf("%s (%s)\n", plain(o), text_of(value, "file"));
                }
                if (other || differs(value, before, "section"))
                        printf("[%s]\n", text_of(value, "section"));
                print_value(o, value);
                before = value;
        }
}

int verb_policy(Client *c, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *policy = NULL;
        RsError err = RS_ERROR_INIT;

        (void) argc;
        (void) argv;
        if (client_call(c, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "GetPolicy", &policy, &err, "") < 0) {
                print_error(&err);
                return exit_code_of(c, &err);
        }
        if (c->options->json)
                print_json(policy);
        else
                print_policy(c->options, policy);
        return EXIT_OK;
}
