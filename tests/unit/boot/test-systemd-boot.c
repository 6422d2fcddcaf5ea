/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The systemd-boot back end: what the names mean, and every state that a power cut can leave on a FAT file system.
 *
 * fsync is ours.  Before each, what lies in the directory is compared with what earlier ones have made durable; of all
 * that is pending any part may be on the medium: names without content, content of single sectors, names not yet gone.
 * Each such state is laid out and read, by us and by a loader that sorts as systemd-boot does.
 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include <reseal/boot/loader-entry.h>

#define FREE BOOT_TRIES_UNCOUNTED
#define SECTOR 512u
#define TEXT 2048u
#define FILES 16u
#define NONE (-1)

typedef struct Content {
        int size; /* NONE: no such file */
        char bytes[TEXT];
} Content;

typedef struct Image {
        struct {
                char name[128];
                Content content;
        } files[FILES];
        uint32_t n;
} Image;

static struct {
        Fixture *f; /* NULL: nobody watches */
        Image durable, written; /* written: content that a flush of the file has made durable */
        BootState before, after;
        const char *never; /* a slot that must not be started in any of these states */
        bool has_after;
        unsigned n_states, n_old, n_new, n_between, n_flushes; /* n_states: of the whole test */
} watch;

static void entries(const Fixture *f, char ret[96]) {
        (void) snprintf(ret, 96, "%.64s/entries", f->directory);
}

static Content *find(Image *image, const char *name, bool add) {
        for (uint32_t i = 0; i < image->n; i++)
                if (strcmp(image->files[i].name, name) == 0)
                        return &image->files[i].content;
        if (!add)
                return NULL;
        assert_true(image->n < FILES);
        (void) snprintf(image->files[image->n].name, sizeof(image->files[0].name), "%s", name);
        image->files[image->n].content.size = NONE;
        return &image->files[image->n++].content;
}

static void look(const char *directory, Image *ret) {
        DIR *dir = opendir(directory);
        struct dirent *e;

        assert_non_null(dir);
        ret->n = 0;
        while ((e = readdir(dir))) {
                char path[512];
                Content *c;
                int fd;

                if (e->d_name[0] == '.')
                        continue;
                c = find(ret, e->d_name, true);
                (void) snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                assert_true(fd >= 0);
                c->size = (int) read(fd, c->bytes, TEXT);
                assert_true(c->size >= 0);
                (void) close(fd);
        }
        assert_int_equal(closedir(dir), 0);
}

static void lay_out(const char *directory, const Image *image) {
        Image old = { 0 };
        char path[512];

        (void) mkdir(directory, 0755);
        look(directory, &old);
        for (uint32_t i = 0; i < old.n; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", directory, old.files[i].name);
                assert_int_equal(unlink(path), 0);
        }
        for (uint32_t i = 0; i < image->n; i++)
                if (image->files[i].content.size != NONE) {
                        (void) snprintf(path, sizeof(path), "%s/%s", directory, image->files[i].name);
                        put_file(path, image->files[i].content.bytes, (size_t) image->files[i].content.size);
                }
}

/* -- a loader: v252 of systemd-boot, config_entry_compare and config_entry_bump_counters ------------------------ */

