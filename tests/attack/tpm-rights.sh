#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A taken-over reseald has the TPM itself: everything below is tried as user reseal, with the files that user can read, on a
# provisioned device.  Reading must work (the initramfs needs it); all that changes the rollback state, the keys or the
# authorizations must fail, and afterwards the state is what it was and an installation still succeeds (S-rollback, DESIGN 6).
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_need tpm2_nvincrement
rig_begin tpm-rights
RIG_INSTALL_LIMIT=90
e2e_ready 8
rig_bundle "$RIG/r1.rsb" 1 "$RIG_IMAGE" --quiet
rig_bundle "$RIG/r2.rsb" 2 "$RIG_IMAGE" --quiet
rig_publish "$RIG/r1.rsb"
rig_publish "$RIG/r2.rsb"
installs an_honest_installation_first "$(rig_url r1.rsb)"
floor=0x01800200 accept=0x01800201 record0=0x01800202 record1=0x01800203 gate=0x01800204
everything="$floor $accept $record0 $record1 $gate"
d=/run/attack
in_device install -d -o reseal -g reseal "$d"

clean() { # the attacker's own litter would make the next attempt fail for the wrong reason
        in_device env TPM2TOOLS_TCTI=swtpm:path=/run/rig-tpm/sock TSS2_LOG=all+NONE sh -c \
                'tpm2_flushcontext -t; tpm2_flushcontext -l; tpm2_flushcontext -s' >/dev/null 2>&1 || true
}
as_reseald() {
        as_user reseal env TPM2TOOLS_TCTI=swtpm:path=/run/rig-tpm/sock TSS2_LOG=all+NONE sh -c "cd $d && $1"
}
fails() { # NAME SHELL: the TPM must have been asked and must have refused
        local rc=0
        clean
        as_reseald "$2" >"$RIG/check.out" 2>&1 || rc=$?
        if [ $rc -ne 0 ] && grep -qE 'tpm:|0x[0-9A-F]+|authorization|ERROR' "$RIG/check.out" &&
                ! grep -qiE 'not found|unknown option|invalid option|No such file' "$RIG/check.out"; then
                _verdict "$1" ok
        else
                echo "exit status $rc" >>"$RIG/check.out"
                _verdict "$1" FAIL "$RIG/check.out"
        fi
}
state_of_the_tpm() {
        local i
        for i in $everything; do
                as_reseald "tpm2_nvreadpublic $i"
                [ "$i" = $gate ] || as_reseald "tpm2_nvread $i -C $i" | xxd -p
        done 2>/dev/null
        as_reseald 'tpm2_readpublic -c 0x81000001' 2>/dev/null
        as_reseald 'tpm2_getcap properties-variable' 2>/dev/null | grep AuthSet
}

# Firmware closes the platform hierarchy before it starts an operating system; an emulator has no firmware (docs/tpm.md).
in_device env TPM2TOOLS_TCTI=swtpm:path=/run/rig-tpm/sock tpm2_hierarchycontrol -C p phEnable clear
clean
state_of_the_tpm >"$RIG/before"
check the_state_can_be_read_by_anyone grep -q AuthSet "$RIG/before"
check all_five_indices_are_there test "$(grep -c '^0x180020[0-4]:' "$RIG/before")" = 5

# --- the counters -------------------------------------------------------------------------------------------------------
for i in $accept $floor; do
        fails "increment_${i}_with_empty_auth" "tpm2_nvincrement $i -C $i"
        fails "increment_${i}_as_owner" "tpm2_nvincrement $i -C o"
        fails "increment_${i}_as_platform" "tpm2_nvincrement $i -C p"
        fails "increment_${i}_with_a_fresh_policy" "tpm2_startauthsession --policy-session -S s && tpm2_nvincrement $i -C $i -P session:s"
        fails "increment_${i}_with_the_gate_and_an_empty_secret" \
                "tpm2_startauthsession --policy-session -S s && tpm2_policysecret -S s -c $gate && tpm2_nvincrement $i -C $i -P session:s"
        fails "increment_${i}_with_the_gate_and_a_guessed_secret" \
                "tpm2_startauthsession --policy-session -S s && tpm2_policysecret -S s -c $gate hex:$(printf '00%.0s' {1..32}) && tpm2_nvincrement $i -C $i -P session:s"
        fails "increment_${i}_with_the_secret_of_another_object" \
                "tpm2_startauthsession --policy-session -S s && tpm2_policysecret -S s -c e && tpm2_nvincrement $i -C $i -P session:s"
