/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * output - a file that appears whole or not at all.
 *
 * Spec:     STYLE 10
 * Trust:    paths come from the command line
 * Owns:     an Output owns its descriptors; freed without commit, the temporary file goes
 * Units:    none
 * Errors:   IO, NO_SPACE
 * Context:  main thread; blocks on the disk
 * Programs: reseal-bundle
 */
#include <sys/types.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/error.h>

typedef struct Output Output;

/* A temporary file beside `path`, open for reading and writing; mode is subject to the umask. */
int output_open(const char *path, mode_t mode, Output **ret, RsError *err);
int output_fd(const Output *o);             /* borrowed */
int output_commit(Output *o, RsError *err); /* sync, rename over path, sync the directory */
Output *output_free(Output *o);
RS_DEFINE_CLEANUP(Output, output_free)

/* A file without a name in the directory of `path`, for what need not stay. */
int output_scratch(const char *path, int *ret_fd, RsError *err);
