/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ask - what callers want to know or change besides an installation: slots, marks, inspections, the certified record.
 *
 * Each question is a task of its own: the worker connects to the writer, asks, disconnects.  While an
 * installation holds the worker, slots are answered from what is known (bus-manager.c), marks and inspections
 * with Busy: nothing waits behind an installation that may take hours.  The answer brings a fresh view of the
 * slots along whenever the writer was asked.
 */
#include <stdlib.h>
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/tpm/proof.h>

#include "journal.h"
#include "manager.h"

#define ASK_DEADLINE_USEC (60 * UINT64_C(1000000)) /* an installation may wait behind an inspection */

typedef enum AskKind {
        ASK_SLOTS,
        ASK_MARK,
        ASK_INSPECT,
        ASK_CHECK,
        ASK_CHAIN,
        ASK_IMPORT,
        ASK_POLICY,
        ASK_CERTIFY,
} AskKind;

typedef struct Ask {
        Task task;
        Manager *manager;
        sd_bus_message *request;     /* NULL: nobody waits */
        int place;                   /* of the caller; < 0: none */
        AskKind kind;
        uint32_t what;               /* mark */
        char slot[64];
        char name[33];
        char url[HTTPS_URL_MAX + 1];
        JobEnv env;
        View view;                   /* results */
        WriterTrust trust;
        ConfigNotes policy;          /* the writer's */
        uint8_t nonce[TPM_PROOF_NONCE_MAX];
        size_t nonce_size;
        Encoder proof;
        Encoder crl;                 /* import: as a set of one */
        bool changed;
        JobInspection inspection;
        bool answered;
        RsError err;
} Ask;

/* -- worker -------------------------------------------------------------------------------------- */

static int read_view(Ask *a, WriterClient *w) {
        View *v = &a->view;

        (void) snprintf(v->line, sizeof(v->line), "%s", writer_client_line(w));
        int r = writer_call_state(w, &v->state, &a->err);
        if (r >= 0)
                r = writer_call_slots(w, v->slots, WRITER_SLOTS_MAX, &v->n_slots, &a->err);
        if (r < 0)
                return r;
        v->when_usec = clock_boottime_usec();
        v->known = true;
        return 0;
}

/* "booted" is for the writer to find; "other" is the other slot of the class that the running one belongs to. */
static int find_slot(Ask *a, char ret[33]) {
        const View *v = &a->view;
        const WriterSlotInfo *running = NULL;

        ret[0] = '\0';
        if (strcmp(a->slot, "booted") == 0)
                return 0;
        if (strcmp(a->slot, "other") != 0) {
                size_t size = strlen(a->slot) + 1;

                if (size > 33)
                        return rs_fail(&a->err, INVALID, "no such slot");
                memcpy(ret, a->slot, size);
                return 0;
        }
        for (uint32_t i = 0; i < v->n_slots && !running; i++)
                if (v->slots[i].running)
                        running = &v->slots[i];
        for (uint32_t i = 0; running && i < v->n_slots; i++)
                if (!v->slots[i].running && strcmp(v->slots[i].class_name, running->class_name) == 0) {
                        memcpy(ret, v->slots[i].name, 33);
                        return 0;
                }
        return rs_fail(&a->err, STATE, "it is not known which slot is the other one");
}

/* Behind the set's number and length: the one list.  The roots first: our copy is judged by them. */
static int import_list(Ask *a, WriterClient *w) {
        int r = trust_roots_ask(a->manager->roots, w, &a->err);

        if (r > 0)
                r = trust_roots_adopt(a->manager->roots, a->manager->lists, &a->err);
        if (r < 0)
                return r;
        r = writer_call_evidence(w, WRITER_EVIDENCE_CRLS, encoder_view(&a->crl), &a->changed, &a->err);

        return r < 0 ? r : source_lists_add(a->manager->lists, SPAN(a->crl.data + 8, a->crl.size - 8), &a->err);
}

/* TRUST is answered whatever is wrong, and says it; the slots, not known then, are not what was asked for. */
static int ask_trust(Ask *a, WriterClient *w) {
        int r = writer_call_trust(w, &a->trust, &a->err);

        if (r >= 0 && read_view(a, w) < 0)
                a->err = RS_ERROR_INIT;
        return r;
}

