/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config - strict reading of INI files.
 *
 * libinih does the parsing; this file adds what a configuration that decides about security needs.
 * A misspelt "require-encryption" must not pass as "nothing said", so whatever is not understood is
 * refused: unknown and repeated keys, lines that libinih would cut (199 bytes as distributions build
 * it) or fold into the line before, section names that it would shorten, control bytes.
 *
 * libinih reads line by line through next_line(), which therefore knows the line number of whatever
 * the handler is being told, and which ends the parsing after the first failure.  (libinih's own
 * switches for both exist in some builds only, partly as global variables: not used.)
 *
 * A program that reads with a table of its keys also gets notes: each value it goes by and its line.  The defaults
 * take the same way through the handler as the file's lines, so that what is shown cannot differ from what is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <ini.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/config.h>
#include <reseal/base/file.h>
#include <reseal/base/text.h>

#define SECTION_NAME_MAX 49u /* libinih cuts longer ones */

typedef struct Parser {
        const char *name;
        Span rest;
        unsigned line;
        ConfigHandler handler;
        void *userdata;
        const ConfigKey *keys; /* NULL: the handler alone says what is known */
        size_t n_keys;
        ConfigNotes *notes;
        char *seen[CONFIG_KEYS_MAX]; /* "section\nkey" */
        size_t n_seen;
        RsError failure; /* of line `line`; reason NONE while all is well */
} Parser;

static void parser_done(Parser *p) {
        for (size_t i = 0; i < p->n_seen; i++)
                free(p->seen[i]);
}

/* Notes */

static void note_done(ConfigNote *note) {
        free(note->section);
        free(note->key);
        free(note->value);
}

void config_notes_done(ConfigNotes *notes) {
        for (size_t i = 0; i < notes->n; i++)
                note_done(&notes->list[i]);
        free(notes->list);
        free(notes->file);
        *notes = (ConfigNotes){ 0 };
}

const ConfigNote *config_notes_find(const ConfigNotes *notes, const char *section, const char *key) {
        for (size_t i = 0; i < notes->n; i++)
                if (strcmp(notes->list[i].section, section) == 0 && strcmp(notes->list[i].key, key) == 0)
                        return &notes->list[i];
        return NULL;
}

int config_notes_set(ConfigNotes *notes, const char *section, const char *key, const char *value, uint32_t line) {
        const ConfigNote *known = config_notes_find(notes, section, key);
        ConfigNote note = { strdup(section), strdup(key), strdup(value), line };
        ConfigNote *list = NULL;

        if (!known)
                list = reallocarray(notes->list, notes->n + 1, sizeof(*list));
        if (list)
                notes->list = list;
        if (!note.section || !note.key || !note.value || (!known && !list)) {
                note_done(&note);
                return -ENOMEM;
        }
        if (known) {
                size_t at = (size_t) (known - notes->list);

                note_done(&notes->list[at]);
                notes->list[at] = note;
        } else
                notes->list[notes->n++] = note;
        return 0;
}

/* "slot *" is every section that begins with "slot ". */
static bool is_for_many(const ConfigKey *key) {
        size_t size = strlen(key->section);

        return size > 0 && key->section[size - 1] == '*';
}

static bool is_listed(const Parser *p, const char *section, const char *key) {
        for (size_t i = 0; i < p->n_keys; i++) {
                const ConfigKey *k = &p->keys[i];
                bool same = is_for_many(k) ? strncmp(section, k->section, strlen(k->section) - 1) == 0
                                           : strcmp(section, k->section) == 0;

                if (same && strcmp(key, k->key) == 0)
                        return true;
        }
        return false;
}

/* What holds if the file says nothing: told to the handler as a line would be. */
static int tell_fallbacks(Parser *p, RsError *err) {
        for (size_t i = 0; i < p->n_keys; i++) {
                const ConfigKey *k = &p->keys[i];
                int r = 1;

                if (is_for_many(k))
                        continue;
                if (k->fallback)
                        r = p->handler(p->userdata, k->section, k->key, k->fallback, err);
                if (r <= 0)
                        return rs_fail(err, INTERNAL, "[%s] %s: its default is not taken", k->section, k->key);
                if (config_notes_set(p->notes, k->section, k->key, k->fallback ? k->fallback : "", 0) < 0)
                        return rs_fail_oom(err);
        }
        return 0;
}

/* Lines */

/* What is wrong with this line before libinih sees it, or NULL. */
static const char *line_defect(const char *line, size_t size, size_t size_max) {
        size_t blanks = strspn(line, " \t\r\n");

        if (size > size_max)
                return "line too long";
        if (strlen(line) != size)
                return "NUL byte";
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) line[i];

                if ((c < 0x20 && c != '\t' && c != '\n' && !(c == '\r' && i + 2 == size)) || c == 0x7f)
                        return "control byte";
        }
        if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
                return "byte order mark";
        if (blanks > 0 && blanks < size && line[blanks] != '#' && line[blanks] != ';')
                return "the line starts with a blank";
        if (line[0] == '[' && strcspn(line + 1, "]") > SECTION_NAME_MAX)
                return "section name too long";
        return NULL;
}

