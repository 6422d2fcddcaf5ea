/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * replay-proof - is a slot what the boot would start, by other readers than the writer's?
 *
 * Spec:     docs/boot.md, "Initramfs"
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   what does not prove fails the test
 * Context:  one thread
 * Programs: tests/power/replay
 */
#include "device.h"

/* boot: 0 for A, 1 for B */
void assert_slot_proves(TestDevice *d, unsigned boot, const TestRelease *r);
