/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * journal - the events of reseal-writer.
 *
 * Spec:     STYLE 11; systemd/reseal.catalog has one entry per id
 * Trust:    none
 * Owns:     nothing
 * Units:    none
 * Errors:   none
 * Context:  constants only
 * Programs: reseal-writer
 */
#include <reseal/ipc/journal.h>

#define MESSAGE_WRITER_STEP "ff3fa756caf241bdb05af159bb29a1a4"
#define MESSAGE_WRITER_ACCEPTED "cb3345f5f03740c89d224f5a907d4ef5"
#define MESSAGE_WRITER_INSTALLED "d6ddb68586fe4a90a0e3d5b2509bc09d"
#define MESSAGE_WRITER_REFUSED "3d34af36bc7041529908b10b8ccd99cc"
#define MESSAGE_WRITER_VIOLATION "0679b0b39b3f4a5f92efb26d77a3931a"
#define MESSAGE_WRITER_MARKED "3beb7931cb684739a2f9f5b9a47c1d93"
#define MESSAGE_WRITER_BELOW "3a23cd19c1ce4f84b97b80592e3c8b9c"
#define MESSAGE_WRITER_REJECTED "9d74b20e3acfb219d5a2900cbf4fb645"
#define MESSAGE_WRITER_EVIDENCE "c5d0b0a1f6a84d0f9f0f4e0a7a5c2d19"
#define MESSAGE_WRITER_TRUST_SET "3dc4ac772825347ba06a877db19a2adc"
#define MESSAGE_WRITER_SIGNER_REVOKED "09f4143b1e404cf5ac4cdfd21682664f"
#define MESSAGE_WRITER_RUNNING_BELOW "18297bd37f6e472e88ea595daa50ea4e"
#define MESSAGE_WRITER_SANDBOX "21a507180e9a4800abe6b827a584c593"