/* The name of what it starts; NULL: nothing.  Takes an attempt off in the image. */
static const char *load(Image *image, bool *ret_counted) {
        LoaderEntry entry, best = { 0 };
        uint32_t chosen = FILES;

        for (uint32_t i = 0; i < image->n; i++) {
                const Content *c = &image->files[i].content;
                char text[TEXT + 1];
                RsError err = RS_ERROR_INIT;
                int order;

                if (c->size <= 0 || loader_entry_parse("reseal", image->files[i].name, &entry, &err) <= 0)
                        continue;
                memcpy(text, c->bytes, (size_t) c->size);
                text[c->size] = '\0';
                if (!loader_entry_text_starts(text))
                        continue;
                if (chosen < FILES) {
                        order = (entry.counted && entry.left == 0) - (best.counted && best.left == 0);
                        if (order == 0)
                                order = -strverscmp(image->files[i].name, image->files[chosen].name);
                        if (order > 0)
                                continue;
                }
                chosen = i;
                best = entry;
        }
        if (chosen == FILES)
                return NULL;
        *ret_counted = best.counted;
        if (best.counted) {
                char next[LOADER_ENTRY_FILE_MAX];
                Content *there;

                best.left -= best.left > 0;
                best.done++;
                loader_entry_format("reseal", &best, next);
                there = find(image, next, false);
                /* It would start what it cannot count: for ever, if that hangs. */
                assert_true(!there || there->size == NONE);
                (void) strcpy(image->files[chosen].name, next);
        }
        return best.slot[0] == 'A' ? "A" : best.slot[0] == 'B' ? "B" : "C";
}

/* However often a trial fails to come up: a good slot is started in the end, and nothing that must not be. */
static void falls_back(const Image *from, const char *primary) {
        Image image = *from;
        bool counted = true;

        for (int n = 0; counted; n++) {
                const char *slot = load(&image, &counted);

                assert_non_null(slot);
                assert_true(n < 12);
                if (n == 0)
                        assert_string_equal(slot, primary);
                if (watch.never)
                        assert_string_not_equal(slot, watch.never);
        }
}

/* -- every state of a cut --------------------------------------------------------------------------------------- */

static bool same(const BootState *a, const BootState *b) {
        if (strcmp(a->primary, b->primary) != 0)
                return false;
        for (uint32_t i = 0; i < a->n_slots; i++)
                if (a->slots[i].good != b->slots[i].good || a->slots[i].bootable != b->slots[i].bootable ||
                    a->slots[i].tries_left != b->slots[i].tries_left)
                        return false;
        return true;
}

static void judge(const Image *image) {
        Fixture *f = watch.f;
        char directory[96];
        BootConfig config = f->config;
        char path[160];
        BootState s;
        Boot *b = NULL;

        watch.f = NULL;
        (void) snprintf(directory, sizeof(directory), "%.64s/cut", f->directory);
        (void) snprintf(path, sizeof(path), "%s/reseal", directory);
        lay_out(directory, image);
        config.path = path;
        DOES(boot_open(&config, &b, &err));
        DOES(boot_read(b, &s, &err));
        b = boot_close(b);
        watch.n_states++;
        if (same(&s, &watch.before))
                watch.n_old++;
        else if (watch.has_after && same(&s, &watch.after))
                watch.n_new++;
        else
                watch.n_between++;
        falls_back(image, s.primary);
        watch.f = f;
}

/* The content of one file in state `k`; false: there is no such state. */
static bool variant(const Content *durable, const Content *now, unsigned k, Content *ret) {
        static const Content none = { .size = NONE };
        uint32_t n = now->size > 0 ? ((uint32_t) now->size + SECTOR - 1) / SECTOR : 0;

        if (now->size == durable->size && (now->size <= 0 || memcmp(now->bytes, durable->bytes, (size_t) now->size) == 0)) {
                *ret = *durable;
                return k < 1;
        }
        if (durable->size != NONE && now->size == durable->size) { /* any of its sectors */
                *ret = *durable;
                for (uint32_t i = 0; i < n; i++)
                        if ((k & (1u << i)) != 0)
                                memcpy(ret->bytes + i * SECTOR, now->bytes + i * SECTOR,
                                       i + 1 < n ? SECTOR : (uint32_t) now->size - i * SECTOR);
                return k < 1u << n;
        }
        if (durable->size == NONE || now->size == NONE) { /* comes or goes: or its name alone is there */
                const Content *full = durable->size == NONE ? now : durable;

                *ret = k == 0 ? *durable : k == 1 ? *now : none;
                if (k == 2 || k == 3) {
                        *ret = *full;
                        ret->size = k == 2 ? 0 : full->size;
                        if (k == 3) /* what a cluster holds that nobody has written */
                                memset(ret->bytes, 0, (size_t) full->size);
                }
                return k < (durable->size == NONE ? 4 : 2);
        }
        *ret = k == 0 ? *durable : *now;
        return k < 2;
}

