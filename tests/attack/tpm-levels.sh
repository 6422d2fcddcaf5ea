#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What each level withstands: the same attempts with reseald's rights (the TPM device), with root's at level L1 and at L2 (the
# gate secret and everything on disk; not the escrowed owner and lockout authorizations, and the platform hierarchy is closed),
# on devices made by reseal-provision.  Prints the table of docs/tpm.md and asserts it.
#   refused    the TPM did not do it, the device stands where it stood
#   detected   it was done, and the device gives a reason instead of installing
#   unnoticed  it was done and nobody notices: what this level does not promise
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../tpm/swtpm.sh"
provision=$BUILD_ROOT/src/provision/reseal-provision
tools=$BUILD_ROOT/tests/attack
for program in tpm2_nvwrite tpm2_nvundefine xxd; do
        command -v $program >/dev/null || { echo "skipped: $program is missing"; exit 77; }
done
d=$(mktemp -d /tmp/reseal-levels.XXXXXX)
trap 'swtpm_down "$d/tpm"; rm -rf "$d"' EXIT
mkdir "$d/line"
"$tools/make-line" "$d/line"
export TSS2_LOG=all+NONE TPM2TOOLS_TCTI="swtpm:path=$d/tpm/s"
floor=0x01800200 accept=0x01800201 r0=0x01800202 r1=0x01800203 gate=0x01800204 chain=0x01400200

clean() {
        tpm2_flushcontext -t >/dev/null 2>&1 || true
        tpm2_flushcontext -l >/dev/null 2>&1 || true
}
close_platform() { # as firmware does before it starts the system
        tpm2_hierarchycontrol -C p phEnable clear >/dev/null
        clean
}
probe() { "$tools/probe-state" "$TPM2TOOLS_TCTI" "$d/writer" "$@"; }
advance() { probe "$d/line/$1.rsl" >"$d/out" || fail "advance to $1: $(cat "$d/out")"; }
make() { # make LEVEL: a device at release 3; what it was at release 2 is kept aside
        local part
        swtpm_down "$d/tpm"
        rm -rf "$d/tpm" "$d/state" "$d/writer" "$d/old" "$d/escrow"
        if [ ! -d "$d/made$1" ]; then
                make_new "$1"
                swtpm_down "$d/tpm"
                mkdir "$d/made$1"
                mv "$d/tpm" "$d/state" "$d/writer" "$d/old" "$d/made$1"
        fi
        for part in tpm state writer old; do
                cp -a "$d/made$1/$part" "$d/$part"
        done
        swtpm_up "$d/tpm"
        close_platform
}
make_new() {
        local level=(--level "$1")
        mkdir "$d/tpm" "$d/old"
        swtpm_up "$d/tpm"
        printf '[daemon]\ncompatible = x\n[tpm]\ntcti = %s\nshared = no\nlock = %s/lock\n' "$TPM2TOOLS_TCTI" "$d" >"$d/conf"
        chmod 644 "$d/conf"
        same=(--config "$d/conf" --state-dir "$d/state" --writer-state-dir "$d/writer" --line gateway
                --firmware-root "$d/line/root.pem" --recovery "$d/line/recovery.pem")
        [ "$1" = 1 ] || level+=(--authority "$d/line/authority.pem")
        "$provision" init "${same[@]}" --device-serial GW-1 --escrow "$d/escrow" --receipt "$d/old/receipt" \
                "${level[@]}" --record "$d/line/1.rsl" 2>"$d/log" || fail "init: $(cat "$d/log")"
        grep -q "\"L$1\"" "$d/old/receipt" || fail "level in the receipt"
        advance 2
        cp -a "$d/writer" "$d/old/writer"
        cp -a "$d/state" "$d/old/state"
        cp "$d/tpm/tpm2-00.permall" "$d/old/permall"
        tpm2_nvread $r0 -C $r0 >"$d/old/r0" 2>/dev/null
        tpm2_nvread $r1 -C $r1 >"$d/old/r1" 2>/dev/null
        [ "$1" = 1 ] || tpm2_nvread $chain -C $chain >"$d/old/chain" 2>/dev/null
        clean
        advance 3
}
# The gate secret opens a policy session; only root has it.
gate_session() {
        local auth
        [ $rights = root ] && auth=hex:$(xxd -p -c 64 "$d/writer/gate.auth") || auth=hex:00
        clean
        tpm2_startauthsession --policy-session -S "$d/s" && tpm2_policysecret -S "$d/s" -c $gate "$auth"
}
now_in() { # which buffer is valid: the one with the release it reads
        [ $(($(tpm2_nvread $accept -C $accept | xxd -p | tail -c 3 | head -c 2 | sed 's/^/0x/') % 2)) = 0 ] && echo $r0 || echo $r1
}

