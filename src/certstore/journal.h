/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - the events of reseal-certstore.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   none
 * Context:  constants only
 * Programs: reseal-certstore
 */
#include <reseal/ipc/journal.h>

#define MESSAGE_CERTSTORE_STORED "bb0ffd86b55c4a8ab910f47b8b234488"
#define MESSAGE_CERTSTORE_REFUSED "992fbc8cd1ee49edbb5022ac51b4318a"
#define MESSAGE_CERTSTORE_VIOLATION "67449743b1ae452ca35e2cde27110f70"
#define MESSAGE_CERTSTORE_SANDBOX "adbd3f5eb87f4448915d63cecf2ec869"
#define MESSAGE_CERTSTORE_STOPPED "5438d1b6cf6546be9f7498fadac7e34e"