static void each_state(Image *state, const Image *now, uint32_t i) {
        static const Content none = { .size = NONE };
        const Content *d, *n;
        Content c;

        if (i == state->n) {
                judge(state);
                return;
        }
        {
                Content durable = state->files[i].content;
                Image *current = (Image *) (uintptr_t) now;

                n = find(current, state->files[i].name, false);
                d = &durable;
                for (unsigned k = 0; variant(d, n ? n : &none, k, &c); k++) {
                        state->files[i].content = c;
                        each_state(state, now, i + 1);
                }
                state->files[i].content = durable;
        }
}

static void all_states(void) {
        Image now, state = watch.durable;
        char directory[96];

        entries(watch.f, directory);
        look(directory, &now);
        for (uint32_t i = 0; i < now.n; i++)
                (void) find(&state, now.files[i].name, true);
        each_state(&state, &now, 0);
}

/* A flush of a file: its content.  Of the directory: which names there are. */
static void becomes_durable(int fd) {
        char link[64], path[512] = "", directory[96];
        Image now, next = { 0 };
        struct stat st;

        entries(watch.f, directory);
        look(directory, &now);
        assert_int_equal(fstat(fd, &st), 0);
        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        assert_true(readlink(link, path, sizeof(path) - 1) > 0);
        if (!S_ISDIR(st.st_mode)) {
                const char *name = strrchr(path, '/') + 1;
                Content *c = find(&now, name, false), *d = find(&watch.durable, name, false);

                assert_non_null(c);
                *find(&watch.written, name, true) = *c;
                if (d && d->size != NONE)
                        *d = *c;
                return;
        }
        for (uint32_t i = 0; i < now.n; i++) {
                const char *name = now.files[i].name;
                Content *d = find(&watch.durable, name, false), *w = find(&watch.written, name, false);
                static const Content empty = { .size = 0 };

                *find(&next, name, true) = d && d->size != NONE ? *d : w && w->size != NONE ? *w : empty;
        }
        watch.durable = next;
        watch.written.n = 0;
}

int fsync(int fd) {
        watch.n_flushes++;
        if (watch.f) {
                all_states();
                becomes_durable(fd);
        }
        return (int) syscall(SYS_fsync, fd);
}

typedef int (*Operation)(Boot *, const char *, RsError *);

/* Does it with the cut at each place.  between: it passes through "not startable". */
static void cut(Fixture *f, Operation operation, const char *name, bool between) {
        char directory[96];

        DOES(boot_read(f->boot, &watch.before, &err));
        {       /* once unwatched, for the state afterwards */
                Image image;

                entries(f, directory);
                look(directory, &image);
                DOES(operation(f->boot, name, &err));
                DOES(boot_read(f->boot, &watch.after, &err));
                lay_out(directory, &image);
                watch.durable = image;
        }
        watch.written.n = 0;
        watch.has_after = true;
        watch.n_old = watch.n_new = watch.n_between = 0;
        watch.f = f;
        DOES(operation(f->boot, name, &err));
        if (!between)
                assert_int_equal(watch.n_between, 0);
        watch.before = watch.after;
        watch.n_old = watch.n_new = watch.n_between = 0;
        all_states(); /* it has returned: nothing is pending that matters */
        watch.f = NULL;
        assert_true(watch.n_old > 0);
        assert_int_equal(watch.n_new + watch.n_between, 0);
}

/* -- the fixture ------------------------------------------------------------------------------------------------ */

