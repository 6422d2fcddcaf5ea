/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * apply - the other end of the socket: hands a file to the service and tells its verdict.
 *
 * Spec:     docs/man/reseal-certstore.8, "Protocol"
 * Trust:    the answer comes from the more trusted side, and is parsed strictly all the same
 * Owns:     nothing
 * Units:    none
 * Errors:   what the service said; IO, PROTOCOL, CONNECT
 * Context:  blocks
 * Programs: reseal-certstore --apply
 */
#include <stdint.h>

#include <reseal/base/error.h>

int apply_file(const char *path, const char *socket_path, uint64_t *ret_version, RsError *err);
