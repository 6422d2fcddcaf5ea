/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * sandbox - what this process takes from itself once it is set up.
 *
 * Spec:     DESIGN.md 2; docs/architecture.md, "Programs and rights"
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   INTERNAL
 * Context:  main thread, before the worker thread is made: threads inherit
 * Programs: reseald
 */
#include <stdbool.h>

#include "config.h"

/* *ret_partial: the kernel lacks Landlock; the system call filter is in force all the same. */
int sandbox_enter(const DaemonConfig *config, bool *ret_partial, RsError *err);