static void put_text(Fixture *f, const char *file, const char *text) {
        char path[256];

        (void) snprintf(path, sizeof(path), "%s/entries/%s", f->directory, file);
        put_file(path, text, strlen(text));
}

/* B's is longer than a sector. */
static void put_entries(Fixture *f) {
        char text[1400];

        (void) snprintf(text, sizeof(text), "title B\nlinux /B/vmlinuz\ninitrd /B/initrd\noptions reseal.slot=B %01100d\n", 0);
        put_text(f, "reseal-A.entry", "title A\nlinux /A/vmlinuz\ninitrd /A/initrd\noptions reseal.slot=A\n");
        put_text(f, "reseal-B.entry", text);
        put_text(f, "reseal-1-A.conf", "title A\nlinux /A/vmlinuz\ninitrd /A/initrd\noptions reseal.slot=A\n");
}

static int start(void **state) {
        Fixture *f = fixture_new("systemd-boot");
        char directory[96], path[160];

        *state = f;
        memset(&watch, 0, sizeof(watch));
        entries(f, directory);
        assert_int_equal(mkdir(directory, 0755), 0);
        (void) snprintf(path, sizeof(path), "%s/reseal", directory);
        f->config.path = strdup(path);
        put_entries(f);
        DOES(boot_open(&f->config, &f->boot, &err));
        return 0;
}

static void names_are(Fixture *f, const char *expected) {
        char out[512];

        assert_int_equal(run(out, sizeof(out), "cd %s/entries && ls *.conf 2>/dev/null | LC_ALL=C sort | tr '\\n' ' '",
                             f->directory), 0);
        assert_string_equal(out, expected);
}

static void renamed(Fixture *f, const char *from, const char *to) {
        char out[16];

        assert_int_equal(run(out, sizeof(out), "mv %s/entries/%s %s/entries/%s", f->directory, from, f->directory, to), 0);
}

/* -- tests ------------------------------------------------------------------------------------------------------ */

static void a_whole_installation_turns_the_names_as_the_design_says(void **state) {
        Fixture *f = *state;

        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_unbootable(f->boot, "B", &err)); /* W2 */
        names_are(f, "reseal-1-A.conf ");
        DOES(boot_set_try(f->boot, "B", &err)); /* W8 */
        names_are(f, "reseal-1-A.conf reseal-2-B+3.conf ");
        reads_as(f, "B", 1, FREE, 0, 3);
        renamed(f, "reseal-2-B+3.conf", "reseal-2-B+2-1.conf"); /* the loader, W9 */
        reads_as(f, "B", 1, FREE, 0, 2);
        DOES(boot_set_good(f->boot, "B", &err)); /* W10 */
        names_are(f, "reseal-1-A.conf reseal-2-B.conf ");
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_unbootable(f->boot, "A", &err)); /* next installation */
        names_are(f, "reseal-2-B.conf ");
        reads_as(f, "B", 0, 0, 1, FREE);
        REFUSES(boot_set_primary(f->boot, "A", &err), STATE);
        DOES(boot_set_try(f->boot, "A", &err));
        names_are(f, "reseal-2-B.conf reseal-3-A+3.conf ");
        REFUSES(boot_set_primary(f->boot, "C", &err), INVALID);
        DOES(boot_set_good(f->boot, "A", &err));
        DOES(boot_set_primary(f->boot, "B", &err));
        names_are(f, "reseal-3-A.conf reseal-4-B.conf ");
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_unbootable(f->boot, "B", &err)); /* the first one goes: the other moves up */
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "B", &err)); /* without a trial: behind the other */
        names_are(f, "reseal-2-B.conf reseal-3-A.conf ");
        DOES(boot_set_unbootable(f->boot, "A", &err));
        DOES(boot_set_unbootable(f->boot, "B", &err));
        reads_as(f, "", 0, 0, 0, 0);
        names_are(f, "");
        DOES(boot_set_good(f->boot, "A", &err));
        reads_as(f, "A", 1, FREE, 0, 0);
        REFUSES(boot_set_try(f->boot, "C", &err), INVALID);
        REFUSES(boot_set_unbootable(f->boot, "", &err), INVALID);
}

