/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * give FILE [KEY TYPE VALUE]...: calls InstallFd of org.reseal1 with FILE and options of type s, u, ay (a file's bytes) or
 * h (a file), in any number and order, and prints the job or the error.  What resealctl would never send, too.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <systemd/sd-bus.h>

#include <reseal/base/cleanup.h>

static int append(sd_bus_message *m, const char *key, const char *type, const char *value) {
        static char bytes[65536];

        if (strcmp(type, "s") == 0)
                return sd_bus_message_append(m, "{sv}", key, "s", value);
        if (strcmp(type, "u") == 0)
                return sd_bus_message_append(m, "{sv}", key, "u", (uint32_t) strtoul(value, NULL, 10));
        _cleanup_(closep) int fd = open(value, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (strcmp(type, "h") == 0)
                return sd_bus_message_append(m, "{sv}", key, "h", fd);
        ssize_t n = read(fd, bytes, sizeof(bytes));
        int r = n < 0 ? -errno : sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', bytes, (size_t) n);
        for (int i = 0; r >= 0 && i < 2; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int give(sd_bus *bus, char **argv, sd_bus_error *error, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        struct stat st;
        /* a FIFO only for writing would wait for a reader */
        bool write_only = argv[0][0] == '+';
        _cleanup_(closep) int fd = open(argv[0] + write_only, (write_only ? O_WRONLY : O_RDONLY) | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        int r = sd_bus_message_new_method_call(bus, &m, "org.reseal1", "/org/reseal1", "org.reseal1.Manager", "InstallFd");
        if (r >= 0)
                r = sd_bus_message_append(m, "h", fd);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (argv++; r >= 0 && argv[0] && argv[1] && argv[2]; argv += 3)
                r = append(m, argv[0], argv[1], argv[2]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_call(bus, m, 0, error, ret);
}

int main(int argc, char **argv) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path = "";

        if (argc < 2)
                return 2;
        int r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = give(bus, argv + 1, &error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                printf("%s: %s\n", error.name ? error.name : "failed", error.message ? error.message : strerror(-r));
        else
                puts(path);
        return r < 0;
}
