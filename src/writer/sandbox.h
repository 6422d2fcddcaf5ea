/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * sandbox - what the process takes away from itself before it hears a client.
 *
 * Spec:     DESIGN.md 2; docs/man/reseal-writer.8, "Sandbox"
 * Trust:    none: the filter holds whoever runs this code later
 * Owns:     nothing
 * Units:    none
 * Errors:   IO, INTERNAL; a kernel without Landlock is an outcome
 * Context:  main thread, before the worker starts (filters are inherited by threads that come later)
 * Programs: reseal-writer
 */
#include "config.h"

/* Landlock, then seccomp. 1 = both are in force, 0 = this kernel has no Landlock (seccomp is in force). */
int sandbox_close(const WriterConfig *config, RsError *err);
