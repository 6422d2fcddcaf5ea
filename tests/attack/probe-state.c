/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * probe-state TCTI WRITER-DIR [LINK [forge]] - what the writer would read from the TPM, or the reason it
 * would give; with a link: what
 * the writer does at W7 with it, unjudged, and what it notes as seen; forge: commits without CHAIN and
 * notes nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <reseal/base/file.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/tpm/chain.h>
#include <reseal/tpm/state.h>

static int take_link(Tpm *t, int dir_fd, const char *path, bool forge, RsError *err) {
        _cleanup_(secret_freep) Secret *gate = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        uint8_t seen_bytes[TPM_SEEN_SIZE];
        TpmState state;
        TpmSeen seen;
        size_t size = 0;
        Link link;
        int r;

        r = file_read(AT_FDCWD, path, LINK_MAX, &bytes, &size, err);
        if (r >= 0)
                r = file_read_secret(dir_fd, RS_FILE_GATE_AUTH, 64, &gate, err);
        if (r >= 0)
                r = link_parse(SPAN(bytes, size), &link, err);
        if (r >= 0)
                r = tpm_state_read(t, &state, err);
        if (r >= 0 && state.level == TPM_LEVEL_L2 && !forge)
                r = tpm_chain_apply(t, &link, err);
        if (r < 0)
                return r;
        tpm_record_set_chain(&state.record, &link.record);
        r = forge ? tpm_state_recover(t, gate, &state.record, err) : tpm_state_commit(t, gate, &state.record, err);
        if (r < 0 || forge)
                return r;
        r = tpm_state_read(t, &state, err);
        if (r < 0)
                return r;
        tpm_seen_of(&state, &seen);
        r = tpm_seen_encode(&seen, seen_bytes, err);
        return r < 0 ? r : file_replace(dir_fd, RS_FILE_TPM_SEEN, SPAN_ARRAY(seen_bytes), 0600, err);
}

static int show(Tpm *t, int dir_fd, RsError *err) {
        _cleanup_(freep) uint8_t *bytes = NULL;
        TpmSeen seen;
        TpmState s;
        size_t size = 0;
        bool known;
        int r;

        r = file_read(dir_fd, RS_FILE_TPM_SEEN, TPM_SEEN_SIZE, &bytes, &size, err);
        if (r < 0)
                return r;
        known = r > 0 && tpm_seen_parse(SPAN(bytes, size), &seen);
        r = tpm_state_read_seen(t, known ? &seen : NULL, &s, err);
        if (r >= 0)
                (void) printf("L%u release %llu\n", s.level, (unsigned long long) s.record.release);
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(tpm_freep) Tpm *t = NULL;
        uint8_t name[TPM_NAME_SIZE];
        RsError err = RS_ERROR_INIT;
        char lock[256];
        int dir_fd, r;

        if (argc < 3)
                return 2;
        dir_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return 2;
        (void) snprintf(lock, sizeof(lock), "%s/lock", argv[2]);
        r = tpm_srk_name_load(dir_fd, name, &err);
        if (r <= 0)
                return 2;
        r = tpm_new(&(TpmConfig){ .tcti = argv[1], .lock_path = lock }, name, &t, &err);
        if (r >= 0)
                r = argc > 3 ? take_link(t, dir_fd, argv[3], argc > 4, &err) : show(t, dir_fd, &err);
        (void) close(dir_fd);
        if (r >= 0)
                return 0;
        (void) printf("%s: %s\n", rs_reason_name(err.reason), err.text);
        return 1;
}
