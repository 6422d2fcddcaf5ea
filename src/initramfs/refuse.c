/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * refuse - the last thing before a restart, and the first after it.
 *
 * Which loader there is says [boot] of writer.conf.  It is read apart from the rest, since what cannot be read there
 * may be why the slot was refused.  No disk is written here: efivarfs is the firmware's memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/boot/hand-over.h>

#include "refuse.h"

#define CMDLINE_MAX 65536u
#define TRIAL "reseal.trial"

static int on_key(void *userdata, const char *section, const char *key, const char *value, RsError *err) {
        RsError ignored = RS_ERROR_INIT; /* the writer judges it */

        (void) err;
        if (strcmp(section, "boot") == 0)
                (void) boot_config_set(userdata, key, value, &ignored);
        return 1;
}

/* The loader says so and counts it, whatever it is. */
static bool is_trial(void) {
        _cleanup_(freep) uint8_t *cmdline = NULL;
        RsError ignored = RS_ERROR_INIT;
        char *rest, *word;
        size_t size;

        if (file_read(AT_FDCWD, "/proc/cmdline", CMDLINE_MAX, &cmdline, &size, &ignored) <= 0)
                return false;
        rest = (char *) cmdline; /* file_read ends it with a zero byte */
        while ((word = strsep(&rest, " \t\n")))
                if (strcmp(word, TRIAL) == 0)
                        return true;
        return false;
}

void refuse(const char *config_path, const char *boot_name, RsReason reason, char ret_words[128]) {
        _cleanup_(boot_config_done) BootConfig boot = { 0 };
        RsError unread = RS_ERROR_INIT, failed = RS_ERROR_INIT, unsaid = RS_ERROR_INIT;
        char next[BOOT_NAME_MAX] = "";
        int r = 0;

        if (boot_name)
                (void) hand_over_leave(RS_PATH_EFIVARS, boot_name, reason, &unsaid);
        (void) config_read(config_path, on_key, &boot, &unread);
        if (!is_trial())
                r = hand_over(&boot, RS_PATH_EFIVARS, next, &failed);
        if (r > 0)
                (void) snprintf(ret_words, 128, "slot %s is started next.", next);
        else if (r < 0)
                (void) snprintf(ret_words, 128, "no other slot can be named to the bootloader: %.60s", failed.text);
        else
                (void) snprintf(ret_words, 128, "the bootloader decides what is started next.");
}

void refuse_tell(void) {
        _cleanup_(closep) int fd = -EBADF;
        char text[HAND_OVER_TEXT_MAX], words[HAND_OVER_TEXT_MAX * 4], line[HAND_OVER_TEXT_MAX * 4 + 64];
        RsError ignored = RS_ERROR_INIT;
        int n;

        if (hand_over_take(RS_PATH_EFIVARS, text, &ignored) <= 0)
                return;
        (void) file_replace(AT_FDCWD, RS_PATH_REFUSED, SPAN(text, strlen(text)), 0644, &ignored);
        for (char *p = text; *p != '\0'; p++)
                *p = *p == '\n' ? ' ' : *p;
        (void) text_escape(SPAN(text, strlen(text)), words, sizeof(words));
        n = snprintf(line, sizeof(line), "<4>reseal-unlock: refused at an earlier start: %s\n", words);
        fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0 && n > 0 && write(fd, line, (size_t) n) < 0)
                return; /* no log, no line */
}
