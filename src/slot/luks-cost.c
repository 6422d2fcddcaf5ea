/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * luks-cost - what opening a header may cost.
 *
 * The passphrase has 256 bits, so its key slot is made with PBKDF2 of 1000 iterations.  A header is whoever's has the
 * disk: an iteration count of 2^32, an Argon2 of many GiB or 32 key slots that are tried one after the other would
 * hold the boot for hours, and nothing would restart the machine.  So the token names the only key slot that is tried,
 * its derivation is the one we make, and the digest of the volume key, whose iterations libcryptsetup chose by the
 * speed of the machine that made it, has a limit.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <reseal/slot/volume.h>

#include "luks.h"

#define DIGEST_ITERATIONS_MAX 4000000 /* libcryptsetup takes what 125 ms give; a fast server does 400000 in them */
#define AF_STRIPES 4000

static bool is_text(const json_t *object, const char *key, const char *want) {
        const char *text = json_string_value(json_object_get(object, key));

        return text && strcmp(text, want) == 0;
}

static bool is_between(const json_t *object, const char *key, json_int_t min, json_int_t max) {
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max;
}

static bool key_slot_is_ours(const json_t *slot) {
        const json_t *kdf = json_object_get(slot, "kdf"), *af = json_object_get(slot, "af");

        return is_text(slot, "type", "luks2") && is_between(slot, "key_size", SLOT_VOLUME_KEY_SIZE, SLOT_VOLUME_KEY_SIZE) &&
               is_text(kdf, "type", "pbkdf2") && is_text(kdf, "hash", "sha512") &&
               is_between(kdf, "iterations", 1, LUKS_PBKDF2_ITERATIONS) &&
               is_text(af, "type", "luks1") && is_between(af, "stripes", AF_STRIPES, AF_STRIPES);
}

static bool digests_are_cheap(json_t *digests) {
        const char *name;
        json_t *digest;

        json_object_foreach(digests, name, digest)
                if (!is_text(digest, "type", "pbkdf2") || !is_between(digest, "iterations", 1, DIGEST_ITERATIONS_MAX))
                        return false;
        return json_object_size(digests) == 1;
}

/* -1: the token does not name one. */
static int key_slot_of(const json_t *header, int token, const json_t **ret) {
        char name[16];
        const json_t *names;
        const char *slot;

        (void) snprintf(name, sizeof(name), "%d", token);
        names = json_object_get(json_object_get(json_object_get(header, "tokens"), name), "keyslots");
        slot = json_string_value(json_array_get(names, 0));
        if (json_array_size(names) != 1 || !slot || strlen(slot) > 2 || strspn(slot, "0123456789") != strlen(slot))
                return -1;
        *ret = json_object_get(json_object_get(header, "keyslots"), slot);
        return *ret ? (slot[1] ? 10 * (slot[0] - '0') + slot[1] - '0' : slot[0] - '0') : -1;
}

int luks_check_cost(struct crypt_device *cd, int token, int *ret_key_slot, RsError *err) {
        const char *text = NULL;
        const json_t *slot = NULL;
        json_t *header;
        int number = -1;
        bool good;

        if (crypt_dump_json(cd, &text, 0) < 0 || !(header = json_loads(text, JSON_REJECT_DUPLICATES, NULL)))
                return rs_fail(err, VOLUME, "the header cannot be read");
        number = key_slot_of(header, token, &slot);
        good = number >= 0 && key_slot_is_ours(slot) && digests_are_cheap(json_object_get(header, "digests"));
        json_decref(header);
        if (!good)
                return rs_fail(err, VOLUME, "token %d: not a key slot of ours: opening it might cost anything", token);
        *ret_key_slot = number;
        return 0;
}
