/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manifest - JSON of docs/format-bundle.md section 3 to a struct and back.
 *
 * Everything that follows from something else (chunk count and table size follow from image size and frame
 * size) is checked for agreement here, so that the code behind it may rely on one of them and never sees the
 * two disagree.  The encoder does not judge: reseal-bundle parses what it has encoded before it signs.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/text.h>
#include <reseal/format/manifest.h>
#include <reseal/format/table.h>

#include "json-fields.h"

#define CREATED_MAX (1ull << 40)
#define EPOCH_MAX 0x7fffffffull

uint32_t image_n_chunks(uint64_t size) {
        return (uint32_t) (size / RS_CHUNK_SIZE + (size % RS_CHUNK_SIZE != 0));
}

uint32_t image_n_frames(uint64_t size, uint32_t frame_chunks) {
        uint32_t n_chunks = image_n_chunks(size);

        return n_chunks / frame_chunks + (n_chunks % frame_chunks != 0);
}

/* Bytes from offset to the end of the image, at most `most`; 0 behind the end. */
static uint32_t rest_of_image(uint64_t size, uint64_t offset, uint32_t most) {
        if (offset >= size)
                return 0;
        return size - offset < most ? (uint32_t) (size - offset) : most;
}

uint32_t image_chunk_size(uint64_t size, uint32_t chunk) {
        return rest_of_image(size, (uint64_t) chunk * RS_CHUNK_SIZE, RS_CHUNK_SIZE);
}

uint32_t image_frame_size(uint64_t size, uint32_t frame_chunks, uint32_t frame) {
        uint32_t frame_size = frame_chunks * RS_CHUNK_SIZE;

        return rest_of_image(size, (uint64_t) frame * frame_size, frame_size);
}

Manifest *manifest_new(void) {
        return calloc(1, sizeof(Manifest));
}

Manifest *manifest_free(Manifest *m) {
        if (m) {
                free(m->notes);
                free(m);
        }
        return NULL;
}

static bool is_class_character(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_printable(char c) {
        return c >= 0x20 && c <= 0x7e;
}

static int parse_compatible(JsonFields *f, Manifest *m, RsError *err) {
        json_t *array = NULL;
        int r;

        r = json_fields_array(f, "compatible", 1, RS_COMPATIBLE_MAX, &array, err);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(array); i++) {
                r = json_text_value(f, "compatible", json_array_get(array, i), json_name_character, RS_NAME_MAX,
                                    m->compatible[i], err);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < i; k++)
                        if (strcmp(m->compatible[k], m->compatible[i]) == 0)
                                return rs_fail(err, MANIFEST, "manifest: \"%s\" twice in \"compatible\"",
                                               m->compatible[i]);
                m->n_compatible++;
        }
        return 0;
}

/* Terminals and logs show the notes: control characters (C0 but newline, DEL, C1) stay out. */
static bool is_notes_text(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                uint8_t c = (uint8_t) text[i], next = i + 1 < size ? (uint8_t) text[i + 1] : 0;

                if ((c < 0x20 && c != '\n') || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f))
                        return false;
        }
        return true;
}

static int parse_notes(JsonFields *f, Manifest *m, RsError *err) {
        json_t *value = json_fields_optional(f, "notes");

        if (!value)
                return 0;
        if (!json_is_string(value))
                return rs_fail(err, MANIFEST, "manifest: \"notes\" is not a string");
        if (json_string_length(value) > RS_NOTES_MAX)
                return rs_fail(err, MANIFEST, "manifest: \"notes\" has %zu bytes, limit %u",
                               json_string_length(value), RS_NOTES_MAX);
        if (!is_notes_text(json_string_value(value), json_string_length(value)))
                return rs_fail(err, MANIFEST, "manifest: \"notes\" has a control character");
        m->notes = strdup(json_string_value(value));
        return m->notes ? 0 : rs_fail_oom(err);
}

/* The two counts are given although they follow from the size: a reader in another language need not compute. */
static int parse_image_counts(JsonFields *f, ManifestImage *image, RsError *err) {
        uint64_t n_chunks = image_n_chunks(image->size), frame_chunks, size;
        int r;

        r = json_fields_u64(f, "frame_chunks", 1, RS_FRAME_CHUNKS_MAX, &frame_chunks, err);
        if (r < 0)
                return r;
        size = table_size(image_n_frames(image->size, (uint32_t) frame_chunks), (uint32_t) n_chunks);
        r = json_fields_u64(f, "chunks", n_chunks, n_chunks, &n_chunks, err);
        if (r < 0)
                return r;
        r = json_fields_u64(f, "table_size", size, size, &size, err);
        if (r < 0)
                return r;
        image->frame_chunks = (uint32_t) frame_chunks;
        image->n_chunks = (uint32_t) n_chunks;
        image->table_size = (uint32_t) size;
        return 0;
}

static int parse_image(json_t *object, const char *where, ManifestImage *image, RsError *err) {
        JsonFields f = JSON_FIELDS(object, RS_REASON_MANIFEST, where);
        int r;

        if (!json_is_object(object))
                return rs_fail(err, MANIFEST, "%s: not an object", where);
        r = json_fields_text(&f, "class", is_class_character, RS_CLASS_MAX, image->class_name, err);
        if (r < 0)
                return r;
        r = json_fields_u64(&f, "size", RS_IMAGE_SIZE_MIN, RS_IMAGE_SIZE_MAX, &image->size, err);
        if (r < 0)
                return r;
        if (image->size % RS_BLOCK_SIZE != 0)
                return rs_fail(err, MANIFEST, "%s: \"size\" is not a multiple of %u", where, RS_BLOCK_SIZE);
        r = json_fields_hex(&f, "salt", image->salt, sizeof(image->salt), err);
        if (r < 0)
                return r;
        r = json_fields_hex(&f, "root", image->root, sizeof(image->root), err);
        if (r < 0)
                return r;
        r = json_fields_hex(&f, "table_sha256", image->table_sha256, sizeof(image->table_sha256), err);
        if (r < 0)
                return r;
        r = parse_image_counts(&f, image, err);
        if (r < 0)
                return r;
        return json_fields_finish(&f, err);
}

