/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-manager - the object /org/reseal1: conf/org.reseal1.xml as a vtable.
 *
 * Every method checks its arguments first (cheap, says what is wrong), then asks bus-access.c, which calls
 * the second half of the method when the caller may.  Nothing here waits.  Reads answer from the view when
 * the worker is at work, so status is there within milliseconds while an installation runs.
 */
#include <string.h>

#include <reseal/base/cleanup.h>
#include <reseal/base/clock.h>
#include <reseal/base/names.h>
#include <reseal/base/text.h>
#include <reseal/pki/crl.h>
#include <reseal/tpm/proof.h>

#include "manager.h"
#include "order.h"

#define FRESH_USEC 1000000u

int bus_reply_error(sd_bus_message *request, const RsError *err) {
        return sd_bus_reply_method_errorf(request, rs_reason_dbus_name(err->reason), "%s",
                                          err->text[0] ? err->text : rs_reason_text(err->reason));
}

static int refuse(sd_bus_message *request, RsError *err) {
        return bus_reply_error(request, err);
}

/* -- methods ------------------------------------------------------------------------------------- */

/* The job's path, or why there is none. */
static int start(Manager *m, sd_bus_message *request, const JobRequest *order) {
        RsError err = RS_ERROR_INIT;
        char path[64];
        Job *j;

        if (job_start(m, order, &j, &err) < 0)
                return bus_reply_error(request, &err);
        (void) snprintf(path, sizeof(path), RS_BUS_PATH_JOB_PREFIX "%u", j->id);
        return sd_bus_reply_method_return(request, "o", path);
}

static int install_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        RsError err = RS_ERROR_INIT;
        JobRequest order;

        (void) caller;
        if (order_read_url(m, request, &order, &err) < 0)
                return bus_reply_error(request, &err);
        return start(m, request, &order);
}

static int install_fd_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        RsError err = RS_ERROR_INIT;
        JobRequest order;

        (void) caller;
        if (order_read_fd(m, request, &order, &err) < 0)
                return bus_reply_error(request, &err);
        return start(m, request, &order);
}

static int inspect_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        RsError err = RS_ERROR_INIT;
        JobRequest order;

        if (order_read_url(m, request, &order, &err) < 0)
                return bus_reply_error(request, &err);
        return ask_inspect(m, request, caller, order.url);
}

static int check_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        RsError err = RS_ERROR_INIT;
        JobRequest order;

        if (order_read_url(m, request, &order, &err) < 0)
                return bus_reply_error(request, &err);
        return ask_check(m, request, caller, order.url);
}

/* First half of the four: what is wrong with the arguments is said before anybody is asked for a password. */
static int check_order(Manager *m, sd_bus_message *request, bool by_fd, const char *action, AccessGranted granted) {
        RsError err = RS_ERROR_INIT;
        JobRequest order;

        int r = by_fd ? order_read_fd(m, request, &order, &err) : order_read_url(m, request, &order, &err);
        if (r < 0)
                return refuse(request, &err);
        return access_check(m, request, action, granted);
}

static int method_install(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return check_order(userdata, request, false, "org.reseal1.install", install_granted);
}

static int method_install_fd(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return check_order(userdata, request, true, "org.reseal1.install", install_fd_granted);
}

static int method_inspect(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return check_order(userdata, request, false, "org.reseal1.inspect", inspect_granted);
}

static int method_check(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return check_order(userdata, request, false, "org.reseal1.inspect", check_granted);
}

static int method_list_slots(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        Manager *m = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        bool at_work = job_is_at_work(m), busy = at_work || worker_load(m->worker) > 0;

        (void) unused;
        if (!m->view.known || (!at_work && m->view.overtaken) ||
            (!busy && clock_boottime_usec() - m->view.when_usec > FRESH_USEC))
                return access_check(m, request, NULL, ask_slots);
        int r = sd_bus_message_new_method_return(request, &reply);
        if (r >= 0)
                r = bus_append_slots(reply, &m->view);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_get_chain(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return access_check(userdata, request, NULL, ask_chain);
}

static int method_get_policy(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        (void) unused;
        return access_check(userdata, request, NULL, ask_policy);
}

static int certify_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        const void *nonce;
        size_t size;

        if (sd_bus_message_rewind(request, true) < 0 || sd_bus_message_read_array(request, 'y', &nonce, &size) < 0)
                return -EINVAL;
        return ask_certify(m, request, caller, SPAN(nonce, size));
}

static int method_certify_record(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        RsError err = RS_ERROR_INIT;
        const void *nonce;
        size_t size;

        (void) unused;
        if (sd_bus_message_read_array(request, 'y', &nonce, &size) < 0 || size < TPM_PROOF_NONCE_MIN ||
            size > TPM_PROOF_NONCE_MAX) {
                (void) rs_fail(&err, INVALID, "a nonce has %u to %u bytes", TPM_PROOF_NONCE_MIN, TPM_PROOF_NONCE_MAX);
                return refuse(request, &err);
        }
        return access_check(userdata, request, "org.reseal1.certify", certify_granted);
}

