/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * secret - key bytes in pages of their own.
 *
 * One mapping per Secret: guard page, data pages, guard page.  Size and address are kept in an
 * ordinary heap object, outside of the data pages, so that no overrun of key bytes can change what
 * will be wiped.  The bytes lie at the end of the data pages: a read or write past them meets the
 * guard page and not a neighbour.  (They are aligned to 16, so up to 15 bytes of slack remain.)
 *
 * The data pages are locked (S10: not in swap), left out of core dumps (S26, S34) and read as zero
 * in a forked child: nothing that Reseal starts has any business with them.  Locking may fail for
 * want of RLIMIT_MEMLOCK; whether that is acceptable is a matter of configuration, so it is told
 * and work goes on.  It is told here, where it is found: most Secrets are made long after the start,
 * and no program has to remember to ask.  Freeing wipes first, whatever else fails.
 *
 * Rejected: OPENSSL_secure_malloc (one arena of fixed size, initialised once per process and global,
 * and its size would have to be guessed for the largest job).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <reseal/base/ossl.h>
#include <reseal/base/secret.h>

#define ALIGNMENT 16u

struct Secret {
        uint8_t *bytes;
        size_t size;
        uint8_t *mapping;
        size_t mapping_size;
        size_t page_size;
        bool locked;
};

static atomic_uint n_lock_failures;

static void tell_on_stderr(void) {
        (void) fputs("warning: keys in memory cannot be locked and may reach swap: raise RLIMIT_MEMLOCK (ulimit -l), or "
                     "run without swap\n", stderr);
}

static void (*_Atomic tell_unlocked)(void) = tell_on_stderr;

static size_t data_pages_size(const Secret *s) {
        return s->mapping_size - 2 * s->page_size;
}

Secret *secret_new(size_t size) {
        long page = sysconf(_SC_PAGESIZE);
        size_t data_size, aligned;
        uint8_t *data;
        Secret *s;
        void *p;

        if (size > RS_SECRET_MAX || page <= 0)
                return NULL;
        s = calloc(1, sizeof(*s));
        if (!s)
                return NULL;

        s->page_size = (size_t) page;
        aligned = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        data_size = (aligned + s->page_size - 1) / s->page_size * s->page_size;
        if (data_size == 0)
                data_size = s->page_size;
        s->mapping_size = data_size + 2 * s->page_size;
        p = mmap(NULL, s->mapping_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
                free(s);
                return NULL;
        }
        s->mapping = p;
        data = s->mapping + s->page_size;
        s->size = size;
        s->bytes = data + data_size - aligned;

        /* A page that would show up in a core dump must not hold a key: these two are not optional. */
        if (mprotect(data, data_size, PROT_READ | PROT_WRITE) < 0 ||
            madvise(data, data_size, MADV_DONTDUMP) < 0) {
                (void) munmap(s->mapping, s->mapping_size); /* nothing was in it yet */
                free(s);
                return NULL;
        }
#ifdef MADV_WIPEONFORK
        (void) madvise(data, data_size, MADV_WIPEONFORK); /* since Linux 4.14; a second line only */
#endif
        s->locked = mlock(data, data_size) == 0;
        if (!s->locked && atomic_fetch_add(&n_lock_failures, 1) == 0)
                atomic_load(&tell_unlocked)();
        return s;
}

Secret *secret_new_random(size_t size) {
        Secret *s = secret_new(size);

        if (s && size > 0 && RAND_priv_bytes_ex(ossl_context(), s->bytes, size, 0) != 1)
                return secret_free(s);
        return s;
}

Secret *secret_new_take(void *bytes, size_t size) {
        Secret *s = secret_new(size);

        if (size == 0)
                return s;
        if (s)
                memcpy(s->bytes, bytes, size);
        OPENSSL_cleanse(bytes, size); /* also on failure: the caller has given them away */
        return s;
}

Secret *secret_dup(const Secret *s) {
        Secret *copy = secret_new(s->size);

        if (copy && s->size > 0)
                memcpy(copy->bytes, s->bytes, s->size);
        return copy;
}

Secret *secret_free(Secret *s) {
        uint8_t *data;

        if (!s)
                return NULL;
        data = s->mapping + s->page_size;
        OPENSSL_cleanse(data, data_pages_size(s));
        if (s->locked)
                (void) munlock(data, data_pages_size(s)); /* wiped already */
        (void) munmap(s->mapping, s->mapping_size);
        free(s);
        return NULL;
}

size_t secret_size(const Secret *s) {
        return s->size;
}

const uint8_t *secret_bytes(const Secret *s) {
        return s->bytes;
}

uint8_t *secret_bytes_mut(Secret *s) {
        return s->bytes;
}

Span secret_span(const Secret *s) {
        return SPAN(s->bytes, s->size);
}

int secret_shrink(Secret *s, size_t size) {
        if (size > s->size)
                return -EINVAL;
        OPENSSL_cleanse(s->bytes + size, s->size - size);
        s->size = size;
        return 0;
}

bool secret_equal(const Secret *a, const Secret *b) {
        return a->size == b->size && CRYPTO_memcmp(a->bytes, b->bytes, a->size) == 0;
}

void secret_on_unlocked(void (*tell)(void)) {
        atomic_store(&tell_unlocked, tell ? tell : tell_on_stderr);
}

unsigned secret_lock_failures(void) {
        return atomic_load(&n_lock_failures);
}