static void a_trial_that_succeeds_at_its_last_attempt_stays_first(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        renamed(f, "reseal-2-B+3.conf", "reseal-2-B+0-3.conf");
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "A", &err)); /* what fell back changes nothing */
        DOES(boot_set_primary(f->boot, "A", &err));
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_good(f->boot, "B", &err));
        names_are(f, "reseal-1-A.conf reseal-2-B.conf ");
        reads_as(f, "B", 1, FREE, 1, FREE);
}

/* systemd-boot starts "+0" when it has nothing else: what is about to be overwritten must not be there at all (I2). */
static void a_used_up_trial_goes_before_its_slot_is_overwritten(void **state) {
        Fixture *f = *state;

        DOES(boot_set_try(f->boot, "B", &err));
        renamed(f, "reseal-2-B+3.conf", "reseal-2-B+0-3.conf");
        DOES(boot_set_unbootable(f->boot, "B", &err));
        names_are(f, "reseal-1-A.conf ");
}

static void a_trial_says_so_on_the_command_line_until_it_is_good(void **state) {
        Fixture *f = *state;
        char out[2048], plain[2048];

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(run(out, sizeof(out), "cat %s/entries/reseal-2-B+3.conf", f->directory), 0);
        assert_int_equal(run(plain, sizeof(plain), "cat %s/entries/reseal-B.entry", f->directory), 0);
        assert_memory_equal(out, plain, strlen(plain));
        assert_string_equal(out + strlen(plain), "options reseal.trial\n");
        /* What was tried becomes good, whatever stands in the factory's file by then. */
        put_text(f, "reseal-B.entry", "linux /other\n");
        DOES(boot_set_good(f->boot, "B", &err));
        assert_int_equal(run(out, sizeof(out), "cat %s/entries/reseal-2-B.conf", f->directory), 0);
        assert_string_equal(out, plain);
}

static void what_is_so_already_is_flushed_and_not_written(void **state) {
        Fixture *f = *state;
        char before[512], after[512];

        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(run(before, sizeof(before), "stat -c '%%n %%i %%y' %s/entries/*", f->directory), 0);
        watch.n_flushes = 0;
        DOES(boot_set_try(f->boot, "B", &err));
        assert_int_equal(watch.n_flushes, 3); /* both entries and the directory */
        DOES(boot_set_good(f->boot, "A", &err));
        assert_int_equal(watch.n_flushes, 6);
        assert_int_equal(run(after, sizeof(after), "stat -c '%%n %%i %%y' %s/entries/*", f->directory), 0);
        assert_string_equal(before, after);
}

/* S12, I2: at each place where the power can fail, and for each part of what is not flushed yet. */
static void every_cut_leaves_the_old_state_or_the_new_one(void **state) {
        Fixture *f = *state;

        watch.never = "B";
        cut(f, boot_set_unbootable, "B", false);
        watch.never = NULL;
        cut(f, boot_set_try, "B", false); /* W8 */
        renamed(f, "reseal-2-B+3.conf", "reseal-2-B+1-2.conf");
        cut(f, boot_set_good, "B", false); /* W10 */
        cut(f, boot_set_unbootable, "A", false); /* W2 of the next one */
        cut(f, boot_set_try, "A", false);
        renamed(f, "reseal-3-A+3.conf", "reseal-3-A+0-3.conf");
        cut(f, boot_set_good, "A", false);
        cut(f, boot_set_primary, "B", false);
        cut(f, boot_set_unbootable, "B", false);
        cut(f, boot_set_good, "B", false);
        /* Anew in the middle of a trial, or for a slot that was good: it is not startable in between. */
        cut(f, boot_set_try, "B", true);
        renamed(f, "reseal-4-B+3.conf", "reseal-4-B+2-1.conf");
        cut(f, boot_set_try, "B", true);
        cut(f, boot_set_unbootable, "B", false);
        assert_true(watch.n_states > 200);
}

