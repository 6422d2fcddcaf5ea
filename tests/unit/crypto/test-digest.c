/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 against the examples of FIPS 180-4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <reseal/base/text.h>
#include <reseal/crypto/digest.h>

static const struct {
        const char *text;
        const char *digest;
} vectors[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
};

static void whole_messages_match_the_standard(void **state) {
        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(vectors); i++) {
                uint8_t digest[SHA256_SIZE];
                char hex[HEX_SIZE(SHA256_SIZE)];
                RsError err = RS_ERROR_INIT;

                assert_int_equal(digest_sha256(SPAN(vectors[i].text, strlen(vectors[i].text)), digest, &err),
                                 0);
                hex_encode(SPAN_ARRAY(digest), hex);
                assert_string_equal(hex, vectors[i].digest);
        }
        assert_int_equal(digest_sha256(SPAN_NULL, (uint8_t[SHA256_SIZE]){ 0 }, &RS_ERROR_INIT), 0);
}

static void parts_match_the_whole_and_a_digest_can_start_again(void **state) {
        _cleanup_(digest_freep) Digest *d = NULL;
        RsError err = RS_ERROR_INIT;

        (void) state;
        assert_int_equal(digest_new(&d, &err), 0);
        for (unsigned round = 0; round < 2; round++) {
                const char *text = vectors[2].text;
                uint8_t digest[SHA256_SIZE];
                char hex[HEX_SIZE(SHA256_SIZE)];

                assert_int_equal(digest_start(d, &err), 0);
                assert_int_equal(digest_feed(d, SPAN(text, 7), &err), 0);
                assert_int_equal(digest_feed(d, SPAN_NULL, &err), 0);
                assert_int_equal(digest_feed(d, SPAN(text + 7, strlen(text) - 7), &err), 0);
                assert_int_equal(digest_finish(d, digest, &err), 0);
                hex_encode(SPAN_ARRAY(digest), hex);
                assert_string_equal(hex, vectors[2].digest);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_messages_match_the_standard),
                cmocka_unit_test(parts_match_the_whole_and_a_digest_can_start_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
