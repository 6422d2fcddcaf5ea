/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loader-entry - what an entry file of systemd-boot says by its name.
 *
 * systemd-boot sorts entries without tries left to the end and others by name, highest number first, once sort-key and
 * version do not tell them apart; so the rank in front of the slot is the order.  It takes off an attempt by renaming
 * "+3" to "+2-1".  A counter that it cannot read is none for it: then it starts the entry without counting.  Hence only
 * one spelling is read here, the one that we and the loader write, and all others are an error.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <reseal/base/cleanup.h>
#include <reseal/boot/loader-entry.h>

#define SUFFIX ".conf"
#define SUFFIX_SIZE (sizeof(SUFFIX) - 1)
#define DIGITS_MAX 9u

bool loader_entry_prefix_is_good(const char *prefix) {
        size_t n = strlen(prefix);

        /* entries named auto-... are those that systemd-boot makes itself */
        return n > 0 && n <= LOADER_ENTRY_PREFIX_MAX && strcmp(prefix, "auto") != 0 &&
               strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789") == n;
}

/* Digits without a leading zero; false also when there is none. */
static bool take_number(const char **p, uint32_t *ret) {
        size_t n = strspn(*p, "0123456789");
        uint32_t value = 0;

        if (n == 0 || n > DIGITS_MAX || (n > 1 && **p == '0'))
                return false;
        for (size_t i = 0; i < n; i++)
                value = 10 * value + (uint32_t) ((*p)[i] - '0');
        *p += n;
        *ret = value;
        return true;
}

static bool take_char(const char **p, char c) {
        if (**p != c)
                return false;
        ++*p;
        return true;
}

static bool take_slot(const char **p, char ret[BOOT_NAME_MAX]) {
        size_t n = strcspn(*p, "+-.");

        if (n == 0 || n >= BOOT_NAME_MAX)
                return false;
        for (size_t i = 0; i < n; i++) {
                char c = (*p)[i];

                if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (i > 0 && c >= '0' && c <= '9')))
                        return false;
        }
        memcpy(ret, *p, n);
        ret[n] = '\0';
        *p += n;
        return true;
}

static bool parse_rest(const char *p, LoaderEntry *e) {
        if (!take_char(&p, '-') || !take_number(&p, &e->rank) || !take_char(&p, '-') || !take_slot(&p, e->slot))
                return false;
        if (take_char(&p, '+')) {
                e->counted = true;
                if (!take_number(&p, &e->left) || (take_char(&p, '-') && !take_number(&p, &e->done)))
                        return false;
        }
        return strcmp(p, SUFFIX) == 0;
}

int loader_entry_parse(const char *prefix, const char *file, LoaderEntry *ret, RsError *err) {
        size_t size = strlen(file), prefix_size = strlen(prefix);
        LoaderEntry e = { 0 };

        /* FAT does not tell capitals from small letters, and the loader does not either. */
        if (size < prefix_size + SUFFIX_SIZE || strncasecmp(file, prefix, prefix_size) != 0 ||
            file[prefix_size] != '-' || strcasecmp(file + size - SUFFIX_SIZE, SUFFIX) != 0)
                return 0;
        if (strncmp(file, prefix, prefix_size) != 0 || !parse_rest(file + prefix_size, &e))
                return rs_fail(err, BOOT_STATE, "%s: not the name of a loader entry of Reseal's", file);
        *ret = e;
        return 1;
}

void loader_entry_format(const char *prefix, const LoaderEntry *e, char ret[LOADER_ENTRY_FILE_MAX]) {
        char counter[2 * (DIGITS_MAX + 1) + 1] = "";

        if (e->counted && e->done > 0)
                (void) snprintf(counter, sizeof(counter), "+%u-%u", e->left % (LOADER_ENTRY_COUNT_MAX + 1),
                                e->done % (LOADER_ENTRY_COUNT_MAX + 1));
        else if (e->counted)
                (void) snprintf(counter, sizeof(counter), "+%u", e->left % (LOADER_ENTRY_COUNT_MAX + 1));
        (void) snprintf(ret, LOADER_ENTRY_FILE_MAX, "%.16s-%u-%s%s" SUFFIX, prefix, e->rank, e->slot, counter);
}

bool loader_entry_text_starts(const char *text) {
        static const char *const keys[] = { "linux", "efi" };

        for (const char *line = text; *line != '\0'; line += strcspn(line, "\r\n"), line += strspn(line, "\r\n")) {
                const char *key = line + strspn(line, " \t");
                size_t n = strcspn(key, " \t\r\n");

                for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                        if (n == strlen(keys[i]) && memcmp(key, keys[i], n) == 0)
                                return true;
        }
        return false;
}
