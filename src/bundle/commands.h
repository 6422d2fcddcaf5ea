/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * commands - the six verbs of reseal-bundle and what they share.
 *
 * Spec:     docs/man/reseal-bundle.1
 * Trust:    arguments come from the operator, files from anywhere
 * Owns:     arguments are borrowed
 * Units:    none
 * Errors:   each command returns 0, EXIT_USAGE (after saying why) or a negative errno with *err filled
 * Context:  main thread
 * Programs: reseal-bundle
 */
#include <getopt.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define EXIT_USAGE 2

int command_build(int argc, char **argv, RsError *err);
int command_sign(int argc, char **argv, RsError *err);
int command_attach(int argc, char **argv, RsError *err);
int command_info(int argc, char **argv, RsError *err);
int command_verify(int argc, char **argv, RsError *err);
int command_extract(int argc, char **argv, RsError *err);
int command_record(int argc, char **argv, RsError *err);
int command_ceremony(int argc, char **argv, RsError *err);

/* Says "reseal-bundle COMMAND: ..." and where help is; returns EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What getopt_long's '?' and ':' mean, said. */
int usage_error_getopt(const char *command, int c, char **argv);
/* A remark on stderr that does not end anything. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
