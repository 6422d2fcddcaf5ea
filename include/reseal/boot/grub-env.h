/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * grub-env - GRUB's environment block: 1024 bytes of text with variables.
 *
 * Spec:     docs/boot.md, "GRUB"; GRUB manual, "The GRUB environment block"
 * Trust:    the block is foreign bytes: whatever GRUB and we could read differently is refused
 * Owns:     a GrubEnv is a flat value
 * Units:    bytes
 * Errors:   BOOT_STATE
 * Context:  any thread, no I/O
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/span.h>

#define GRUB_ENV_SIZE 1024u
#define GRUB_ENV_SECTOR 512u       /* what a medium writes whole or not at all */
#define GRUB_ENV_VARS_MAX 128u
#define GRUB_ENV_TEXT_MAX 2048u

typedef struct GrubEnv {
        char text[GRUB_ENV_TEXT_MAX];         /* names and values, each with its NUL */
        uint32_t text_size;
        struct {
                uint16_t name, value;         /* offsets in text */
        } vars[GRUB_ENV_VARS_MAX];
        uint32_t n_vars;
} GrubEnv;

#define GRUB_ENV_INIT ((GrubEnv){ 0 })

int grub_env_parse(Span block, GrubEnv *ret, RsError *err);
/* NULL when there is no such variable; borrowed until the next add. */
const char *grub_env_get(const GrubEnv *e, const char *name);
/* Appends; a name that is there already is refused. */
int grub_env_add(GrubEnv *e, const char *name, const char *value, RsError *err);
/* In the order of adding; BOOT_STATE when it does not fit. */
int grub_env_encode(const GrubEnv *e, uint8_t ret[GRUB_ENV_SIZE], RsError *err);
