/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * grub-env - reading and writing GRUB's environment block.
 *
 * GRUB's own reader is lenient: it looks for the next '=' across line ends, lets a later variable override an
 * earlier one and stops without a word where the text is broken.  After a torn write that leniency is a guess,
 * and a guess may start the wrong slot.  Here a block is either one that GRUB and we read alike, or refused:
 * every line is "name=value", no name stands twice, and what follows the last line is '#' up to the end.
 *
 * Not taken from elsewhere because nothing offers it: grub-editenv is a program (the writer may not start any),
 * and it replaces the file by writing it anew.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/grub-env.h>

static const char signature[] = "# GRUB Environment Block\n";
#define SIGNATURE_SIZE (sizeof(signature) - 1)

static bool name_is_good(const char *name, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (name[i] <= ' ' || name[i] == '=' || name[i] == '#' || name[i] == '\\' || name[i] == 0x7f)
                        return false;
        return size > 0;
}

static int add(GrubEnv *e, const char *name, size_t name_size, const char *value, size_t value_size, RsError *err) {
        if (!name_is_good(name, name_size))
                return rs_fail(err, BOOT_STATE, "environment block: a line without a name");
        if (e->n_vars >= GRUB_ENV_VARS_MAX || name_size + value_size + 2 > GRUB_ENV_TEXT_MAX - e->text_size)
                return rs_fail(err, BOOT_STATE, "environment block: too many variables");
        e->vars[e->n_vars].name = (uint16_t) e->text_size;
        memcpy(e->text + e->text_size, name, name_size);
        e->text_size += (uint32_t) name_size;
        e->text[e->text_size++] = '\0';
        if (grub_env_get(e, e->text + e->vars[e->n_vars].name))
                return rs_fail(err, BOOT_STATE, "environment block: %s stands twice",
                               e->text + e->vars[e->n_vars].name);
        e->vars[e->n_vars].value = (uint16_t) e->text_size;
        memcpy(e->text + e->text_size, value, value_size);
        e->text_size += (uint32_t) value_size;
        e->text[e->text_size++] = '\0';
        e->n_vars++;
        return 0;
}

/* One "name=value\n"; the value's escapes are resolved into a buffer that is never larger than the block. */
static int parse_line(Span *rest, GrubEnv *e, RsError *err) {
        const char *p = (const char *) rest->data;
        char value[GRUB_ENV_SIZE];
        size_t name_size, at, n = 0;

        for (name_size = 0; name_size < rest->size && p[name_size] != '='; name_size++)
                if (p[name_size] == '\n')
                        return rs_fail(err, BOOT_STATE, "environment block: a line without '='");
        for (at = name_size + 1; at < rest->size && p[at] != '\n'; at++) {
                if (p[at] == '\\' && ++at >= rest->size)
                        break;
                value[n++] = p[at];
        }
        if (at >= rest->size)
                return rs_fail(err, BOOT_STATE, "environment block: the last line has no end");
        *rest = SPAN(rest->data + at + 1, rest->size - at - 1);
        return add(e, p, name_size, value, n, err);
}

/* A comment line, or the padding: then nothing is left. */
static int skip_comment(Span *rest, RsError *err) {
        const uint8_t *newline = memchr(rest->data, '\n', rest->size);
        size_t size = newline ? (size_t) (newline - rest->data) + 1 : rest->size;

        for (size_t i = 0; i < size; i++)
                if (newline ? rest->data[i] == '\\' : rest->data[i] != '#')
                        return rs_fail(err, BOOT_STATE, "environment block: broken comment or padding");
        *rest = SPAN(rest->data + size, rest->size - size);
        return 0;
}

int grub_env_parse(Span block, GrubEnv *ret, RsError *err) {
        GrubEnv e = GRUB_ENV_INIT;
        Span rest;
        int r;

        if (block.size != GRUB_ENV_SIZE)
                return rs_fail(err, BOOT_STATE, "environment block of %zu bytes, not %u", block.size, GRUB_ENV_SIZE);
        if (memcmp(block.data, signature, SIGNATURE_SIZE) != 0)
                return rs_fail(err, BOOT_STATE, "environment block without its signature");
        if (memchr(block.data, '\0', block.size))
                return rs_fail(err, BOOT_STATE, "environment block with a zero byte");
        rest = SPAN(block.data + SIGNATURE_SIZE, block.size - SIGNATURE_SIZE);
        while (rest.size > 0) {
                r = rest.data[0] == '#' ? skip_comment(&rest, err) : parse_line(&rest, &e, err);
                if (r < 0)
                        return r;
        }
        *ret = e;
        return 0;
}

const char *grub_env_get(const GrubEnv *e, const char *name) {
        for (uint32_t i = 0; i < e->n_vars; i++)
                if (strcmp(e->text + e->vars[i].name, name) == 0)
                        return e->text + e->vars[i].value;
        return NULL;
}

int grub_env_add(GrubEnv *e, const char *name, const char *value, RsError *err) {
        return add(e, name, strlen(name), value, strlen(value), err);
}

int grub_env_encode(const GrubEnv *e, uint8_t ret[GRUB_ENV_SIZE], RsError *err) {
        uint8_t block[2 * GRUB_ENV_TEXT_MAX + SIGNATURE_SIZE]; /* every byte escaped: more than fits, checked below */
        size_t n = SIGNATURE_SIZE;

        memcpy(block, signature, SIGNATURE_SIZE);
        for (uint32_t i = 0; i < e->n_vars; i++) {
                const char *name = e->text + e->vars[i].name, *value = e->text + e->vars[i].value;

                memcpy(block + n, name, strlen(name));
                n += strlen(name);
                block[n++] = '=';
                for (; *value != '\0'; value++) {
                        if (*value == '\\' || *value == '\n')
                                block[n++] = '\\';
                        block[n++] = (uint8_t) *value;
                }
                block[n++] = '\n';
        }
        if (n > GRUB_ENV_SIZE)
                return rs_fail(err, BOOT_STATE, "environment block: %zu bytes do not fit", n);
        memcpy(ret, block, n);
        memset(ret + n, '#', GRUB_ENV_SIZE - n);
        return 0;
}
