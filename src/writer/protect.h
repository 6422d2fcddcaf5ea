/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * protect - the slots of the running boot name become read-only block devices.
 *
 * Spec:     docs/architecture.md; systemd/reseal-writer.service, ExecStartPre
 * Trust:    writer.conf and /run/reseal/booted are root's
 * Owns:     nothing
 * Units:    none
 * Errors:   CONFIG, TARGET and those of the device; then the writer must not start
 * Context:  once, as root, before the writer; CAP_SYS_ADMIN
 * Programs: reseal-writer --protect
 */
#include "config.h"

int protect_running(const WriterConfig *c, RsError *err);