undefine() { tpm2_nvundefine $r0 -C o || tpm2_nvundefine $accept -C o || tpm2_nvundefine $chain -C o || tpm2_nvundefine $chain -C p; }
redefine() { tpm2_nvdefine $r0 -C o -s 256 -a 'authread|authwrite|no_da' || tpm2_nvdefine $chain -C o -s 160 -a 'authread|authwrite|no_da'; }
clear_all() { tpm2_clear -c l || tpm2_clear -c p || tpm2_clear; }
old_record() { # the record of release 2 over the valid one, the counter stays
        local to
        to=$(now_in)
        clean
        local from=$d/old/r0
        [ "$to" = $r0 ] && from=$d/old/r1
        gate_session && tpm2_nvwrite "$to" -C "$to" -i "$from" -P "session:$d/s"
}
noise() { # no record at all in the valid buffer
        local to
        to=$(now_in)
        clean
        head -c 256 "$0" >"$d/noise"
        gate_session && tpm2_nvwrite "$to" -C "$to" -i "$d/noise" -P "session:$d/s"
}
lock_all() {
        local i
        for i in $floor $accept $r0 $r1 $gate $chain; do
                tpm2_nvwritelock "$i" -C "$i" && return
                tpm2_nvwritelock "$i" -C o && return
                tpm2_nvreadlock "$i" -C "$i" && return
                clean
        done
        tpm2_nvwritelock -C o --global && return
        gate_session && tpm2_nvwritelock $r0 -C $r0 -P "session:$d/s"
}
raise_floor() { gate_session && tpm2_nvincrement $floor -C $floor -P "session:$d/s"; }
count_on() { gate_session && tpm2_nvincrement $accept -C $accept -P "session:$d/s"; }
forge() { # an older record with the next counter, then the counter: what a program with the gate secret commits
        [ $rights = root ] || { count_on; return; }
        "$tools/probe-state" "$TPM2TOOLS_TCTI" "$d/writer" "$d/line/bridge-2.rsl" forge
}
move_chain() {
        tpm2_nvwrite $chain -C $chain -i "$d/old/chain" || tpm2_nvwrite $chain -C o -i "$d/old/chain" || {
                gate_session && tpm2_nvwrite $chain -C $chain -i "$d/old/chain" -P "session:$d/s"
        }
}
old_link() { probe "$d/line/2.rsl" || probe "$d/line/bridge-3.rsl"; }
old_files() {
        [ $rights = root ] || return 1
        rm -rf "$d/writer"
        cp -a "$d/old/writer" "$d/writer"
}
old_disk() { # all that Reseal has on it; slots do not open by being old (tests/attack/epoch.sh, tests/integration/e2e-tpm.sh)
        [ $rights = root ] || return 1
        old_files
        rm -rf "$d/state"
        cp -a "$d/old/state" "$d/state"
}
old_tpm() { # the TPM's own storage, where that is a file (firmware TPM, emulator): not a discrete chip
        [ $rights = root ] || return 1
        swtpm_down "$d/tpm"
        cp "$d/old/permall" "$d/tpm/tpm2-00.permall"
        swtpm_up "$d/tpm"
}
old_tpm_and_files() { old_files && old_tpm; }