/* Whatever a cut has left, the step is repeated after the start, and ends as it would have without. */
static void what_a_cut_has_left_is_cleared_away(void **state) {
        Fixture *f = *state;

        put_text(f, "reseal-2-B+3.conf", "");                 /* a name without content */
        put_text(f, "reseal-2-B+2-1.conf", "########");       /* one that was about to go */
        reads_as(f, "A", 1, FREE, 0, 0);
        DOES(boot_set_try(f->boot, "B", &err));
        names_are(f, "reseal-1-A.conf reseal-3-B+3.conf "); /* above all that is there */
        put_text(f, "reseal-3-B.conf", "linux /B/vmlinuz\n"); /* good, and the counted one still there */
        reads_as(f, "B", 1, FREE, 1, FREE);
        DOES(boot_set_good(f->boot, "B", &err));
        names_are(f, "reseal-1-A.conf reseal-3-B.conf ");
        put_text(f, "reseal-9-A.conf", "linux /A/vmlinuz\n"); /* first, and its old place still there */
        reads_as(f, "A", 1, FREE, 1, FREE);
        DOES(boot_set_primary(f->boot, "A", &err));
        names_are(f, "reseal-3-B.conf reseal-9-A.conf ");
}

static void names_no_loader_writes_are_damage_and_mark_good_ends_it(void **state) {
        static const char *const bad[] = { "reseal-2-B+x.conf", "reseal-2-C.conf", "reseal-2-B+10.conf", "reseal-B.conf",
                                           "RESEAL-2-B.conf" };
        Fixture *f = *state;
        BootState s;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                put_text(f, bad[i], "linux /B/vmlinuz\n");
                REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
                REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
                REFUSES(boot_set_unbootable(f->boot, "B", &err), BOOT_STATE);
                REFUSES(boot_set_primary(f->boot, "A", &err), BOOT_STATE);
                REFUSES(boot_set_good(f->boot, "C", &err), INVALID);
                DOES(boot_set_good(f->boot, "A", &err));
                reads_as(f, "A", 1, FREE, 0, 0);
                names_are(f, "reseal-1-A.conf ");
        }
        put_text(f, "reseal-1-B.conf", "linux /B/vmlinuz\n"); /* whom would the loader take? */
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        DOES(boot_set_good(f->boot, "A", &err));
        reads_as(f, "A", 1, FREE, 1, FREE);
}

