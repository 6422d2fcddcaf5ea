/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * program - the first act of every program on a device: what it lets in from its environment.
 *
 * Spec:     docs/dependencies.md, "What of the machine reaches a library"
 * Trust:    the environment belongs to whoever starts the program; libraries read some hundred names from it
 * Owns:     nothing
 * Units:    none
 * Errors:   none
 * Context:  first in main(), before any thread and any library; then ossl_program(), where OpenSSL is used
 * Programs: all on a device.  Tools of a build host keep their user's environment, which their tokens want; the token
 *           plugin is a guest in its process
 */

void program_environment(void);