/* ini_reader: one line per call, as fgets would give it. */
static char *next_line(char *ret, int size_max, void *stream) {
        Parser *p = stream;
        const uint8_t *newline;
        const char *defect;
        size_t size, copied;

        if (p->failure.reason != RS_REASON_NONE || p->rest.size == 0 || size_max < 4)
                return NULL;
        p->line++;
        newline = memchr(p->rest.data, '\n', p->rest.size);
        size = newline ? (size_t) (newline - p->rest.data) + 1 : p->rest.size;
        copied = size < (size_t) size_max ? size : (size_t) size_max - 1;
        memcpy(ret, p->rest.data, copied);
        ret[copied] = '\0';

        defect = line_defect(ret, size > copied ? SIZE_MAX : size, (size_t) size_max - 1);
        if (defect) {
                (void) rs_fail(&p->failure, CONFIG, "%s", defect);
                return NULL;
        }
        p->rest = SPAN(p->rest.data + size, p->rest.size - size);
        return ret;
}

static int remember(Parser *p, const char *section, const char *key) {
        _cleanup_(freep) char *both = NULL;

        if (asprintf(&both, "%s\n%s", section, key) < 0) {
                both = NULL;
                return rs_fail_oom(&p->failure);
        }
        for (size_t i = 0; i < p->n_seen; i++)
                if (strcmp(p->seen[i], both) == 0)
                        return rs_fail(&p->failure, CONFIG, "[%s] %s stands here twice", section, key);
        if (p->n_seen >= CONFIG_KEYS_MAX)
                return rs_fail(&p->failure, CONFIG, "more than %u keys", CONFIG_KEYS_MAX);
        p->seen[p->n_seen++] = TAKE_PTR(both);
        return 0;
}

/* ini_handler: nonzero is good. */
static int on_key(void *userdata, const char *section, const char *key, const char *value) {
        Parser *p = userdata;
        int r;

        if (p->failure.reason != RS_REASON_NONE)
                return 0;
        if (*key == '\0') {
                (void) rs_fail(&p->failure, CONFIG, "a value without a key");
                return 0;
        }
        r = remember(p, section, key);
        if (r < 0)
                return 0;
        if (p->keys && !is_listed(p, section, key)) {
                (void) rs_fail(&p->failure, CONFIG, "[%s] %s is not known", section, key);
                return 0;
        }
        r = p->handler(p->userdata, section, key, value, &p->failure);
        if (r > 0 && p->notes && config_notes_set(p->notes, section, key, value, p->line) < 0) {
                (void) rs_fail_oom(&p->failure);
                return 0;
        }
        if (r > 0)
                return 1;
        if (r == 0 && p->keys)
                (void) rs_fail(&p->failure, INTERNAL, "[%s] %s is in the table, and nobody takes it", section, key);
        else if (r == 0)
                (void) rs_fail(&p->failure, CONFIG, "[%s] %s is not known", section, key);
        else if (p->failure.reason == RS_REASON_NONE)
                (void) rs_fail(&p->failure, CONFIG, "[%s] %s was refused", section, key);
        else
                (void) rs_context(&p->failure, "[%s] %s", section, key);
        return 0;
}

static int parse(Parser *p, size_t size, RsError *err) {
        int r;

        if (size > CONFIG_FILE_MAX)
                return rs_fail(err, CONFIG, "%s: larger than %u bytes", p->name, CONFIG_FILE_MAX);
        r = ini_parse_stream(next_line, p, on_key, p);
        if (r < 0)
                return rs_fail_oom(err);

        /* A positive r is the first line that libinih did not like.  It goes on after a syntax error; what
         * failed later must not hide it. */
        if (r > 0 && ((unsigned) r < p->line || p->failure.reason == RS_REASON_NONE))
                return rs_fail(err, CONFIG, "%s:%d: neither [section] nor key = value", p->name, r);
        if (p->failure.reason != RS_REASON_NONE) {
                (void) rs_context(&p->failure, "%s:%u", p->name, p->line);
                return rs_pass(err, &p->failure);
        }
        return 0;
}

int config_parse(const char *name, const char *text, size_t size, ConfigHandler handler, void *userdata,
                 RsError *err) {
        _cleanup_(parser_done) Parser p = {
                .name = name,
                .rest = SPAN(text, size),
                .handler = handler,
                .userdata = userdata,
        };

        return parse(&p, size, err);
}

