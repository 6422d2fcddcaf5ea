/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * hand-over - the initramfs refuses a slot: the next one is named to the loader, and the reason is left for its system.
 *
 * Spec:     docs/decisions/010-a-good-slot-may-fail-to-start.md; docs/boot.md
 * Trust:    variables of the firmware are foreign bytes; what is left there is words, and nothing is decided by them
 * Owns:     nothing
 * Units:    none
 * Errors:   BOOT_STATE, IO, NO_MEMORY; whoever calls restarts the machine all the same
 * Context:  one thread; efivarfs must be mounted, and root asks: variables are made and removed
 * Programs: initramfs
 */
#include <reseal/boot/boot.h>

#define HAND_OVER_TEXT_MAX 128u

/*
 * efi, systemd-boot: another good slot is started next, once.  1 = *ret_next is; 0 = what comes next is the loader's
 * business: it counts (grub, uboot), this start was a trial, or no other slot is good.  efivars: where efivarfs is
 * mounted.
 */
int hand_over(const BootConfig *config, const char *efivars, char ret_next[BOOT_NAME_MAX], RsError *err);
/* For the next one that opens its slot; nothing is written when it says so already.  INVALID: no name of a slot. */
int hand_over_leave(const char *efivars, const char *slot, RsReason reason, RsError *err);
/* Takes it away: 1 = *ret_text is the text of /run/reseal/refused, 0 = nothing was left. */
int hand_over_take(const char *efivars, char ret_text[HAND_OVER_TEXT_MAX], RsError *err);
