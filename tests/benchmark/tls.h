/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sends `bytes` to ourselves over TLS 1.3; the caller's clock starts in handshake_done.  -1: it failed. */
int tls_receive(const uint8_t *bytes, size_t size, void (*handshake_done)(void *userdata), void *userdata);
