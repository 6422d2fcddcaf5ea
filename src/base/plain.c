/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * plain - pages of their own for plaintext of an image.
 *
 * One mapping per buffer; its first page says how large it is, so that freeing needs no size: a decoder that is given
 * these functions for its memory does not tell one.
 */
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <reseal/base/plain.h>

static size_t page_size(void) {
        long n = sysconf(_SC_PAGESIZE);

        return n > 0 ? (size_t) n : 0;
}

uint8_t *plain_new(size_t size) {
        size_t page = page_size(), whole;
        void *p;

        if (page == 0 || size > SIZE_MAX - 2 * page)
                return NULL;
        whole = page + (size + page - 1) / page * page;
        p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                return NULL;
        if (madvise(p, whole, MADV_DONTDUMP) < 0) {
                (void) munmap(p, whole); /* nothing was in it yet */
                return NULL;
        }
        *(size_t *) p = whole;
        return (uint8_t *) p + page;
}

void plain_wipe(void *bytes, size_t size) {
        OPENSSL_cleanse(bytes, size); /* no compiler leaves it out */
}

uint8_t *plain_free(uint8_t *p) {
        size_t page = page_size(), whole;

        if (!p)
                return NULL;
        p -= page;
        whole = *(size_t *) (void *) p;
        plain_wipe(p, whole);
        (void) munmap(p, whole); /* wiped already */
        return NULL;
}