static void what_is_no_directory_of_entries_stays_an_error(void **state) {
        Fixture *f = *state;
        char out[64], text[4200];
        BootState s;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        put_text(f, "reseal-2-B.conf", text);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        assert_int_equal(run(out, sizeof(out), "cd %s/entries && rm reseal-2-B.conf && mkdir reseal-2-B.conf", f->directory), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        assert_int_equal(run(out, sizeof(out), "cd %s/entries && rmdir reseal-2-B.conf && ln -s reseal-B.entry reseal-2-B.conf",
                             f->directory), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        assert_int_equal(run(out, sizeof(out), "cd %s/entries && rm reseal-2-B.conf && for i in $(seq 40); do "
                             "touch reseal-2-B+3-$i.conf; done", f->directory), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        assert_int_equal(run(out, sizeof(out), "rm -r %s/entries", f->directory), 0);
        REFUSES(boot_read(f->boot, &s, &err), BOOT_STATE);
        REFUSES(boot_set_good(f->boot, "A", &err), BOOT_STATE);
}

static void an_entry_that_the_loader_would_not_take_is_not_made(void **state) {
        Fixture *f = *state;
        char text[900];

        assert_int_equal(access(f->directory, W_OK), 0);
        put_text(f, "reseal-B.entry", "title nothing to start\n");
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        (void) snprintf(text, sizeof(text), "options %0600d\nlinux /B/vmlinuz\n", 0); /* not in the first sector */
        put_text(f, "reseal-B.entry", text);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        (void) snprintf(text, sizeof(text), "linux /B/vmlinuz\noptions %0600d\nefi /B/shell\n", 0); /* one behind */
        put_text(f, "reseal-B.entry", text);
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        put_text(f, "reseal-B.entry", "linux /B/vmlinuz"); /* no end of line */
        DOES(boot_set_try(f->boot, "B", &err));
        names_are(f, "reseal-1-A.conf reseal-2-B+3.conf ");
        DOES(boot_set_unbootable(f->boot, "B", &err));
        {
                char out[16];

                assert_int_equal(run(out, sizeof(out), "rm %s/entries/reseal-B.entry", f->directory), 0);
        }
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        reads_as(f, "A", 1, FREE, 0, 0);
}

static void ranks_end_before_they_turn_over(void **state) {
        Fixture *f = *state;

        renamed(f, "reseal-1-A.conf", "reseal-999999999-A.conf");
        REFUSES(boot_set_try(f->boot, "B", &err), BOOT_STATE);
        DOES(boot_set_good(f->boot, "B", &err));
        names_are(f, "reseal-999999998-B.conf reseal-999999999-A.conf ");
}

static void three_slots_keep_their_order(void **state) {
        Fixture *f = *state;

        f->boot = boot_close(f->boot);
        assert_int_equal(boot_config_set(&f->config, "names", "A B C", &(RsError){ 0 }), 1);
        DOES(boot_open(&f->config, &f->boot, &err));
        put_text(f, "reseal-C.entry", "linux /C/vmlinuz\n");
        renamed(f, "reseal-1-A.conf", "reseal-0-A.conf");
        DOES(boot_set_good(f->boot, "B", &err));
        DOES(boot_set_good(f->boot, "C", &err));
        names_are(f, "reseal-1-B.conf reseal-3-C.conf reseal-4-A.conf ");
        DOES(boot_set_primary(f->boot, "C", &err));
        names_are(f, "reseal-1-B.conf reseal-4-A.conf reseal-5-C.conf ");
        DOES(boot_set_unbootable(f->boot, "C", &err));
        names_are(f, "reseal-1-B.conf reseal-4-A.conf ");
}

static void names_that_fat_does_not_tell_apart_are_refused(void **state) {
        static const char *const paths[] = { "/x/Reseal", "/x/", "/x/auto", "/x/a-b" };
        Fixture *f = *state;
        Boot *b = NULL;

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                BootConfig c = f->config;

                c.path = (char *) (uintptr_t) paths[i];
                REFUSES(boot_open(&c, &b, &err), CONFIG);
        }
        (void) strcpy(f->config.names[1], "a");
        REFUSES(boot_open(&f->config, &b, &err), CONFIG);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, fixture_done)
int main(void) {
        const struct CMUnitTest tests[] = {
                T(a_whole_installation_turns_the_names_as_the_design_says),
                T(a_trial_that_succeeds_at_its_last_attempt_stays_first),
                T(a_used_up_trial_goes_before_its_slot_is_overwritten),
                T(a_trial_says_so_on_the_command_line_until_it_is_good),
                T(what_is_so_already_is_flushed_and_not_written),
                T(every_cut_leaves_the_old_state_or_the_new_one),
                T(what_a_cut_has_left_is_cleared_away),
                T(names_no_loader_writes_are_damage_and_mark_good_ends_it),
                T(what_is_no_directory_of_entries_stays_an_error),
                T(an_entry_that_the_loader_would_not_take_is_not_made),
                T(ranks_end_before_they_turn_over),
                T(three_slots_keep_their_order),
                T(names_that_fat_does_not_tell_apart_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
