/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * faulttcti - a TCTI that sits between tpm2-tss and the real one and breaks chosen commands.
 *
 * TctiLdr accepts the path of a library as the name of a TCTI, so the programs under test need no hook: their
 * configuration says "/path/faulttcti.so:swtpm:path=...".  Rules come from the environment, at each command
 * anew:
 *
 *   RESEAL_FAULT="NV_Increment:1:lose,NV_Write:2-3:rc=0x920,Sign:1:delay=200"
 *
 * command name or hexadecimal code : which occurrence since the counts were reset (or a range) : what happens
 *   rc=X     the TPM answers X without executing
 *   lose     executed, but the answer never arrives
 *   drop     not executed, and no answer
 *   delay=N  N milliseconds later
 *   kill     executed, then this process is killed
 *   killfirst  this process is killed before the command is sent
 *   tpmfirst   the TPM (process RESEAL_FAULT_TPM) is killed before the command reaches it
 *   tpm        executed, then the TPM is killed, and the answer never arrives
 *   power      executed, then the TPM and this process are killed
 * "*" is any command; occurrences are then counted over all of them.  RESEAL_FAULT_TRACE=FILE appends the
 * codes sent. A test in the same process resets the counts by changing RESEAL_FAULT_EPOCH.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tss2/tss2_tcti.h>
#include <tss2/tss2_tctildr.h>
#include <tss2/tss2_tpm2_types.h>

typedef struct FaultContext {
        TSS2_TCTI_CONTEXT_COMMON_V2 base;
        TSS2_TCTI_CONTEXT *inner;
        uint8_t answer[10];
        int answer_ready;
        int lose;
        int kill_after;
        int kill_tpm;
} FaultContext;

static const struct {
        const char *name;
        uint32_t code;
} commands[] = {
        { "Create", TPM2_CC_Create },
        { "CreatePrimary", TPM2_CC_CreatePrimary },
        { "ECDH_ZGen", TPM2_CC_ECDH_ZGen },
        { "EvictControl", TPM2_CC_EvictControl },
        { "FlushContext", TPM2_CC_FlushContext },
        { "GetCapability", TPM2_CC_GetCapability },
        { "HierarchyChangeAuth", TPM2_CC_HierarchyChangeAuth },
        { "Load", TPM2_CC_Load },
        { "NV_DefineSpace", TPM2_CC_NV_DefineSpace },
        { "NV_Increment", TPM2_CC_NV_Increment },
        { "NV_Read", TPM2_CC_NV_Read },
        { "NV_Write", TPM2_CC_NV_Write },
        { "PolicyNV", TPM2_CC_PolicyNV },
        { "PolicySecret", TPM2_CC_PolicySecret },
        { "ReadPublic", TPM2_CC_ReadPublic },
        { "Sign", TPM2_CC_Sign },
        { "StartAuthSession", TPM2_CC_StartAuthSession },
        { "Unseal", TPM2_CC_Unseal },
};

static unsigned counts[0x400], count_all;

static void reset_counts(void) {
        static char epoch[32];
        const char *now = getenv("RESEAL_FAULT_EPOCH");

        if (!now || strcmp(now, epoch) == 0)
                return;
        (void) snprintf(epoch, sizeof(epoch), "%s", now);
        memset(counts, 0, sizeof(counts));
        count_all = 0;
}

static uint32_t code_of(const char *name) {
        for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return commands[i].code;
        return (uint32_t) strtoul(name, NULL, 0);
}

/* The action for this command, or NULL. */
static const char *match(uint32_t code) {
        static char action[64];
        const char *rules = getenv("RESEAL_FAULT");
        unsigned nth = ++counts[code & 0x3ff], all = ++count_all;
        char *copy, *rule, *rest = NULL;

        if (!rules)
                return NULL;
        copy = strdup(rules);
        for (rule = copy ? strtok_r(copy, ",", &rest) : NULL; rule; rule = strtok_r(NULL, ",", &rest)) {
                char name[64], what[64];
                unsigned first, last, n;

                if (sscanf(rule, "%63[^:]:%u-%u:%63s", name, &first, &last, what) != 4) {
                        if (sscanf(rule, "%63[^:]:%u:%63s", name, &first, what) != 3)
                                abort(); /* a test with a rule that says nothing must not pass */
                        last = first;
                }
                n = strcmp(name, "*") == 0 ? all : nth;
                if ((strcmp(name, "*") == 0 || code_of(name) == code) && n >= first && n <= last) {
                        memcpy(action, what, sizeof(what));
                        free(copy);
                        return action;
                }
        }
        free(copy);
        return NULL;
}

static void trace(uint32_t code) {
        const char *path = getenv("RESEAL_FAULT_TRACE");
        FILE *f = path ? fopen(path, "ae") : NULL;

        if (!f)
                return;
        (void) fprintf(f, "0x%x\n", code);
        (void) fclose(f);
}