done
# --- the records --------------------------------------------------------------------------------------------------------
as_reseald 'head -c 64 /dev/zero >zero'
for i in $record0 $record1; do
        fails "write_${i}_with_empty_auth" "tpm2_nvwrite $i -C $i -i zero"
        fails "write_${i}_as_owner" "tpm2_nvwrite $i -C o -i zero"
        fails "write_${i}_with_a_fresh_policy" "tpm2_startauthsession --policy-session -S s && tpm2_nvwrite $i -C $i -i zero -P session:s"
done
fails write_the_gate_itself "tpm2_nvwrite $gate -C $gate -i zero"
fails write_the_gate_with_a_fresh_policy "tpm2_startauthsession --policy-session -S s && tpm2_nvwrite $gate -C $gate -i zero -P session:s"
# --- away with them -----------------------------------------------------------------------------------------------------
for i in $everything; do
        fails "undefine_${i}_as_owner" "tpm2_nvundefine $i -C o"
        fails "undefine_${i}_as_platform" "tpm2_nvundefine $i -C p"
        fails "lock_${i}_for_writing" "tpm2_nvwritelock $i -C $i"
        fails "lock_${i}_for_writing_as_owner" "tpm2_nvwritelock $i -C o"
        fails "lock_${i}_for_reading" "tpm2_nvreadlock $i -C $i"
done
fails define_an_index_of_ones_own 'tpm2_nvdefine 0x01800210 -C o -s 8'
fails lock_all_at_once 'tpm2_nvwritelock -C o --global'
fails evict_the_storage_root_key 'tpm2_evictcontrol -C o -c 0x81000001'
fails evict_it_as_platform 'tpm2_evictcontrol -C p -c 0x81000001'
fails keep_a_key_of_ones_own 'tpm2_createprimary -Q -C e -c k.ctx && tpm2_evictcontrol -C o -c k.ctx 0x81000009'
# --- the hierarchies ----------------------------------------------------------------------------------------------------
fails clear_with_lockout 'tpm2_clear -c l'
fails clear_with_platform 'tpm2_clear -c p'
for h in owner lockout endorsement platform; do
        fails "change_the_authorization_of_$h" "tpm2_changeauth -c $h mine"
done
fails reset_the_lockout 'tpm2_dictionarylockout -c'
fails change_the_lockout 'tpm2_dictionarylockout -s -n 1 -t 1 -l 1'
fails set_a_policy_for_the_owner 'tpm2_setprimarypolicy -C o -L zero -g sha256'
fails switch_the_owner_hierarchy_off 'tpm2_hierarchycontrol -C o ehEnable clear'
fails set_a_policy_for_the_endorsement_hierarchy 'tpm2_setprimarypolicy -C e -L zero -g sha256'
fails switch_the_endorsement_hierarchy_off 'tpm2_hierarchycontrol -C e ehEnable clear'
fails make_a_key_under_the_endorsement_hierarchy 'tpm2_createprimary -Q -C e -c k.ctx'
fails switch_it_off_as_platform 'tpm2_hierarchycontrol -C p shEnable clear'
fails forbid_clearing_as_lockout 'tpm2_clearcontrol -C l s'

# --- the secrets it cannot read -----------------------------------------------------------------------------------------
for f in /var/lib/reseal-writer/gate.auth /dev/reseal/slot-a /dev/reseal/slot-b; do
        refuse "read_${f##*/}" as_user reseal head -c 1 "$f"
done
refuse write_the_boot_state as_user reseal sh -c 'echo x >>/boot/reseal/grubenv'

clean
state_of_the_tpm >"$RIG/after"
check the_state_is_what_it_was diff "$RIG/before" "$RIG/after"
installs and_the_device_installs_as_before "$(rig_url r2.rsb)"
e2e_end
