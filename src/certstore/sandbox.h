/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * sandbox - what the process takes away from itself before it hears a client.
 *
 * Spec:     DESIGN.md 2; docs/man/reseal-certstore.8, "Sandbox"
 * Trust:    none: the filter holds whoever runs this code later
 * Owns:     nothing
 * Units:    none
 * Errors:   IO; a kernel without Landlock is an outcome
 * Context:  main thread, the only one
 * Programs: reseal-certstore
 */
#include <reseal/base/error.h>

/* Landlock, then seccomp; store_fd: the only directory that is left. 1 = both, 0 = this kernel has no Landlock. */
int sandbox_close(int store_fd, RsError *err);
