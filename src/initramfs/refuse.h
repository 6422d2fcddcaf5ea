/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * refuse - what follows a slot that does not start: the other one, and words for the system that comes up.
 *
 * Spec:     docs/decisions/010-a-good-slot-may-fail-to-start.md; docs/man/reseal-unlock.8
 * Trust:    the kernel command line and the variables of the firmware choose among good slots and nothing else
 * Owns:     nothing
 * Units:    none
 * Errors:   none: the machine restarts whatever fails here
 * Context:  one thread
 * Programs: initramfs
 */
#include <reseal/base/error.h>

/* The caller restarts the machine.  Returns what comes next, in words; boot_name: NULL when it is not known. */
void refuse(const char *config_path, const char *boot_name, RsReason reason, char ret_words[128]);
/* A slot was opened: what was refused before goes to /run/reseal/refused and into the kernel's log. */
void refuse_tell(void);
