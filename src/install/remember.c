/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * remember - the TPM's state, and whether the TPM is as old as what was seen of it.
 *
 * File "tpm.seen" in the state directory holds the counters as they were last read.  The file may be older than
 * the TPM: then a disk was put back, which the record notices where it matters.  A TPM that is older than the
 * file was itself put back, and everything it remembers is worth nothing: TpmRestored, until reseal-provision
 * recover.
 *
 * The file is written only when something rose, after it was read back from the TPM; losing it loses the
 * comparison, never an installation.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/file.h>

#include "engine.h"

#define FILE_SEEN "tpm.seen"

/* NULL: nothing to compare with. */
static const TpmSeen *load_seen(Installer *i, TpmSeen *buffer) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        RsError unused = RS_ERROR_INIT;
        size_t size;

        if (file_read(i->device.state_fd, FILE_SEEN, TPM_SEEN_SIZE, &bytes, &size, &unused) <= 0 ||
            !tpm_seen_parse(SPAN(bytes, size), buffer))
                return NULL;
        return buffer;
}

static int save_seen(Installer *i, const TpmState *state, const TpmSeen *before, RsError *err) {
        uint8_t bytes[TPM_SEEN_SIZE], old[TPM_SEEN_SIZE];
        TpmSeen now;
        int r;

        tpm_seen_of(state, &now);
        r = tpm_seen_encode(&now, bytes, err);
        if (r == 0 && before)
                r = tpm_seen_encode(before, old, err);
        if (r < 0)
                return r;
        if (before && memcmp(bytes, old, sizeof(bytes)) == 0)
                return 0;
        return file_replace(i->device.state_fd, FILE_SEEN, SPAN_ARRAY(bytes), 0600, err);
}

int read_tpm(Installer *i, TpmState *ret, RsError *err) {
        const TpmSeen *seen;
        TpmSeen buffer;
        TpmState state;
        int r;

        seen = load_seen(i, &buffer);
        r = tpm_state_read_seen(i->device.tpm, seen, &state, err);
        if (r == 0)
                r = save_seen(i, &state, seen, err);
        if (r < 0)
                return r;
        *ret = i->seen = state;
        i->has_seen = true;
        return 0;
}

int commit_tpm(Installer *i, const TpmRecord *next, RsError *err) {
        int r;

        r = tpm_state_commit(i->device.tpm, i->device.gate_auth, next, err);
        if (r < 0) {
                i->has_seen = false; /* half of it may have been done */
                return r;
        }
        i->seen.record = *next;
        return r;
}
