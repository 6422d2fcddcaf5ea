/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * publish - puts a bundle where a static web server serves it.
 *
 * Spec:     docs/format-ticket.md, last paragraph: where devices look
 * Trust:    the bundle was opened and checked by offer.h; the directory is the operator's
 * Owns:     nothing
 * Units:    none
 * Errors:   IO, NO_SPACE
 * Context:  one thread; copies as fast as the disk
 * Programs: reseal-source
 */
#include <reseal/base/error.h>

/* Copies the whole of bundle_fd to DIRECTORY/NAME under a temporary name, flushed but not yet visible. */
int publish_copy(int bundle_fd, const char *directory, const char *name, RsError *err);
/* Makes it visible, atomically and durably; an older file of that name is replaced. */
int publish_show(const char *directory, const char *name, RsError *err);
/* After a failure in between. */
void publish_forget(const char *directory, const char *name);