static int read_file(const char *path, char **ret, size_t *ret_size, RsError *err) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(closep) int fd = -EBADF;
        struct stat st;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return rs_fail(err, CONFIG, "%s: %m", path);
        if (fstat(fd, &st) < 0)
                return rs_fail_errno(err, errno, "%s", path);
        if (!S_ISREG(st.st_mode))
                return rs_fail(err, CONFIG, "%s: not a regular file", path);
        if (st.st_uid != 0 && st.st_uid != geteuid())
                return rs_fail(err, CONFIG, "%s: belongs neither to root nor to this user", path);
        if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
                return rs_fail(err, CONFIG, "%s: group or others may write to it", path);
        if (st.st_size > (off_t) CONFIG_FILE_MAX)
                return rs_fail(err, CONFIG, "%s: larger than %u bytes", path, CONFIG_FILE_MAX);

        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return rs_fail_oom(err);
        r = file_pread_all(fd, text, (size_t) st.st_size, 0, err);
        if (r < 0)
                return rs_context(err, "%s", path);
        *ret = TAKE_PTR(text);
        *ret_size = (size_t) st.st_size;
        return 0;
}

int config_read(const char *path, ConfigHandler handler, void *userdata, RsError *err) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = read_file(path, &text, &size, err);
        return r < 0 ? r : config_parse(path, text, size, handler, userdata, err);
}

int config_read_noted(const char *path, const ConfigKey *keys, size_t n_keys, ConfigHandler handler, void *userdata,
                      ConfigNotes *ret, RsError *err) {
        _cleanup_(config_notes_done) ConfigNotes notes = { .file = strdup(path) };
        _cleanup_(freep) char *text = NULL;
        _cleanup_(parser_done) Parser p = { .name = path, .handler = handler, .userdata = userdata, .keys = keys,
                                            .n_keys = n_keys, .notes = &notes };
        size_t size;
        int r;

        if (!notes.file)
                return rs_fail_oom(err);
        r = read_file(path, &text, &size, err);
        if (r >= 0)
                r = tell_fallbacks(&p, err);
        if (r < 0)
                return r;
        p.rest = SPAN(text, size);
        r = parse(&p, size, err);
        if (r < 0)
                return r;
        *ret = notes;
        notes = (ConfigNotes){ 0 };
        return 0;
}

int config_bool(const char *value, bool *ret, RsError *err) {
        if (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0)
                *ret = true;
        else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0)
                *ret = false;
        else
                return rs_fail(err, CONFIG, "\"%s\" is neither yes nor no", value);
        return 0;
}

static int in_range(const char *value, uint64_t v, uint64_t min, uint64_t max, RsError *err) {
        if (v < min || v > max)
                return rs_fail(err, CONFIG, "%s is outside %llu to %llu", value, (unsigned long long) min,
                               (unsigned long long) max);
        return 0;
}

int config_u64(const char *value, uint64_t min, uint64_t max, uint64_t *ret, RsError *err) {
        uint64_t v;
        int r;

        r = text_to_u64(value, UINT64_MAX, &v);
        if (r < 0)
                return rs_fail(err, CONFIG, "\"%s\" is not a number", value);
        r = in_range(value, v, min, max, err);
        if (r < 0)
                return r;
        *ret = v;
        return 0;
}

int config_size(const char *value, uint64_t min, uint64_t max, uint64_t *ret, RsError *err) {
        uint64_t v;
        int r;

        r = text_to_size(value, &v);
        if (r < 0)
                return rs_fail(err, CONFIG, "\"%s\" is not a size", value);
        r = in_range(value, v, min, max, err);
        if (r < 0)
                return r;
        *ret = v;
        return 0;
}

int config_seconds(const char *value, uint64_t max_sec, uint64_t *ret_usec, RsError *err) {
        static const struct {
                const char *suffix;
                uint64_t sec;
        } units[] = { { "", 1 }, { "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 } };
        size_t n_digits = strspn(value, "0123456789");
        char digits[24];
        uint64_t v;

        if (n_digits > 0 && n_digits < sizeof(digits)) {
                memcpy(digits, value, n_digits);
                digits[n_digits] = '\0';
                for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                        uint64_t usec;

                        if (strcmp(value + n_digits, units[i].suffix) != 0 ||
                            text_to_u64(digits, UINT64_MAX, &v) < 0)
                                continue;
                        if (__builtin_mul_overflow(v, units[i].sec, &v) || v > max_sec ||
                            __builtin_mul_overflow(v, (uint64_t) 1000000, &usec))
                                return rs_fail(err, CONFIG, "%s is more than %llu seconds", value,
                                               (unsigned long long) max_sec);
                        *ret_usec = usec;
                        return 0;
                }
        }
        return rs_fail(err, CONFIG, "\"%s\" is not a time (90, 90s, 5min, 2h, 1d)", value);
}

int config_string(const char *value, char **ret, RsError *err) {
        char *copy;

        if (*value == '\0')
                return rs_fail(err, CONFIG, "empty value");
        copy = strdup(value);
        if (!copy)
                return rs_fail_oom(err);
        free(*ret);
        *ret = copy;
        return 0;
}

int config_path(const char *value, char **ret, RsError *err) {
        if (value[0] != '/')
                return rs_fail(err, CONFIG, "\"%s\" is not an absolute path", value);
        for (const char *part = value; part; part = strchr(part + 1, '/'))
                if (strncmp(part, "/..", 3) == 0 && (part[3] == '/' || part[3] == '\0'))
                        return rs_fail(err, CONFIG, "\"%s\" goes up", value);
        return config_string(value, ret, err);
}
