/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ceremony-options - which option means what, and which steps need or take it: two tables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/format/limits.h>

#include "ceremony-options.h"
#include "commands.h"

enum {
        O_AUTHORITY,
        O_KEY,
        O_CERT,
        O_PUBLIC,
        O_PREVIOUS,
        O_SIGNER,
        O_ENDORSER,
        O_ENDORSER2,
        O_BUNDLE,
        O_AFTER,
        O_KIND,
        O_RECOVERY,
        O_LINE,
        O_OUTPUT,
        O_FIRMWARE,
        O_SOURCE,
        O_TIME,
        O_EARLIER,
        O_RELEASE,
        O_EPOCH,
        O_DAYS,
        O_VERSION,
        O_QUORUM,
        O_LEVEL2,
        O_RESTART,
        _O_MAX,
};
#define BIT(o) (UINT32_C(1) << (o))

static const struct option long_options[] = {
        { "authority", required_argument, NULL, O_AUTHORITY },
        { "key", required_argument, NULL, O_KEY },
        { "cert", required_argument, NULL, O_CERT },
        { "public", required_argument, NULL, O_PUBLIC },
        { "previous", required_argument, NULL, O_PREVIOUS },
        { "signer", required_argument, NULL, O_SIGNER },
        { "endorser", required_argument, NULL, O_ENDORSER },
        { "endorser2", required_argument, NULL, O_ENDORSER2 },
        { "bundle", required_argument, NULL, O_BUNDLE },
        { "after", required_argument, NULL, O_AFTER },
        { "kind", required_argument, NULL, O_KIND },
        { "recovery", required_argument, NULL, O_RECOVERY },
        { "line", required_argument, NULL, O_LINE },
        { "output", required_argument, NULL, O_OUTPUT },
        { "firmware", required_argument, NULL, O_FIRMWARE },
        { "source", required_argument, NULL, O_SOURCE },
        { "time", required_argument, NULL, O_TIME },
        { "earlier", required_argument, NULL, O_EARLIER },
        { "release", required_argument, NULL, O_RELEASE },
        { "epoch", required_argument, NULL, O_EPOCH },
        { "days", required_argument, NULL, O_DAYS },
        { "set-version", required_argument, NULL, O_VERSION },
        { "quorum", required_argument, NULL, O_QUORUM },
        { "restart", required_argument, NULL, O_RESTART },
        { "level2", no_argument, NULL, O_LEVEL2 },
        { "help", no_argument, NULL, 'h' },
        { 0 },
};

static const struct {
        const char *name;
        uint32_t needs, takes;
        bool operand;
        const char *usage;
} steps[] = {
        { "certify", BIT(O_AUTHORITY) | BIT(O_KEY) | BIT(O_PUBLIC) | BIT(O_LINE) | BIT(O_RELEASE) | BIT(O_OUTPUT),
          BIT(O_EPOCH) | BIT(O_DAYS) | BIT(O_PREVIOUS) | BIT(O_EARLIER), false,
          "--authority PEM --key URI --public PEM --line L --release N [--epoch E] [--previous PEM] [--days D] "
          "[--earlier LINK]... -o PEM" },
        { "draft", BIT(O_SIGNER) | BIT(O_AUTHORITY) | BIT(O_BUNDLE) | BIT(O_OUTPUT),
          BIT(O_KIND) | BIT(O_AFTER) | BIT(O_ENDORSER) | BIT(O_ENDORSER2) | BIT(O_RECOVERY) | BIT(O_LEVEL2) |
                          BIT(O_EARLIER),
          false,
          "--signer PEM --authority PEM --bundle RSB [--kind link|bridge|genesis] [--after LINK] [--endorser PEM] "
          "[--endorser2 PEM] [--level2 --recovery PEM] [--earlier LINK]... -o LINK" },
        { "endorse", BIT(O_KEY), BIT(O_OUTPUT) | BIT(O_RECOVERY), true,
          "--key URI LINK [-o LINK] | --key URI --recovery PEM ORDER [-o ORDER]" },
        { "approve", BIT(O_KEY), BIT(O_OUTPUT) | BIT(O_RECOVERY), true,
          "--key URI LINK [-o LINK] | --key URI --recovery PEM ORDER [-o ORDER]" },
        { "possess", BIT(O_KEY), BIT(O_OUTPUT), true, "--key URI LINK [-o LINK]" },
        { "show", 0, 0, true, "LINK | TRUST-SET | ORDER" },
        { "replace",
          BIT(O_AUTHORITY) | BIT(O_PREVIOUS) | BIT(O_RECOVERY) | BIT(O_ENDORSER) | BIT(O_ENDORSER2) | BIT(O_OUTPUT), 0,
          false,
          "--previous PEM --authority PEM --recovery PEM --endorser PEM --endorser2 PEM -o ORDER" },
        { "trust-set",
          BIT(O_LINE) | BIT(O_VERSION) | BIT(O_QUORUM) | BIT(O_FIRMWARE) | BIT(O_CERT) | BIT(O_KEY) | BIT(O_OUTPUT),
          BIT(O_SOURCE) | BIT(O_TIME) | BIT(O_RECOVERY) | BIT(O_RESTART), false,
          "--line L --set-version N --quorum Q --firmware PEM [--source PEM] [--time PEM] [--recovery PEM] "
          "[--restart SECONDS] --cert PEM --key URI -o SET" },
        { "countersign", BIT(O_CERT) | BIT(O_KEY), BIT(O_OUTPUT), true, "--cert PEM --key URI SET [-o SET]" },
};

