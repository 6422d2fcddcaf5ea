/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * install - the steps W0 to W12 in their order, resumable at every one of them.
 *
 * Spec:     DESIGN.md 8; docs/protocol-writer.md; invariants I0 to I5 at the top of src/install/install.c
 * Trust:    requests come from a process that may be taken over; tables and frames are judged here, releases by the
 *           gate
 * Owns:     an Installer owns its state; everything in InstallDevice is borrowed and outlives it
 * Units:    bytes; images, frames and windows by number
 * Errors:   those of gate, map, image, volume, boot and tpm; TRIAL_PENDING, STATE, TARGET, TABLE_DIGEST, ROOT,
 *           CANCELLED; PROTOCOL for
 *           a request that does not fit the signed table or comes out of order: the peer has broken the protocol
 * Context:  one worker thread (blocks); install_cancel from any thread
 * Programs: reseal-writer
 */
#include <stdbool.h>
#include <stdint.h>

#include <reseal/base/error.h>
#include <reseal/base/secret.h>
#include <reseal/base/span.h>
#include <reseal/boot/boot.h>
#include <reseal/install/record.h>
#include <reseal/ipc/writer-proto.h>
#include <reseal/pki/path.h>
#include <reseal/slot/map.h>
#include <reseal/tpm/state.h>
#include <reseal/trust/anchors.h>
#include <reseal/trust/freshness.h>

typedef enum InstallStep {
        INSTALL_W0_GATE = 0,
        INSTALL_W1_RECORD,
        INSTALL_W2_UNBOOTABLE,
        INSTALL_W3_ERASE,
        INSTALL_W4_FRAMES,
        INSTALL_W5_FINISH,
        INSTALL_W6_COMMIT,
        INSTALL_W7_ACCEPT,
        INSTALL_W8_TRY,
        INSTALL_W9_TRIAL,
        INSTALL_W10_GOOD,
        INSTALL_W11_FLOOR,
        INSTALL_W12_CLOSE,
        _INSTALL_STEP_MAX,
} InstallStep;

const char *install_step_to_string(InstallStep step);

typedef struct InstallDevice {
        const char *state_dir;          /* absolute; libcryptsetup wants a path for the header files */
        int state_fd;                   /* the same directory */
        const char *booted_path;        /* what the initramfs wrote: slot=, manifest= */
        const char *sysfs;              /* NULL: /sys */
        const SlotMap *map;
        Boot *boot;
        Tpm *tpm;
        const Secret *gate_auth;
        TrustStoreConfig trust;         /* .state_fd and .line as here */
        uint64_t build_time;            /* seconds since 1970: it is not earlier than this */
        uint8_t boot_id[16];            /* of this boot */
        const char *line;
        const char *compatible;
        bool require_encryption;
        struct {
                bool require_time;      /* a time-stamp of this boot before an installation */
                bool require_crl;       /* revocation lists that are not out of date */
                FreshnessPolicy freshness;
                uint64_t crl_grace_sec;
                bool trials_by_health;  /* mark-by-daemon=no: reseald ends no trial */
        } policy;
        /*
         * Before (done = false) and after (true) each step; the log and the tests that cut power look here.  May be
         * NULL.
         */
        void (*on_step)(void *userdata, InstallStep step, bool done);
        /* After each frame; done_bytes includes what a resumed record has proven.  May be NULL. */
        void (*on_progress)(void *userdata, const WriterProgress *progress);
        /* Now and then while a step takes long: a sign of life for a watchdog.  May be NULL. */
        void (*on_alive)(void *userdata);
        void *userdata;
} InstallDevice;

typedef struct Installer Installer;

int install_new(const InstallDevice *device, Installer **ret, RsError *err);
Installer *install_free(Installer *i);
RS_DEFINE_CLEANUP(Installer, install_free)

/* At the start, at MARK good and before each offer: what a power cut left half done behind the commit points (W11,
 * W12). */
int install_converge(Installer *i, RsError *err);

