/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * sandbox - what this process takes from itself once it is set up.
 *
 * Spec:     DESIGN.md 2; docs/architecture.md, "Programs and rights"
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   IO, INTERNAL; a kernel without Landlock is an outcome
 * Context:  main thread, before the worker thread is made: threads inherit
 * Programs: reseald
 */
#include "config.h"

/* Landlock, then seccomp. 1 = both are in force, 0 = this kernel has no Landlock (seccomp is in force). */
int sandbox_close(const DaemonConfig *config, RsError *err);