void ceremony_help(void) {
        (void) fputs("Usage: reseal-bundle ceremony STEP [options]\n\nSteps, each on the machine that holds its key:\n", stdout);
        for (unsigned i = 0; i < ELEMENTSOF(steps); i++)
                (void) printf("  %-12s %s\n", steps[i].name, steps[i].usage);
        (void) fputs("\nKeys are files or URIs of a provider (pkcs11:...). docs/keys.md tells who does what.\n", stdout);
}

static int set_number(const char *text, uint64_t max, uint64_t *ret, const char *name) {
        if (text_to_u64(text, max, ret) < 0)
                return usage_error("ceremony", "--%s: a number from 0 to %llu expected", name, (unsigned long long) max);
        return 0;
}

static int set_option(CeremonyOptions *o, int c, const char *value) {
        const char **texts[_O_MAX] = {
                [O_AUTHORITY] = &o->authority, [O_KEY] = &o->key,           [O_CERT] = &o->cert,
                [O_PUBLIC] = &o->public_key,   [O_PREVIOUS] = &o->previous, [O_SIGNER] = &o->signer,
                [O_ENDORSER] = &o->endorser,   [O_ENDORSER2] = &o->endorser2, [O_BUNDLE] = &o->bundle,
                [O_AFTER] = &o->after,         [O_KIND] = &o->kind,         [O_RECOVERY] = &o->recovery,
                [O_LINE] = &o->line,           [O_OUTPUT] = &o->output,     [O_FIRMWARE] = &o->firmware,
                [O_SOURCE] = &o->source,       [O_TIME] = &o->time,
        };

        o->given |= BIT(c);
        switch (c) {
        case O_EARLIER:
                if (o->n_earlier == CEREMONY_EARLIER_MAX)
                        return usage_error("ceremony", "more than %u earlier links", CEREMONY_EARLIER_MAX);
                o->earlier[o->n_earlier++] = value;
                return 0;
        case O_RELEASE:
                return set_number(value, INT64_MAX, &o->release, "release");
        case O_EPOCH:
                return set_number(value, INT32_MAX, &o->epoch, "epoch");
        case O_DAYS:
                return set_number(value, 36500, &o->days, "days");
        case O_VERSION:
                return set_number(value, INT64_MAX, &o->version, "set-version");
        case O_QUORUM:
                return set_number(value, 8, &o->quorum, "quorum");
        case O_RESTART:
                return set_number(value, 253402300799, &o->restart, "restart");
        case O_LEVEL2:
                o->level2 = true;
                return 0;
        default:
                *texts[c] = value;
                return 0;
        }
}

int ceremony_options(const char *step, int argc, char **argv, CeremonyOptions *ret) {
        CeremonyOptions o = { .days = 3650 };
        unsigned s;
        int c, r;

        for (s = 0; s < ELEMENTSOF(steps) && strcmp(steps[s].name, step) != 0; s++)
                ;
        if (s == ELEMENTSOF(steps))
                return usage_error("ceremony", "unknown step '%s'", step);
        while ((c = getopt_long(argc, argv, ":o:h", long_options, NULL)) >= 0) {
                if (c == 'h') {
                        (void) printf("Usage: reseal-bundle ceremony %s %s\n", step, steps[s].usage);
                        return 0;
                }
                if (c == 'o')
                        c = O_OUTPUT;
                if (c >= _O_MAX)
                        return usage_error_getopt("ceremony", c, argv);
                r = set_option(&o, c, optarg);
                if (r != 0)
                        return r;
        }
        for (unsigned i = 0; i < _O_MAX; i++) {
                if (BIT(i) & steps[s].needs & ~o.given)
                        return usage_error("ceremony", "%s needs --%s", step, long_options[i].name);
                if (BIT(i) & o.given & ~(steps[s].needs | steps[s].takes))
                        return usage_error("ceremony", "%s takes no --%s", step, long_options[i].name);
        }
        if (optind + (steps[s].operand ? 1 : 0) != argc)
                return usage_error("ceremony", steps[s].operand ? "%s: one file expected" : "%s takes no file", step);
        o.input = steps[s].operand ? argv[optind] : NULL;
        if (!o.output)
                o.output = o.input;
        *ret = o;
        return 1;
}