static int run_writer(Ask *a) {
        _cleanup_(writer_client_freep) WriterClient *w = NULL;
        char slot[33];

        /* A writer that hangs must not keep a job behind it from being cancelled, nor the service from ending. */
        int r = writer_client_connect_cancel(a->env.writer_socket, a->env.https.cancel_fd, &w, &a->err);
        if (r >= 0 && a->kind == ASK_POLICY) /* whatever is wrong with the slots */
                return writer_call_policy(w, &a->policy, &a->err);
        if (r >= 0)
                r = a->kind == ASK_CHAIN ? ask_trust(a, w) : read_view(a, w);
        if (r >= 0 && a->kind == ASK_IMPORT)
                r = import_list(a, w);
        if (r < 0 || a->kind != ASK_MARK)
                return r;
        r = find_slot(a, slot);
        if (r >= 0)
                r = writer_call_mark(w, a->what, slot, a->name, &a->err);
        if (r < 0)
                return r;
        a->view.known = false;
        return read_view(a, w);
}

/* The writer is not asked: the TPM speaks, and reading the record needs no right that only the writer has. */
static int run_certify(Ask *a) {
        const Identity *i = &a->manager->identity;
        const IdentityKey *k = &i->keys[TPM_KEY_ATTEST];

        if (!i->tpm || !k->present)
                return rs_fail(&a->err, NOT_PROVISIONED, "there is no attestation key");
        return tpm_proof_make(i->tpm, &k->key, SPAN(a->nonce, a->nonce_size),
                              SPAN(k->certificate_pem, k->certificate_size), &a->proof, &a->err);
}

static void ask_run(Task *t) {
        Ask *a = (Ask *) t;
        bool head = a->kind == ASK_INSPECT || a->kind == ASK_CHECK;
        int r = head                       ? job_inspect(&a->env, a->url, &a->inspection, &a->err)
                : a->kind == ASK_CERTIFY ? run_certify(a)
                                         : run_writer(a);

        a->answered = r >= 0;
}

/* -- main thread --------------------------------------------------------------------------------- */

static int reply(Ask *a) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        if (a->kind == ASK_MARK)
                return sd_bus_reply_method_return(a->request, "s", a->name);
        if (a->kind == ASK_IMPORT)
                return sd_bus_reply_method_return(a->request, "b", (int) a->changed);
        int r = sd_bus_message_new_method_return(a->request, &m);
        if (r >= 0)
                r = a->kind == ASK_SLOTS     ? bus_append_slots(m, &a->view)
                    : a->kind == ASK_CHAIN   ? bus_append_trust(m, &a->trust)
                    : a->kind == ASK_CERTIFY ? sd_bus_message_append_array(m, 'y', a->proof.data, a->proof.size)
                    : a->kind == ASK_POLICY  ? bus_append_policy(m, &a->policy, &a->manager->config.notes)
                    : a->kind == ASK_INSPECT ? bus_append_inspection(m, &a->inspection)
                                             : bus_append_check(m, &a->inspection);
        if (r >= 0)
                r = sd_bus_send(NULL, m, NULL);
        return r;
}

static void ask_done(Task *t) {
        Ask *a = (Ask *) t;
        Manager *m = a->manager;

        if (a->view.known)
                manager_seen(m, &a->view);
        if (!a->answered && a->err.reason == RS_REASON_CANCELLED && job_is_at_work(m)) {
                a->err = RS_ERROR_INIT;
                (void) rs_fail(&a->err, BUSY, "an installation has begun");
        }
        if (!a->answered && a->err.reason == RS_REASON_NONE)
                (void) rs_fail(&a->err, BUSY, "the service is stopping");
        if (a->request && !a->answered)
                (void) bus_reply_error(a->request, &a->err);
        else if (a->request && reply(a) < 0) {
                (void) rs_fail(&a->err, INTERNAL, "the answer cannot be put together");
                (void) bus_reply_error(a->request, &a->err);
        }
        if (a->answered && a->kind == ASK_MARK)
                journal_send(JOURNAL_SLOT_MARKED, &(JournalFields){ .slot = a->name }, "Slot %s was marked", a->name);
        job_inspection_done(&a->inspection);
        encoder_done(&a->crl);
        encoder_done(&a->proof);
        config_notes_done(&a->policy);
        (void) sd_bus_message_unref(a->request);
        places_give_back(&m->places, a->place);
        free(a);
}