/* One installation */
/* Evidence before the offer; install_trust always answers, also with why nothing can be installed. */
int install_time(Installer *i, WriterTime *ret, RsError *err);
int install_evidence(Installer *i, WriterEvidence kind, Span bytes, bool *ret_changed, RsError *err);
int install_trust(Installer *i, WriterTrust *ret, RsError *err);
int install_anchors(Installer *i, Span *ret_set /* borrowed until the next call; empty: version 0 */, RsError *err);
int install_offer(Installer *i, Span manifest_cms, WriterOffer *ret, RsError *err);
/* Behind a good offer: is it proven to be the latest release? */
FreshnessVerdict install_freshness(const Installer *i);
/* ret_ranges: WRITER_RANGES_MAX entries. */
int install_table(Installer *i, uint32_t image, Span table, uint32_t *ret_next, WriterRange *ret_ranges,
                  uint32_t *ret_n, RsError *err);
/* All wanted images have their table. */
bool install_tabled(const Installer *i);
/* shared: the frame's plaintext in memory that the peer may change at any moment; NULL for zero and dup frames. */
int install_frame(Installer *i, const WriterFrame *frame, const volatile uint8_t *shared, RsError *err);
int install_finish(Installer *i, char ret_primary[WRITER_NAME_SIZE + 1], RsError *err);
/* Lets go of the target; the record stays. */
void install_abort(Installer *i);
/*
 * A running install_finish stops before W7 with CANCELLED; later ones are not affected once install_abort was called.
 */
void install_cancel(Installer *i);

/* The running slot */
typedef struct InstallBooted {
        char slot[INSTALL_NAME_SIZE + 1];
        bool has_manifest;
        uint8_t manifest[RS_DIGEST_SIZE];
} InstallBooted;

/* Fuzzed: text of /run/reseal/booted. */
int install_booted_parse(Span text, InstallBooted *ret, RsError *err);

/* What an initramfs before this one refused. */
typedef struct InstallRefused {
        char slot[INSTALL_NAME_SIZE + 1];
        RsReason reason;
} InstallRefused;

/* Text of /run/reseal/refused. */
int install_refused_parse(Span text, InstallRefused *ret, RsError *err);
/* STATE when / lies on a device-mapper chain that does not end in a slot of this boot name.  sysfs: NULL is /sys. */
int install_check_root(const SlotMap *map, const char *sysfs, const char *boot_name, RsError *err);

int install_slots(Installer *i, WriterSlotInfo *ret, uint32_t max, uint32_t *ret_n, RsError *err);
/* fresh = false: of the TPM, what this Installer read or wrote last; the TPM is not asked. */
bool install_state_known(const Installer *i); /* fresh may be false */
int install_state(Installer *i, bool fresh, WriterState *ret, RsError *err);
/* What an operator has to hear of although no request fails for it. */
typedef enum InstallAlarm {
        INSTALL_ALARM_TRUST_SET,        /* the set that lies in the store is not adopted, the accepted one stays */
        INSTALL_ALARM_SIGNER_REVOKED,   /* of the release accepted last: it runs on, a bridge leads past it (F19) */
        INSTALL_ALARM_RUNNING_BELOW,    /* RunningBelowAccepted: an older image was put back (T31) */
        _INSTALL_ALARM_MAX,
} InstallAlarm;
/* True, once for each cause. */
bool install_untold(Installer *i, InstallAlarm *ret, RsError *ret_why);
/* Who asks for a change of what starts next; by the socket and the peer's credentials, never by a message. */
typedef enum InstallAsker {
        INSTALL_BY_DAEMON,
        INSTALL_BY_HEALTH,
        INSTALL_BY_ROOT,                /* on writer.sock; on health.sock he is the health check */
        INSTALL_BY_ROOT_BELOW,          /* who said that it may lead below the release accepted last */
        INSTALL_BY_INSTALLATION,        /* W2, W8, W11 */
        _INSTALL_ASKER_MAX,
} InstallAsker;
/* The running slot failed its trial, for the reason told in report; the other slot is next, if it is good.  STATE when
 * the running slot is good already. */
int install_reject(Installer *i, InstallAsker asker, const char *report, char ret_name[WRITER_NAME_SIZE + 1],
                   RsError *err);
/*
 * slot_name: a boot name or the name of a slot of it; empty = running.  1 = done, and the next start leads below the
 * release accepted last.  ROLLBACK, POLICY: src/install/next.c.
 */
int install_mark(Installer *i, InstallAsker asker, WriterMark what, const char *slot_name,
                 char ret_name[WRITER_NAME_SIZE + 1], RsError *err);
