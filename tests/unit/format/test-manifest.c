/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifest: one reading only; each rule of format-bundle 3 is met at its limit and one beyond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <reseal/format/manifest.h>
#include <reseal/format/table.h>

#define HEX32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define IMAGE(class_name)                                                                               \
        "{\"class\":\"" class_name "\",\"size\":1048576,\"salt\":\"" HEX32 "\",\"root\":\"" HEX32 "\"," \
        "\"chunks\":2,\"frame_chunks\":2,\"table_size\":144,\"table_sha256\":\"" HEX32 "\"}"
#define GOOD                                                                                              \
        "{\"format\":1,\"line\":\"gw-3\",\"compatible\":[\"gw-3a\",\"gw-3b\"],\"release\":7,\"epoch\":2," \
        "\"version\":\"2026.11 "                                                                          \
        "(stable)\",\"created\":1790000000,\"confidential\":true,\"notes\":\"one\\ntwo\","                \
        "\"images\":[" IMAGE("rootfs") "," IMAGE("kernel-a") "]}"

static int parse(const char *text, Manifest **ret, RsError *err) {
        return manifest_parse(SPAN(text, strlen(text)), ret, err);
}

static void expect_refused_text(const char *text, const char *words) {
        Manifest *m = NULL;
        RsError err = RS_ERROR_INIT;

        assert_true(parse(text, &m, &err) < 0);
        assert_null(m);
        assert_int_equal(err.reason, RS_REASON_MANIFEST);
        if (!strstr(err.text, words))
                fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

/* GOOD with one key of the manifest, or of its first image, set to `value` (removed when NULL); 0 or the refusal. */
static int with(const char *where, const char *key, const char *value, RsError *err) {
        json_t *object = json_loads(GOOD, 0, NULL), *at;
        Manifest *m = NULL;
        char *text;
        int r;

        assert_non_null(object);
        at = strcmp(where, "image") == 0 ? json_array_get(json_object_get(object, "images"), 0) : object;
        if (value) {
                json_t *v = json_loads(value, JSON_DECODE_ANY, NULL);

                assert_non_null(v);
                assert_int_equal(json_object_set_new(at, key, v), 0);
        } else
                assert_int_equal(json_object_del(at, key), 0);
        text = json_dumps(object, 0);
        assert_non_null(text);
        *err = RS_ERROR_INIT;
        r = parse(text, &m, err);
        assert_true((r == 0) == (m != NULL));
        assert_true(r == 0 || err->reason == RS_REASON_MANIFEST);
        m = manifest_free(m);
        free(text);
        json_decref(object);
        return r;
}

static void expect_accepted(const char *where, const char *key, const char *value) {
        RsError err;

        if (with(where, key, value, &err) < 0)
                fail_msg("%s %s refused: %s", key, value, err.text);
}

static void expect_refused(const char *where, const char *key, const char *value) {
        RsError err;

        if (with(where, key, value, &err) == 0)
                fail_msg("%s %s accepted", key, value ? value : "(missing)");
        if (!strstr(err.text, key))
                fail_msg("\"%s\" does not name \"%s\"", err.text, key);
}

static void a_good_manifest_is_read_field_by_field(void **state) {
        _cleanup_(manifest_freep) Manifest *m = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(parse(GOOD, &m, &err), 0);
        assert_string_equal(m->line, "gw-3");
        assert_int_equal(m->n_compatible, 2);
        assert_string_equal(m->compatible[1], "gw-3b");
        assert_int_equal(m->release, 7);
        assert_int_equal(m->epoch, 2);
        assert_string_equal(m->version, "2026.11 (stable)");
        assert_int_equal(m->created, 1790000000);
        assert_true(m->confidential);
        assert_string_equal(m->notes, "one\ntwo");
        assert_int_equal(m->n_images, 2);
        assert_string_equal(m->images[1].class_name, "kernel-a");
        assert_int_equal(m->images[0].size, 1048576);
        assert_int_equal(m->images[0].salt[1], 0x11);
        assert_int_equal(m->images[0].n_chunks, 2);
        assert_int_equal(m->images[0].frame_chunks, 2);
        assert_int_equal(m->images[0].table_size, 144);
}

static void encode_is_stable_and_reads_back(void **state) {
        _cleanup_(manifest_freep) Manifest *m = NULL, *again = NULL;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT, e2 = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(parse(GOOD, &m, &err), 0);
        assert_int_equal(manifest_encode(m, &e, &err), 0);
        assert_int_equal(manifest_parse(encoder_view(&e), &again, &err), 0);
        assert_int_equal(manifest_encode(again, &e2, &err), 0);
        assert_true(span_equal(encoder_view(&e), encoder_view(&e2)));
        assert_memory_equal(e.data,
                            "{\"compatible\":[\"gw-3a\",\"gw-3b\"],\"confidential\":true,\"created\":", 60);
}

static void text_that_is_not_utf8_is_not_encoded(void **state) {
        _cleanup_(manifest_freep) Manifest *m = NULL;
        _cleanup_(encoder_done) Encoder e = ENCODER_INIT;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(parse(GOOD, &m, &err), 0);
        strcpy(m->notes, "\xff");
        assert_true(manifest_encode(m, &e, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_MANIFEST);
}

static void what_is_not_one_json_object_is_refused(void **state) {
        (void) state;
        expect_refused_text("", "manifest:");
        expect_refused_text("[]", "not an object");
        expect_refused_text(GOOD "x", "manifest:");
        expect_refused_text(GOOD GOOD, "manifest:");
        expect_refused_text("{\"format\":1,\"format\":1}", "duplicate");
        expect_refused_text("{\"line\":\"\xff\"}", "unable to decode");
        expect_refused_text("{\"line\":\"a\\u0000b\"}", "NUL");
}

static void the_size_cap_holds(void **state) {
        char *text = malloc(RS_MANIFEST_JSON_MAX + 2);
        Manifest *m = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_non_null(text);
        memset(text, ' ', RS_MANIFEST_JSON_MAX + 1);
        memcpy(text, GOOD, strlen(GOOD));
        assert_int_equal(manifest_parse(SPAN(text, RS_MANIFEST_JSON_MAX), &m, &err), 0);
        m = manifest_free(m);
        assert_true(manifest_parse(SPAN(text, RS_MANIFEST_JSON_MAX + 1), &m, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_MANIFEST);
        free(text);
}

static void each_key_is_required_but_the_notes(void **state) {
        static const char *const keys[] = { "format",  "line",    "compatible",   "release", "epoch",
                                            "version", "created", "confidential", "images" };
        static const char *const image_keys[] = { "class",  "size",         "salt",       "root",
                                                  "chunks", "frame_chunks", "table_size", "table_sha256" };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(keys); i++) {
                expect_refused("manifest", keys[i], NULL);
                expect_refused("manifest", keys[i], "null");
                expect_refused("manifest", keys[i], "{}");
        }
        for (unsigned i = 0; i < ELEMENTSOF(image_keys); i++) {
                expect_refused("image", image_keys[i], NULL);
                expect_refused("image", image_keys[i], "[]");
        }
        expect_accepted("manifest", "notes", NULL);
        expect_refused("manifest", "notes", "7");
}

static void unknown_keys_are_refused(void **state) {
        (void) state;
        expect_refused("manifest", "script", "\"rm\"");
        expect_refused("image", "device", "\"/dev/sda\"");
}

static void numbers_are_integers_within_their_range(void **state) {
        (void) state;
        expect_refused("manifest", "format", "0");
        expect_refused("manifest", "format", "2");
        expect_refused("manifest", "release", "0");
        expect_accepted("manifest", "release", "9223372036854775807");
        expect_refused("manifest", "release", "7.0");
        expect_refused("manifest", "release", "7e0");
        expect_refused("manifest", "release", "\"7\"");
        expect_refused("manifest", "release", "-1");
        expect_accepted("manifest", "epoch", "0");
        expect_accepted("manifest", "epoch", "2147483647");
        expect_refused("manifest", "epoch", "2147483648");
        expect_accepted("manifest", "created", "1099511627776");
        expect_refused("manifest", "created", "1099511627777");
        expect_refused("manifest", "confidential", "1");
        expect_refused_text("{\"release\":9223372036854775808}", "manifest:");
}

static void names_have_their_alphabet_and_length(void **state) {
        char text[RS_NOTES_MAX + 8];

        (void) state;
        for (unsigned over = 0; over < 2; over++) {
                (void) snprintf(text, sizeof(text), "\"%0*d\"", (int) (RS_NAME_MAX + over), 0);
                (over ? expect_refused : expect_accepted)("manifest", "line", text);
                (over ? expect_refused : expect_accepted)("manifest", "version", text);
                (void) snprintf(text, sizeof(text), "[\"%0*d\"]", (int) (RS_NAME_MAX + over), 0);
                (over ? expect_refused : expect_accepted)("manifest", "compatible", text);
                (void) snprintf(text, sizeof(text), "\"%0*d\"", (int) (RS_CLASS_MAX + over), 0);
                (over ? expect_refused : expect_accepted)("image", "class", text);
                (void) snprintf(text, sizeof(text), "\"%0*d\"", (int) (RS_NOTES_MAX + over), 0);
                (over ? expect_refused : expect_accepted)("manifest", "notes", text);
        }
        expect_refused("manifest", "line", "\"\"");
        expect_refused("manifest", "line", "\"a b\"");
        expect_refused("manifest", "line", "\"a/b\"");
        expect_refused("manifest", "version", "\"a\\tb\"");
        expect_refused("manifest", "version", "\"\\u00e9\"");
        expect_refused("image", "class", "\"Rootfs\"");
        expect_refused("image", "class", "\"root.fs\"");
}

static void notes_carry_no_control_characters(void **state) {
        (void) state;
        expect_accepted("manifest", "notes", "\"gr\\u00fc\\u00dfe\\n\"");
        expect_accepted("manifest", "notes", "\"\"");
        expect_refused("manifest", "notes", "\"\\u001b[2J\"");
        expect_refused("manifest", "notes", "\"\\r\"");
        expect_refused("manifest", "notes", "\"\\u007f\"");
        expect_refused("manifest", "notes", "\"\\u009b2J\"");
        expect_accepted("manifest", "notes", "\"\\u00a0\"");
}

static void compatible_is_one_to_sixteen_distinct_names(void **state) {
        (void) state;
        expect_refused("manifest", "compatible", "[]");
        expect_refused("manifest", "compatible", "[\"a\",\"b\",\"a\"]");
        expect_refused("manifest", "compatible", "[1]");
        expect_refused("manifest", "compatible", "\"a\"");
        expect_accepted("manifest", "compatible",
                        "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
                        "\"14\","
                        "\"15\",\"16\"]");
        expect_refused("manifest", "compatible",
                       "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
                       "\"14\","
                       "\"15\",\"16\",\"17\"]");
}

/* An images array of n images with classes c0, c1, ... */
static void expect_images(unsigned n, bool accepted) {
        json_t *object = json_loads(GOOD, 0, NULL), *images, *array = json_array();
        Manifest *m = NULL;
        RsError err = RS_ERROR_INIT;
        char *text;
        int r;

        assert_non_null(object);
        images = json_object_get(object, "images");
        for (unsigned i = 0; i < n; i++) {
                json_t *image = json_deep_copy(json_array_get(images, 0));
                char name[8];

                (void) snprintf(name, sizeof(name), "c%u", i);
                assert_int_equal(json_object_set_new(image, "class", json_string(name)), 0);
                assert_int_equal(json_array_append_new(array, image), 0);
        }
        assert_int_equal(json_object_set_new(object, "images", array), 0);
        text = json_dumps(object, 0);
        r = parse(text, &m, &err);
        assert_true((r == 0) == accepted);
        assert_true(accepted || err.reason == RS_REASON_MANIFEST);
        m = manifest_free(m);
        free(text);
        json_decref(object);
}

static void there_are_one_to_sixteen_images_of_distinct_classes(void **state) {
        (void) state;
        expect_images(0, false);
        expect_images(1, true);
        expect_images(RS_IMAGES_MAX, true);
        expect_images(RS_IMAGES_MAX + 1, false);
        expect_refused("manifest", "images", "1");
        expect_refused("manifest", "images", "[" IMAGE("a") "," IMAGE("b") "," IMAGE("a") "]");
}

static void an_image_must_agree_with_itself(void **state) {
        RsError err;

        (void) state;
        expect_refused("image", "chunks", "1");
        expect_refused("image", "chunks", "3");
        expect_refused("image", "table_size", "143");
        expect_refused("image", "frame_chunks", "0");
        expect_refused("image", "frame_chunks", "3");
        assert_true(with("image", "frame_chunks", "1", &err) < 0); /* the table would be larger */
        assert_non_null(strstr(err.text, "table_size"));
        assert_true(with("manifest", "images", "[1]", &err) < 0);
        assert_non_null(strstr(err.text, "image 0: not an object"));
        expect_refused("image", "size", "1048577");
        expect_refused("image", "size", "0");
        expect_refused("image", "salt", "\"00\"");
        expect_refused("image", "root",
                       "\""
                       "AA112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
                       "\"");
}

/* One image of this size, its counts as they must be. */
static int with_size(uint64_t size, RsError *err) {
        uint64_t n_chunks = size / RS_CHUNK_SIZE + (size % RS_CHUNK_SIZE != 0);
        char text[1024];
        Manifest *m = NULL;
        int r;

        (void) snprintf(text, sizeof(text),
                        "{\"format\":1,\"line\":\"l\",\"compatible\":[\"c\"],\"release\":1,\"epoch\":0,"
                        "\"version\":\"v\","
                        "\"created\":0,\"confidential\":false,\"images\":[{\"class\":\"a\",\"size\":%llu,"
                        "\"salt\":\"" HEX32 "\",\"root\":\"" HEX32 "\",\"table_sha256\":\"" HEX32
                        "\",\"chunks\":%llu,\"frame_chunks\":1,"
                        "\"table_size\":%llu}]}",
                        (unsigned long long) size, (unsigned long long) n_chunks,
                        (unsigned long long) (32 + 80 * n_chunks));
        *err = RS_ERROR_INIT;
        r = parse(text, &m, err);
        m = manifest_free(m);
        return r;
}

static void images_are_two_blocks_to_sixteen_gibibytes(void **state) {
        RsError err;

        (void) state;
        assert_int_equal(with_size(RS_IMAGE_SIZE_MIN, &err), 0);
        assert_true(with_size(RS_IMAGE_SIZE_MIN - RS_BLOCK_SIZE, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_MANIFEST);
        assert_int_equal(with_size(RS_IMAGE_SIZE_MAX, &err), 0);
        assert_true(with_size(RS_IMAGE_SIZE_MAX + RS_BLOCK_SIZE, &err) < 0);
        assert_int_equal(err.reason, RS_REASON_MANIFEST);
        assert_true(with_size(INT64_MAX - 4095, &err) < 0);
}

static void geometry_follows_from_the_size(void **state) {
        (void) state;
        assert_int_equal(image_n_chunks(4096), 1);
        assert_int_equal(image_n_chunks(RS_CHUNK_SIZE), 1);
        assert_int_equal(image_n_chunks(RS_CHUNK_SIZE + 4096), 2);
        assert_int_equal(image_n_chunks(RS_IMAGE_SIZE_MAX), RS_CHUNKS_MAX);
        assert_int_equal(image_n_frames(3 * RS_CHUNK_SIZE, 2), 2);
        assert_int_equal(image_chunk_size(RS_CHUNK_SIZE + 8192, 0), RS_CHUNK_SIZE);
        assert_int_equal(image_chunk_size(RS_CHUNK_SIZE + 8192, 1), 8192);
        assert_int_equal(image_chunk_size(RS_CHUNK_SIZE + 8192, 2), 0);
        assert_int_equal(image_frame_size(3 * RS_CHUNK_SIZE + 4096, 2, 0), 2 * RS_CHUNK_SIZE);
        assert_int_equal(image_frame_size(3 * RS_CHUNK_SIZE + 4096, 2, 1), RS_CHUNK_SIZE + 4096);
        assert_int_equal(image_frame_size(RS_IMAGE_SIZE_MAX, 1, UINT32_MAX), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_good_manifest_is_read_field_by_field),
                cmocka_unit_test(encode_is_stable_and_reads_back),
                cmocka_unit_test(text_that_is_not_utf8_is_not_encoded),
                cmocka_unit_test(what_is_not_one_json_object_is_refused),
                cmocka_unit_test(the_size_cap_holds),
                cmocka_unit_test(each_key_is_required_but_the_notes),
                cmocka_unit_test(unknown_keys_are_refused),
                cmocka_unit_test(numbers_are_integers_within_their_range),
                cmocka_unit_test(names_have_their_alphabet_and_length),
                cmocka_unit_test(notes_carry_no_control_characters),
                cmocka_unit_test(compatible_is_one_to_sixteen_distinct_names),
                cmocka_unit_test(there_are_one_to_sixteen_images_of_distinct_classes),
                cmocka_unit_test(an_image_must_agree_with_itself),
                cmocka_unit_test(images_are_two_blocks_to_sixteen_gibibytes),
                cmocka_unit_test(geometry_follows_from_the_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