static int import_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        const void *der;
        size_t size;

        if (sd_bus_message_rewind(request, true) < 0 || sd_bus_message_read_array(request, 'y', &der, &size) < 0)
                return -EINVAL;
        return ask_import(m, request, caller, SPAN(der, size));
}

static int method_import_crl(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        RsError err = RS_ERROR_INIT;
        const void *der;
        size_t size;

        (void) unused;
        if (sd_bus_message_read_array(request, 'y', &der, &size) < 0 || size == 0 || size > CRL_SIZE_MAX) {
                (void) rs_fail(&err, INVALID, "a revocation list has 1 to %u bytes", CRL_SIZE_MAX);
                return refuse(request, &err);
        }
        return access_check(userdata, request, "org.reseal1.import", import_granted);
}

static int read_mark(sd_bus_message *request, uint32_t *ret_what, const char **ret_slot, RsError *err) {
        const char *state;

        if (sd_bus_message_rewind(request, true) < 0 || sd_bus_message_read(request, "ss", &state, ret_slot) < 0)
                return rs_fail(err, INVALID, "state and slot are strings");
        if (strcmp(state, "good") == 0)
                *ret_what = WRITER_MARK_GOOD;
        else if (strcmp(state, "bad") == 0)
                *ret_what = WRITER_MARK_BAD;
        else if (strcmp(state, "active") == 0)
                *ret_what = WRITER_MARK_ACTIVE;
        else
                return rs_fail(err, INVALID, "state is good, bad or active, not %.20s", state);
        size_t n = strlen(*ret_slot);
        if (n == 0 || n > 32 || strspn(*ret_slot, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
                return rs_fail(err, INVALID, "not a slot name");
        return 0;
}

static int mark_granted(Manager *m, sd_bus_message *request, const Caller *caller) {
        RsError err = RS_ERROR_INIT;
        const char *slot;
        uint32_t what;

        if (read_mark(request, &what, &slot, &err) < 0)
                return bus_reply_error(request, &err);
        return ask_mark(m, request, caller, what, slot);
}

static int method_mark(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        RsError err = RS_ERROR_INIT;
        const char *slot;
        uint32_t what;

        (void) unused;
        if (read_mark(request, &what, &slot, &err) < 0)
                return refuse(request, &err);
        return access_check(userdata, request, "org.reseal1.mark", mark_granted);
}

static int method_list_jobs(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        Manager *m = userdata;
        char path[64];

        (void) unused;
        if (!m->job)
                return sd_bus_reply_method_return(request, "a(os)", 0);
        (void) snprintf(path, sizeof(path), RS_BUS_PATH_JOB_PREFIX "%u", m->job->id);
        return sd_bus_reply_method_return(request, "a(os)", 1, path, job_state_to_string(m->job->shown.state));
}

static int append_attributes(sd_bus_message *reply, const TpmKey *key) {
        const char *words[TPM_KEY_ATTRIBUTES_MAX];
        unsigned n = tpm_key_attributes(key, words);
        int r = sd_bus_message_open_container(reply, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(reply, "s", "attributes");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "s");
        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "s", words[i]);
        for (int i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(reply);
        return r;
}

static int append_certificate(sd_bus_message *reply, const SignerInfo *c) {
        char spki[HEX_SIZE(32)];

        hex_encode(SPAN_ARRAY(c->spki_sha256), spki);
        return sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "certificate-subject", "s", c->subject,
                                     "certificate-not-before", "t", c->not_before, "certificate-not-after", "t",
                                     c->not_after, "certificate-spki-sha256", "s", spki);
}

static int append_key(sd_bus_message *reply, TpmKeyPurpose purpose, const IdentityKey *k) {
        char id[HEX_SIZE(32)];

        hex_encode(SPAN_ARRAY(k->spki_sha256), id);
        int r = sd_bus_message_open_container(reply, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", identity_key_name(purpose));
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "algorithm", "s", tpm_key_algorithm(&k->key),
                                          "held-in", "s", "TPM", "spki-sha256", "s", id, "certificate", "b",
                                          (int) k->has_certificate);
        if (r >= 0)
                r = append_attributes(reply, &k->key);
        if (r >= 0 && k->described)
                r = append_certificate(reply, &k->certificate);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int method_get_keys(sd_bus_message *request, void *userdata, sd_bus_error *unused) {
        Manager *m = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        (void) unused;
        int r = sd_bus_message_new_method_return(request, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sa{sv})");
        for (int p = 0; r >= 0 && p < _TPM_KEY_PURPOSE_MAX; p++)
                if (m->identity.keys[p].present)
                        r = append_key(reply, (TpmKeyPurpose) p, &m->identity.keys[p]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* -- properties ---------------------------------------------------------------------------------- */

static int property_text(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *m = userdata;
        const char *value = "";

        (void) bus;
        (void) path;
        (void) interface;
        (void) error;
        if (strcmp(property, "Version") == 0)
                value = RS_VERSION;
        else if (strcmp(property, "State") == 0)
                value = manager_state(m);
        else if (strcmp(property, "Line") == 0)
                value = m->view.line;
        else if (strcmp(property, "BootedSlot") == 0)
                value = m->view.state.running;
        else if (strcmp(property, "PrimarySlot") == 0)
                value = m->view.state.primary;
        return sd_bus_message_append(reply, "s", value);
}

static int property_compatible(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *m = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) error;
        int r = sd_bus_message_open_container(reply, 'a', "s");
        for (unsigned i = 0; r >= 0 && i < m->config.n_compatible; i++)
                r = sd_bus_message_append(reply, "s", m->config.compatible[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int property_release(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const Manager *m = userdata;

        (void) bus;
        (void) path;
        (void) interface;
        (void) property;
        (void) error;
        return sd_bus_message_append(reply, "t", m->view.state.release);
}

#define FREE SD_BUS_VTABLE_UNPRIVILEGED /* who may is decided by bus-access.c, method by method */
static const sd_bus_vtable VTABLE[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Install", SD_BUS_ARGS("s", source, "a{sv}", options), SD_BUS_RESULT("o", job),
                                method_install, FREE),
        SD_BUS_METHOD_WITH_ARGS("InstallFd", SD_BUS_ARGS("h", fd, "a{sv}", options), SD_BUS_RESULT("o", job),
                                method_install_fd, FREE),
        SD_BUS_METHOD_WITH_ARGS("Check", SD_BUS_ARGS("s", source, "a{sv}", options), SD_BUS_RESULT("a{sv}", info),
                                method_check, FREE),
        SD_BUS_METHOD_WITH_ARGS("Inspect", SD_BUS_ARGS("s", source, "a{sv}", options), SD_BUS_RESULT("a{sv}", info),
                                method_inspect, FREE),
        SD_BUS_METHOD_WITH_ARGS("ListSlots", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sa{sv})", slots), method_list_slots, FREE),
        SD_BUS_METHOD_WITH_ARGS("Mark", SD_BUS_ARGS("s", state, "s", slot), SD_BUS_RESULT("s", slot_name), method_mark, FREE),
        SD_BUS_METHOD_WITH_ARGS("ListJobs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(os)", jobs), method_list_jobs, FREE),
        SD_BUS_METHOD_WITH_ARGS("GetChain", SD_BUS_NO_ARGS,
                                SD_BUS_RESULT("a{sv}", chain, "a{sv}", time, "aa{sv}", crls, "a{sv}", posture),
                                method_get_chain, FREE),
        SD_BUS_METHOD_WITH_ARGS("CertifyRecord", SD_BUS_ARGS("ay", nonce), SD_BUS_RESULT("ay", copy), method_certify_record,
                                FREE),
        SD_BUS_METHOD_WITH_ARGS("GetPolicy", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", policy), method_get_policy, FREE),
        SD_BUS_METHOD_WITH_ARGS("ImportCrl", SD_BUS_ARGS("ay", der), SD_BUS_RESULT("b", changed), method_import_crl, FREE),
        SD_BUS_METHOD_WITH_ARGS("GetKeys", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sa{sv})", keys), method_get_keys, FREE),
        SD_BUS_PROPERTY("Version", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Line", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Compatible", "as", property_compatible, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BootedSlot", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PrimarySlot", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Release", "t", property_release, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_SIGNAL_WITH_ARGS("JobNew", SD_BUS_ARGS("u", id, "o", job), 0),
        SD_BUS_SIGNAL_WITH_ARGS("JobRemoved", SD_BUS_ARGS("u", id, "o", job, "s", result), 0),
        SD_BUS_VTABLE_END,
};

int bus_manager_add(Manager *m, RsError *err) {
        int r = sd_bus_add_object_manager(m->bus, NULL, RS_BUS_PATH);
        if (r >= 0)
                r = sd_bus_add_object_vtable(m->bus, NULL, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, VTABLE, m);
        return r < 0 ? rs_fail(err, INTERNAL, "bus object: %s", strerror(-r)) : 0;
}

void bus_manager_changed(Manager *m) {
        /* A signal that cannot be sent is made good by the next one; there is nobody to tell. */
        (void) sd_bus_emit_properties_changed(m->bus, RS_BUS_PATH, RS_BUS_IFACE_MANAGER, "State", "Line", "BootedSlot",
                                              "PrimarySlot", "Release", NULL);
}