static int parse_images(JsonFields *f, Manifest *m, RsError *err) {
        json_t *array = NULL;
        int r;

        r = json_fields_array(f, "images", 1, RS_IMAGES_MAX, &array, err);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < json_array_size(array); i++) {
                char where[32];

                (void) snprintf(where, sizeof(where), "manifest: image %u", i);
                r = parse_image(json_array_get(array, i), where, &m->images[i], err);
                if (r < 0)
                        return r;
                for (uint32_t k = 0; k < i; k++)
                        if (strcmp(m->images[k].class_name, m->images[i].class_name) == 0)
                                return rs_fail(err, MANIFEST, "manifest: two images for slot class \"%s\"",
                                               m->images[i].class_name);
                m->n_images++;
        }
        return 0;
}

static int parse_numbers(JsonFields *f, Manifest *m, RsError *err) {
        uint64_t format, epoch;
        int r;

        r = json_fields_u64(f, "format", 1, 1, &format, err);
        if (r < 0)
                return r;
        r = json_fields_u64(f, "release", 1, INT64_MAX, &m->release, err);
        if (r < 0)
                return r;
        r = json_fields_u64(f, "epoch", 0, EPOCH_MAX, &epoch, err);
        if (r < 0)
                return r;
        m->epoch = (uint32_t) epoch;
        return json_fields_u64(f, "created", 0, CREATED_MAX, &m->created, err);
}

int manifest_parse(Span json, Manifest **ret, RsError *err) {
        _cleanup_(manifest_freep) Manifest *m = NULL;
        _cleanup_(json_decrefp) json_t *object = NULL;
        JsonFields f;
        int r;

        r = json_fields_load(json, RS_MANIFEST_JSON_MAX, RS_REASON_MANIFEST, "manifest", &object, err);
        if (r < 0)
                return r;
        m = manifest_new();
        if (!m)
                return rs_fail_oom(err);
        f = JSON_FIELDS(object, RS_REASON_MANIFEST, "manifest");
        r = parse_numbers(&f, m, err);
        if (r < 0)
                return r;
        r = json_fields_text(&f, "line", json_name_character, RS_NAME_MAX, m->line, err);
        if (r < 0)
                return r;
        r = parse_compatible(&f, m, err);
        if (r < 0)
                return r;
        r = json_fields_text(&f, "version", is_printable, RS_NAME_MAX, m->version, err);
        if (r < 0)
                return r;
        r = json_fields_bool(&f, "confidential", &m->confidential, err);
        if (r < 0)
                return r;
        r = parse_notes(&f, m, err);
        if (r < 0)
                return r;
        r = parse_images(&f, m, err);
        if (r < 0)
                return r;
        r = json_fields_finish(&f, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static json_t *encode_image(const ManifestImage *image) {
        char salt[HEX_SIZE(RS_SALT_SIZE)], root[HEX_SIZE(RS_DIGEST_SIZE)], digest[HEX_SIZE(RS_DIGEST_SIZE)];

        hex_encode(SPAN_ARRAY(image->salt), salt);
        hex_encode(SPAN_ARRAY(image->root), root);
        hex_encode(SPAN_ARRAY(image->table_sha256), digest);
        return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s}", "class", image->class_name, "size",
                         (json_int_t) image->size, "salt", salt, "root", root, "chunks",
                         (json_int_t) image->n_chunks, "frame_chunks", (json_int_t) image->frame_chunks,
                         "table_size", (json_int_t) image->table_size, "table_sha256", digest);
}

/* NULL for want of memory, or for text that is not UTF-8. */
static json_t *encode_object(const Manifest *m) {
        _cleanup_(json_decrefp) json_t *compatible = json_array(), *images = json_array(), *object = NULL;

        for (uint32_t i = 0; i < m->n_compatible; i++)
                if (json_array_append_new(compatible, json_string(m->compatible[i])) < 0)
                        return NULL;
        for (uint32_t i = 0; i < m->n_images; i++)
                if (json_array_append_new(images, encode_image(&m->images[i])) < 0)
                        return NULL;
        object = json_pack("{s:i, s:s, s:O, s:I, s:I, s:s, s:I, s:b, s:O}", "format", 1, "line", m->line,
                           "compatible", compatible, "release", (json_int_t) m->release, "epoch",
                           (json_int_t) m->epoch, "version", m->version, "created", (json_int_t) m->created,
                           "confidential", (int) m->confidential, "images", images);
        if (object && m->notes && json_object_set_new(object, "notes", json_string(m->notes)) < 0)
                return NULL;
        return TAKE_PTR(object);
}

int manifest_encode(const Manifest *m, Encoder *e, RsError *err) {
        _cleanup_(json_decrefp) json_t *object = encode_object(m);
        _cleanup_(freep) char *text = NULL;

        if (!object)
                return rs_fail(err, MANIFEST, "manifest: a text is not UTF-8, or memory is short");
        text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
                return rs_fail_oom(err);
        if (strlen(text) > RS_MANIFEST_JSON_MAX)
                return rs_fail(err, MANIFEST, "manifest: %zu bytes, limit %u", strlen(text),
                               RS_MANIFEST_JSON_MAX);
        encoder_bytes(e, text, strlen(text));
        return encoder_finish(e) < 0 ? rs_fail_oom(err) : 0;
}
