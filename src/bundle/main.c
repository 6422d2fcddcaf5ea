/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reseal-bundle - makes and looks at bundles.
 *
 *   user           the release engineer or the build server
 *   capabilities   none
 *   hostile input  bundles given to sign, info, verify and extract
 *   holds          the content key of a build (Secret); the signing key stays where its URI says
 *   never          talks to a network, a device or a TPM
 *
 * Exit status: 0 done, 1 failed with a reason, 2 wrong usage.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/ossl.h>
#include <reseal/base/secret.h>

#include "commands.h"
#include "term.h"

static const struct {
        const char *name;
        int (*run)(int argc, char **argv, RsError *err);
        const char *what;
} commands[] = {
        { "build", command_build, "make a bundle from images, sign and encrypt it" },
        { "sign", command_sign, "put a signature, or another one, onto a bundle" },
        { "attach", command_attach, "put signer links and revocation lists into a bundle" },
        { "info", command_info, "show what a bundle says about itself" },
        { "verify", command_verify, "check signature, tables, every frame and every root" },
        { "extract", command_extract, "write the manifest or an image to a file" },
        { "record", command_record, "check what the TPM of a device certifies of its record" },
        { "ceremony", command_ceremony, "the steps that make a signer, a link or a trust set" },
};

void remark(const char *format, ...) {
        va_list ap;

        (void) fputs("reseal-bundle: ", stderr);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
}

int usage_error(const char *command, const char *format, ...) {
        va_list ap;

        (void) fprintf(stderr, "reseal-bundle %s: ", command);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fprintf(stderr, "\nTry 'reseal-bundle %s --help'.\n", command);
        return EXIT_USAGE;
}

int usage_error_getopt(const char *command, int c, char **argv) {
        if (c == ':')
                return usage_error(command, "option '%s' needs an argument", argv[optind - 1]);
        return usage_error(command, "option '%s' is not known, ambiguous or takes no argument",
                           argv[optind - 1]);
}

static void help(FILE *f) {
        (void) fputs("Usage: reseal-bundle [--openssl-config FILE] COMMAND [options]\n\nCommands:\n", f);
        for (unsigned i = 0; i < ELEMENTSOF(commands); i++)
                (void) fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].what);
        (void) fputs("\n'reseal-bundle COMMAND --help' tells the options, reseal-bundle(1) the rest.\n", f);
}

static int finish(int r, const RsError *err) {
        if (r == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
                remark("standard output: cannot be written");
                return EXIT_FAILURE;
        }
        if (r >= 0)
                return r;
        (void) fprintf(stderr, "reseal-bundle: %s%s%s: %s\n", term_bad(stderr), rs_reason_name(err->reason),
                       term_plain(stderr), err->text[0] ? err->text : rs_reason_text(err->reason));
        return EXIT_FAILURE;
}

int main(int argc, char **argv) {
        RsError err = RS_ERROR_INIT;

        if (ossl_program(&err) < 0)
                return finish(-1, &err);
        if (argc > 2 && strcmp(argv[1], "--openssl-config") == 0) {
                if (ossl_read_config(argv[2], &err) < 0)
                        return finish(-1, &err);
                argc -= 2;
                argv += 2;
        }
        if (argc < 2) {
                help(stderr);
                return EXIT_USAGE;
        }
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
                help(stdout);
                return finish(0, &err);
        }
        if (strcmp(argv[1], "--version") == 0) {
                (void) puts("reseal-bundle " RS_VERSION);
                return finish(0, &err);
        }
        interrupt_install();
        opterr = 0;
        for (unsigned i = 0; i < ELEMENTSOF(commands); i++)
                if (strcmp(argv[1], commands[i].name) == 0)
                        return finish(commands[i].run(argc - 1, argv + 1, &err), &err);
        (void) fprintf(stderr, "reseal-bundle: unknown command '%s'\nTry 'reseal-bundle --help'.\n", argv[1]);
        return EXIT_USAGE;
}