static int fill(Ask *a, const char *text, Span bytes, RsError *err) {
        if (a->kind == ASK_MARK)
                (void) snprintf(a->slot, sizeof(a->slot), "%s", text);
        if (a->kind == ASK_INSPECT || a->kind == ASK_CHECK)
                (void) snprintf(a->url, sizeof(a->url), "%s", text);
        if (a->kind == ASK_IMPORT) {
                encoder_u32(&a->crl, 1);
                encoder_u32(&a->crl, (uint32_t) bytes.size);
                encoder_span(&a->crl, bytes);
                if (encoder_finish(&a->crl) < 0)
                        return rs_fail_oom(err);
        }
        if (a->kind == ASK_CERTIFY && bytes.size > 0) {
                a->nonce_size = bytes.size < sizeof(a->nonce) ? bytes.size : sizeof(a->nonce);
                memcpy(a->nonce, bytes.data, a->nonce_size);
        }
        return 0;
}

/* request and caller NULL: nobody waits. */
static int submit(Manager *m, sd_bus_message *request, const Caller *caller, AskKind kind, uint32_t what,
                  const char *text, Span bytes) {
        RsError err = RS_ERROR_INIT;
        int place = -1, r = 0;

        if (job_is_at_work(m) || m->stopping)
                r = rs_fail(&err, BUSY, "%s", m->stopping ? "the service is stopping" : "an installation is running");
        else if (request)
                r = place = places_take(&m->places, caller, &err);
        if (r < 0)
                return request ? bus_reply_error(request, &err) : r;
        Ask *a = calloc(1, sizeof(*a));
        if (!a) {
                places_give_back(&m->places, place);
                return -ENOMEM;
        }
        a->task = (Task){ .run = ask_run, .done = ask_done, .within_usec = manager_patience_usec(m) };
        a->manager = m;
        a->request = sd_bus_message_ref(request);
        a->place = place;
        a->kind = kind;
        a->what = what;
        a->env = manager_job_env(m, kind != ASK_INSPECT && kind != ASK_CHECK ? m->writer_cancel_fd : m->ask_cancel_fd);
        a->env.https.deadline_usec = ASK_DEADLINE_USEC;
        a->env.https.max_retries = 1;
        if (fill(a, text, bytes, &a->err) < 0) {
                ask_done(&a->task);
                return 1;
        }
        worker_submit(m->worker, &a->task);
        return 1;
}

void ask_view(Manager *m) {
        (void) submit(m, NULL, NULL, ASK_SLOTS, 0, "", SPAN_NULL); /* the next one will do */
}

int ask_slots(Manager *m, sd_bus_message *request, const Caller *caller) {
        return submit(m, request, caller, ASK_SLOTS, 0, "", SPAN_NULL);
}

int ask_chain(Manager *m, sd_bus_message *request, const Caller *caller) {
        return submit(m, request, caller, ASK_CHAIN, 0, "", SPAN_NULL);
}

int ask_policy(Manager *m, sd_bus_message *request, const Caller *caller) {
        return submit(m, request, caller, ASK_POLICY, 0, "", SPAN_NULL);
}

int ask_certify(Manager *m, sd_bus_message *request, const Caller *caller, Span nonce) {
        return submit(m, request, caller, ASK_CERTIFY, 0, "", nonce);
}

int ask_import(Manager *m, sd_bus_message *request, const Caller *caller, Span crl) {
        return submit(m, request, caller, ASK_IMPORT, 0, "", crl);
}

int ask_mark(Manager *m, sd_bus_message *request, const Caller *caller, uint32_t what, const char *slot) {
        return submit(m, request, caller, ASK_MARK, what, slot, SPAN_NULL);
}

int ask_inspect(Manager *m, sd_bus_message *request, const Caller *caller, const char *url) {
        return submit(m, request, caller, ASK_INSPECT, 0, url, SPAN_NULL);
}

int ask_check(Manager *m, sd_bus_message *request, const Caller *caller, const char *url) {
        return submit(m, request, caller, ASK_CHECK, 0, url, SPAN_NULL);
}