static void kill_tpm(void) {
        const char *pid = getenv("RESEAL_FAULT_TPM");

        if (!pid || atoi(pid) <= 1)
                abort();
        (void) kill((pid_t) atoi(pid), SIGKILL);
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *bytes) {
        FaultContext *f = (FaultContext *) context;
        uint32_t code = (uint32_t) bytes[6] << 24 | (uint32_t) bytes[7] << 16 | (uint32_t) bytes[8] << 8 |
                        bytes[9];
        const char *action;

        reset_counts();
        trace(code);
        action = match(code);
        f->answer_ready = f->lose = f->kill_after = f->kill_tpm = 0;
        if (!action)
                return Tss2_Tcti_Transmit(f->inner, size, bytes);
        if (strncmp(action, "rc=", 3) == 0) {
                uint32_t rc = (uint32_t) strtoul(action + 3, NULL, 0);
                const uint8_t answer[10] = { 0x80,
                                             0x01,
                                             0,
                                             0,
                                             0,
                                             10,
                                             (uint8_t) (rc >> 24),
                                             (uint8_t) (rc >> 16),
                                             (uint8_t) (rc >> 8),
                                             (uint8_t) rc };

                memcpy(f->answer, answer, sizeof(answer));
                f->answer_ready = 1;
                return TSS2_RC_SUCCESS;
        }
        if (strcmp(action, "drop") == 0)
                return TSS2_TCTI_RC_IO_ERROR;
        if (strcmp(action, "tpmfirst") == 0) {
                kill_tpm();
                return TSS2_TCTI_RC_IO_ERROR;
        }
        if (strcmp(action, "killfirst") == 0)
                (void) raise(SIGKILL);
        if (strncmp(action, "delay=", 6) == 0)
                (void) usleep(1000u * (unsigned) atoi(action + 6));
        f->kill_tpm = strcmp(action, "tpm") == 0 || strcmp(action, "power") == 0;
        f->lose = strcmp(action, "lose") == 0 || strcmp(action, "tpm") == 0;
        f->kill_after = strcmp(action, "kill") == 0 || strcmp(action, "power") == 0;
        return Tss2_Tcti_Transmit(f->inner, size, bytes);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *answer, int32_t timeout) {
        FaultContext *f = (FaultContext *) context;

        if (f->answer_ready) {
                *size = sizeof(f->answer);
                if (answer) {
                        memcpy(answer, f->answer, sizeof(f->answer));
                        f->answer_ready = 0;
                }
                return TSS2_RC_SUCCESS;
        }
        if (f->lose || f->kill_after) {
                uint8_t unheard[8192];
                size_t n = sizeof(unheard);

                (void) Tss2_Tcti_Receive(f->inner, &n, unheard, TSS2_TCTI_TIMEOUT_BLOCK);
                if (f->kill_tpm)
                        kill_tpm();
                if (f->kill_after)
                        (void) raise(SIGKILL);
                f->lose = 0;
                return TSS2_TCTI_RC_IO_ERROR;
        }
        return Tss2_Tcti_Receive(f->inner, size, answer, timeout);
}

static void finalize(TSS2_TCTI_CONTEXT *context) {
        Tss2_TctiLdr_Finalize(&((FaultContext *) context)->inner);
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *context) {
        return Tss2_Tcti_Cancel(((FaultContext *) context)->inner);
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality) {
        return Tss2_Tcti_SetLocality(((FaultContext *) context)->inner, locality);
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *count) {
        return Tss2_Tcti_GetPollHandles(((FaultContext *) context)->inner, handles, count);
}

static TSS2_RC make_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky) {
        return Tss2_Tcti_MakeSticky(((FaultContext *) context)->inner, handle, sticky);
}

static TSS2_RC init(TSS2_TCTI_CONTEXT *context, size_t *size, const char *config) {
        FaultContext *f = (FaultContext *) context;

        if (!f) {
                *size = sizeof(*f);
                return TSS2_RC_SUCCESS;
        }
        memset(f, 0, sizeof(*f));
        f->base.v1.magic = UINT64_C(0x5245534641554c54);
        f->base.v1.version = 2;
        f->base.v1.transmit = transmit;
        f->base.v1.receive = receive;
        f->base.v1.finalize = finalize;
        f->base.v1.cancel = cancel;
        f->base.v1.getPollHandles = poll_handles;
        f->base.v1.setLocality = set_locality;
        f->base.makeSticky = make_sticky;
        return Tss2_TctiLdr_Initialize(config, &f->inner);
}

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void);

const TSS2_TCTI_INFO *Tss2_Tcti_Info(void) {
        static const TSS2_TCTI_INFO info = {
                .version = 2,
                .name = "fault",
                .description = "breaks chosen commands",
                .config_help = "the TCTI behind it",
                .init = init,
        };

        return &info;
}