outcome() { # outcome ATTEMPT: runs it on a fresh device
        local says
        make $level
        ("$1") >"$d/out" 2>&1 && done=yes || done=no
        clean
        says=$(probe 2>/dev/null) || true
        case "$says" in
        "L$level release 3") [ $done = yes ] && [ "$1" != old_files ] && [ "$1" != old_disk ] && result=unnoticed || result=refused ;;
        "L$level release "*) result=unnoticed ;;
        Tpm*) result="detected ${says%%:*}" ;;
        *) result="? $says" ;;
        esac
        case "$result" in refused | unnoticed) # and it goes on
                probe "$d/line/4.rsl" >>"$d/out" 2>&1 || [ "${says##* }" != 3 ] || result="$result, and no release 4" ;;
        esac
}
n_wrong=0
expect() { # expect ATTEMPT "reseald" "root at L1" "root at L2"
        local n=0 want
        printf '| %-18s ' "$1"
        for want in "$2" "$3" "$4"; do
                n=$((n + 1))
                case $n in 1) rights=reseald level=1 ;; 2) rights=root level=1 ;; 3) rights=root level=2 ;; esac
                if [ "$want" = - ]; then result=-; else outcome "$1"; fi
                printf '| %-22s ' "$result"
                [ "$result" = "$want" ] || { n_wrong=$((n_wrong + 1)); echo; echo "WRONG: $1 ($rights, L$level) is not: $want"; cat "$d/out"; }
        done
        echo '|'
}
printf '| %-18s | %-22s | %-22s | %-22s |\n' attempt reseald 'root at L1' 'root at L2'
echo '|---|---|---|---|'
expect undefine refused refused refused
expect redefine refused refused refused
expect clear_all refused refused refused
expect old_record refused "detected TpmRewound" "detected TpmRewound"
expect count_on refused "detected TpmRewound" "detected TpmRewound"
expect noise refused "detected TpmState" "detected TpmState"
expect lock_all refused refused refused
expect raise_floor refused unnoticed unnoticed
expect move_chain - - refused
expect old_link - - refused
expect old_files refused refused refused
expect old_disk - refused refused
expect old_tpm refused "detected TpmRestored" "detected TpmRestored"
expect old_tpm_and_files refused unnoticed unnoticed
expect forge refused "detected TpmRestored" refused
[ $n_wrong = 0 ] || fail "$n_wrong expectations"

echo "--- the way out: two recovery keys, and only as far as the device was"
for level in 1 2; do
        rights=root
        make $level
        (old_record) >"$d/out" 2>&1 || fail "old record at L$level: $(cat "$d/out")"
        clean
        ! "$provision" recover "${same[@]}" --bridge "$d/line/3.rsl" 2>"$d/log" || fail "recovered by a link"
        ! "$provision" recover "${same[@]}" --bridge "$d/line/bridge-2.rsl" 2>"$d/log" || fail "recovered backwards"
        grep -q Rollback "$d/log" || fail "$(cat "$d/log")"
        "$provision" recover "${same[@]}" --bridge "$d/line/bridge-4.rsl" 2>"$d/log" || fail "L$level: $(cat "$d/log")"
        [ "$(probe)" = "L$level release 4" ] || fail "after recovery: $(probe)"
        "$provision" recover "${same[@]}" --bridge "$d/line/bridge-4.rsl" 2>"$d/log" || fail "again: $(cat "$d/log")"
        echo "L$level: recovered to release 4"
done
make 1
rights=root
old_tpm
probe >"$d/out" && fail "restored TPM: $(cat "$d/out")"
"$provision" recover "${same[@]}" --bridge "$d/line/bridge-4.rsl" 2>"$d/log" || fail "restored: $(cat "$d/log")"
[ "$(probe)" = "L1 release 4" ] || fail "after a restored TPM: $(probe)"
echo "all passed"
