/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * order - the arguments of Install, InstallFd, Inspect and Check, read from the message and checked.
 *
 * Spec:     conf/org.reseal1.xml
 * Trust:    the caller is hostile; each argument is held against its cap before anything else happens
 * Owns:     an Order borrows everything from the message it was read from, descriptors too
 * Units:    bytes
 * Errors:   INVALID, SCHEME, POLICY (host not listed), TOO_MUCH
 * Context:  main thread
 * Programs: reseald
 */
#include <systemd/sd-bus.h>

#include "manager.h"

/* May be called again on the same message: it starts from the first argument. */
int order_read_url(Manager *m, sd_bus_message *request, JobRequest *ret, RsError *err);
int order_read_fd(Manager *m, sd_bus_message *request, JobRequest *ret, RsError *err);
