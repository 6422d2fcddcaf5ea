#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The drills of docs/keys.md with the commands that stand there, on devices whose TPM is a program: each ends with a device
# that is behind and one that is up to date both installing the next good release, and an old release refused by both.
# drills.sh [NAME...]: only these.  RESEAL_TEST_LEVEL=2: on devices of level L2, whose TPM judges each link by itself (tests/run
# does so in the build with sanitizers).
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-drills.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl openssl swtpm systemd-socket-activate grub-editenv python3 jq; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then ok; else bad "$1: expected '$2', got '$3'"; fi
}
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }
pki=$work/pki
make_pki() { "$root/tests/fixtures/make-pki.sh" "$@" >/dev/null; }

# -- what the people do ------------------------------------------------------------------------------------------------

# later: seconds by which the clock of the people is ahead (tests/integration/later.c)
bundle_tool() {
    local clock=()
    [ -z "${later:-}" ] || clock=(env "LATER=$later" "LD_PRELOAD=$build/tests/integration/liblater.so"
        "ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0")
    "${clock[@]}" "$build/src/bundle/reseal-bundle" "$@" >"$work/tool.log" 2>&1 || { cat "$work/tool.log"; return 1; }
}
ceremony() { bundle_tool ceremony "$@"; }
unsigned() { # unsigned NAME RELEASE EPOCH
    bundle_tool build --quiet --no-sign --no-encrypt --confidential no --line gateway --compatible board --release "$2" \
        --epoch "$3" --version "$1" --image "rootfs=$work/image" --output "$work/$1.rsb"
}
new_key() { # new_key NAME
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key" 2>/dev/null
    openssl pkey -in "$work/$1.key" -pubout -out "$work/$1.pub"
}
authority=authority # whose certificate and key the next release uses
certify() { # certify NAME RELEASE EPOCH [option...]
    new_key "$1"
    ceremony certify --authority "$pki/firmware/$authority.pem" --key "$pki/firmware/$authority.key" --line gateway \
        --public "$work/$1.pub" --release "$2" --epoch "$3" ${days:+--days "$days"} "${@:4}" -o "$work/$1.pem"
}
seal() { # seal NAME LINK...: signed by its signer, links attached
    local name=$1 links=() l
    shift
    for l; do links+=(--link "$work/$l.rsl"); done
    bundle_tool sign --cert "$work/$name.pem" --key "$work/$name.key" --chain "$pki/firmware/$authority.pem" "$work/$name.rsb"
    bundle_tool attach "${links[@]}" ${crl:+--crl "$crl"} "$work/$name.rsb"
}
draft() { # draft NAME KIND [option...]
    ceremony draft --authority "$pki/firmware/$authority.pem" --signer "$work/$1.pem" --bundle "$work/$1.rsb" --kind "$2" \
        "${level2[@]}" "${@:3}" -o "$work/$1.rsl"
}
approve() { # approve NAME KEY
    ceremony approve --key "$2" "$work/$1.rsl"
    ceremony possess --key "$work/$1.key" "$work/$1.rsl"
}
release() { # release NAME N BEFORE: an ordinary release in epoch ${epoch:-0}, BEFORE - for the first
    local kind=link options=()
    unsigned "$1" "$2" "${epoch:-0}"
    if [ "$3" = - ]; then
        kind=genesis
        certify "$1" "$2" "${epoch:-0}"
    else
        certify "$1" "$2" "${epoch:-0}" --previous "$work/$3.pem" --earlier "$work/$3.rsl"
        options=(--after "$work/$3.rsl" --endorser "$work/$3.pem")
    fi
    draft "$1" "$kind" "${options[@]}"
    [ "$3" = - ] || ceremony endorse --key "$work/$3.key" "$work/$1.rsl"
    approve "$1" "$pki/firmware/$authority.key"
    seal "$1" ${links:-} "$1"
}
bridge() { # bridge NAME N [I J]: recovery key I endorses, J approves, J before I in the trust set
    local i=${3:-2} j=${4:-1}
    unsigned "$1" "$2" "${epoch:-0}"
    certify "$1" "$2" "${epoch:-0}"
    draft "$1" bridge --endorser "$pki/recovery/r$i.pem" --endorser2 "$pki/recovery/r$j.pem"
    ceremony endorse --key "$pki/recovery/r$i.key" "$work/$1.rsl"
    approve "$1" "$pki/recovery/r$j.key"
    seal "$1" "$1"
}

# -- devices -----------------------------------------------------------------------------------------------------------

wake() { # wake NAME: the device of this snapshot is $work/dev
    rm -rf "${work:?}/dev"
    cp -a --sparse=always "$work/$1" "$work/dev"
    tpm_up
    writer_up
    daemon_up dev
}
writer_down() {
    kill "$writer" 2>/dev/null || true
    wait "$writer" 2>/dev/null || true
}
put_to_sleep() { # put_to_sleep [NAME]: all its processes end; NAME: and what is left is this snapshot
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    writer_down
    tpm_down
    if [ -n "${1:-}" ]; then
        rm -rf "${work:?}/$1"
        cp -a --sparse=always "$work/dev" "$work/$1"
    fi
}
release_of() { ctl --json chain | jq .release; }
restart_writer() { # it reads the store and the TPM anew
    writer_down
    writer_up
}
# The bootloader does what its state says, and the new system is marked good.
reboot() {
    local env=$work/dev/boot/grubenv slot
    slot=$(grub-editenv "$env" list | sed -n 's/^ORDER=\(.\).*/\1/p')
    grub-editenv "$env" set "${slot}_TRY=2"
    printf 'slot=%s\n' "$slot" >"$work/dev/booted"
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    restart_writer
    daemon_up dev
    expect "slot $slot is marked good" '*good*' "$(ctl mark good "$slot")"
}
installs() { # installs WHO NAME N
    expect "$drill: $1 installs $2" '*Installed*' "$(ctl install "$work/$2.rsb")"
    expect "$drill: $1 is at release $3" "$3" "$(release_of)"
    reboot
}
refuses() { # refuses WHO NAME REASON
    local before
    before=$(release_of)
    expect "$drill: $1 refuses $2" "*@($3)*" "$(ctl install "$work/$2.rsb")"
    expect "$drill: $1 stays where it is" "$before" "$(release_of)"
}
# both NAME N OLD...: behind (at release 1) and up to date (at release 3) install NAME, and refuse the old ones
both() {
    local who name=$1 n=$2 old
    shift 2
    for who in behind current; do
        wake "$who"
        [ -z "${before_install:-}" ] || "$before_install" "$who" "$name"
        installs "$who" "$name" "$n"
        for old; do refuses "$who" "$old" "${older:-Rollback}"; done
        put_to_sleep ${keep:+"$who.$keep"}
    done
}

make_pki "$pki"
# a PKI of one's own to change: three roots, and three recovery keys
level2=()
if [ "${RESEAL_TEST_LEVEL:-1}" = 2 ]; then
    level2=(--level2 --recovery "$pki/recovery/recovery.pem")
    provision_options=(--level 2 --authority "$pki/firmware/authority.pem" --recovery "$pki/recovery/recovery.pem"
        --firmware-root "$pki/firmware/roots.pem")
fi
device_up
sed -i "s,^firmware-root = .*,firmware-root = $pki/firmware/roots.pem\nrecovery = $pki/recovery/recovery.pem\nset = $work/dev/store/trust.set," \
    "$work/dev/writer.conf"
sed -i "s,^\[trust\],[policy]\nrequire-encryption = no\n&," "$work/dev/writer.conf"
mkdir "$work/dev/store"
head -c 1M /dev/urandom >"$work/image"
bus_up dev open
# every release carries the authority's list: from the first on, the device takes newer ones from anybody
crl=$pki/firmware/authority.crl
release r1 1 -
release r2 2 r1
links='r1 r2' release r3 3 r2
unset crl
writer_up
daemon_up dev
drill=factory
installs a_new_device r1 1
put_to_sleep behind
wake behind
installs behind r3 3 # two releases at once
refuses behind r2 Rollback
refuses behind r1 Rollback
put_to_sleep current

# -- the drills --------------------------------------------------------------------------------------------------------

# The key of release 3 is gone: nobody can endorse release 4.
lost_signer() {
    bridge lost4 4
    keep=lost both lost4 4 r1 r2 r3
    # and the chain goes on from there as if nothing had happened
    release lost5 5 lost4
    for who in behind current; do
        wake "$who.lost"
        installs "$who" lost5 5
        refuses "$who" lost4 Rollback
        put_to_sleep
    done
}

# The key of release 3 is stolen, the authority was deceived once, and the thief's release 4 is on a device already: a bridge to
# release 5 with a list that names the stolen signer and the one it endorsed, in the next security epoch.
compromised_signer() {
    local told
    release stolen4 4 r3
    make_pki_crl authority "$work/r3.pem" "$work/stolen4.pem"
    epoch=1 crl=$work/authority.crl bridge rescued5 5
    keep=rescued older='Rollback|Revoked' both rescued5 5 r3 stolen4
    wake current
    installs a_victim stolen4 4
    installs a_victim rescued5 5
    refuses a_victim stolen4 'Rollback|Revoked'
    put_to_sleep
    # the operator's list alone is enough to stop the thief
    wake current
    told=$(alarms)
    expect "$drill: the list is taken" '*in force*' "$(ctl crl import "$work/authority.crl")"
    refuses current stolen4 Revoked
    expect "$drill: what runs is told to be of a revoked signer" '*release 3*signer *: Revoked*' "$(ctl chain)"
    expect "$drill: and in the journal, once" $((told + 1)) "$(alarms)"
    installs current rescued5 5
    expect "$drill: the one behind the bridge is not" false "$(ctl --json chain | jq '.["signer-revoked"]')"
    put_to_sleep
}
alarms() { grep -c 'the signer of the release accepted last is revoked' "$work/writer.log" || true; }
make_pki_crl() { # make_pki_crl ISSUER CERT...: the operator's list, number 2
    make_pki crl "$pki" "firmware/$1" "${crl_number:-2}" "${@:2}"
    cp "$pki/firmware/$1.crl" "$work/$1.crl"
}

# A bridge to a release that has its link, too: devices far behind need no links from before.
checkpoint() {
    local n before=r3
    for n in 4 5 6 7 8; do
        release "c$n" "$n" "$before"
        before=c$n
    done
    ceremony draft --authority "$pki/firmware/authority.pem" --signer "$work/c8.pem" --bundle "$work/c8.rsb" --kind bridge \
        "${level2[@]}" --after "$work/c7.rsl" --endorser "$pki/recovery/r3.pem" --endorser2 "$pki/recovery/r1.pem" -o "$work/c8-bridge.rsl"
    ceremony endorse --key "$pki/recovery/r3.key" "$work/c8-bridge.rsl"
    ceremony approve --key "$pki/recovery/r1.key" "$work/c8-bridge.rsl"
    ceremony possess --key "$work/c8.key" "$work/c8-bridge.rsl"
    refuses_asleep current c8 ChainGap # its own link only: 4 to 7 are missing
    seal c8 c8-bridge c8
    keep=checkpoint both c8 8 r3 c7
    release c9 9 c8
    for who in behind current; do
        wake "$who.checkpoint"
        installs "$who" c9 9
        put_to_sleep
    done
}
refuses_asleep() { # refuses_asleep SNAPSHOT NAME REASON
    wake "$1"
    refuses "$@"
    put_to_sleep
}

# One recovery key alone, one twice, a stranger's, and the right ones in the wrong order.
one_recovery_key() {
    local bad4
    unsigned alone4 4 0
    certify alone4 4 0
    ! draft alone4 bridge --endorser "$pki/recovery/r1.pem" --endorser2 "$pki/recovery/r1.pem" >/dev/null && ok ||
        bad "$drill: a draft names one key twice"
    draft alone4 bridge --endorser "$pki/recovery/r2.pem" --endorser2 "$pki/recovery/r1.pem"
    ceremony endorse --key "$pki/recovery/r2.key" "$work/alone4.rsl"
    ! ceremony approve --key "$pki/recovery/r2.key" "$work/alone4.rsl" >/dev/null && ok || bad "$drill: one key signs twice"
    ! ceremony possess --key "$work/alone4.key" "$work/alone4.rsl" >/dev/null && ok || bad "$drill: a bridge of one key is done"
    ! seal alone4 alone4 >/dev/null && ok || bad "$drill: a bridge of one key is attached"
    bridge order4 4 1 2
    new_key thief
    cp "$work/thief.key" "$pki/recovery/r9.key"
    cp "$work/thief.pub" "$pki/recovery/r9.pem"
    bridge thief4 4 9 1
    for who in behind current; do
        wake "$who"
        for bad4 in order4 thief4; do refuses "$who" "$bad4" Chain; done
        put_to_sleep
    done
    bridge good4 4 3 2
    both good4 4 r1 r3
}

# Another authority: certified by a root, a bridge that carries it, the old one on the root's list.
authority_replacement() {
    make_authority authority2
    crl_number=2 make_pki_crl root "$pki/firmware/authority.pem"
    authority=authority2
    crl=$work/root.crl bridge other4 4
    order authority authority2
    before_install=take_order keep=authority older=Revoked both other4 4 r1 r3
    release other5 5 other4
    authority=authority
    release old5 5 other4
    for who in behind current; do
        wake "$who.authority"
        refuses "$who" old5 Revoked
        installs "$who" other5 5
        put_to_sleep
    done
}
# Level 2: the TPM takes no link of another authority until two recovery keys have ordered it.
order() { # order FROM TO
    local r=$pki/recovery
    [ ${#level2[@]} != 0 ] || return 0
    ceremony replace --previous "$pki/firmware/$1.pem" --authority "$pki/firmware/$2.pem" --recovery "$r/recovery.pem" \
        --endorser "$r/r3.pem" --endorser2 "$r/r1.pem" -o "$work/order.rsa"
    ceremony endorse --key "$r/r3.key" --recovery "$r/recovery.pem" "$work/order.rsa"
    ceremony approve --key "$r/r1.key" --recovery "$r/recovery.pem" "$work/order.rsa"
}
# A slot but for its trust area, the last MiB of the header's four, into which the writer puts a set that it adopts.
but_trust_area() {
    head -c 3M "$1"
    tail -c +4194305 "$1"
}
take_order() { # take_order WHO NAME
    local slot
    [ ${#level2[@]} != 0 ] || return 0
    refuses "$1" "$2" 'Chain: *another authority'
    for slot in a b; do
        cmp -s <(but_trust_area "$work/dev/slot-$slot") <(but_trust_area "$work/$1/slot-$slot") && ok || bad "$drill: slot $slot of $1 was touched"
    done
    "$build/src/provision/reseal-provision" authority --config "$work/dev.conf" --state-dir "$work/dev/state" \
        --writer-state-dir "$work/dev/writer" --order "$work/order.rsa" >"$work/tool.log" 2>&1 || bad "$drill: $(cat "$work/tool.log")"
}
make_authority() { # make_authority NAME: under the first root
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -days 3650 -subj '/CN=Firmware Authority 2' \
        -CA "$pki/firmware/root.pem" -CAkey "$pki/firmware/root.key" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$pki/firmware/$1.key" -out "$pki/firmware/$1.pem" 2>/dev/null
}

# The roots change by quorum: two of the old ones sign, and two of the new ones.  Then an authority under a new root.
trust_set() {
    local certstore=$build/src/certstore/reseal-certstore set=(trust-set --line gateway --quorum 2)
    for i in 4 5; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -nodes -batch -days 3650 -subj "/CN=Firmware Root $i" \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
            -keyout "$pki/firmware/root$i.key" -out "$pki/firmware/root$i.pem" 2>/dev/null
    done
    cat "$pki"/firmware/root{,4,5}.pem >"$work/new-roots.pem"
    set+=(--firmware "$work/new-roots.pem" --recovery "$pki/recovery/recovery.pem" --cert "$pki/firmware/root.pem"
        --key "$pki/firmware/root.key")
    ceremony "${set[@]}" --set-version 1 -o "$work/one.rts"
    cp "$work/one.rts" "$work/v1.rts"
    ceremony countersign --cert "$pki/firmware/root2.pem" --key "$pki/firmware/root2.key" "$work/v1.rts"
    ceremony countersign --cert "$pki/firmware/root4.pem" --key "$pki/firmware/root4.key" "$work/v1.rts"
    # ... and the one behind it, without the root under which every device still runs
    cat "$pki"/firmware/root{4,5}.pem >"$work/newest-roots.pem"
    ceremony trust-set --line gateway --quorum 2 --firmware "$work/newest-roots.pem" --recovery "$pki/recovery/recovery.pem" \
        --cert "$pki/firmware/root4.pem" --key "$pki/firmware/root4.key" --set-version 2 -o "$work/v2.rts"
    ceremony countersign --cert "$pki/firmware/root5.pem" --key "$pki/firmware/root5.key" "$work/v2.rts"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -days 3650 -subj '/CN=Firmware Authority 5' \
        -CA "$pki/firmware/root5.pem" -CAkey "$pki/firmware/root5.key" -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$pki/firmware/authority5.key" \
        -out "$pki/firmware/authority5.pem" 2>/dev/null
    authority=authority5
    bridge set4 4
    authority=authority
    order authority authority5
    older=Certificate keep=set before_install=apply_set both set4 4 r1 r3
    wake behind.set
    expect "$drill: the second set is taken when a release under a root of it runs" 2 "$(ctl --json posture | jq '.["trust-version"]')"
    put_to_sleep
}
certstore_up() {
    socket=$work/dev/certstore.sock
    systemd-socket-activate --seqpacket -l "$socket" "$certstore" --config "$work/dev/writer.conf" \
        --store "$work/dev/store" 2>>"$work/certstore.log" &
    pids+=($!)
    wait_path "$socket"
}
apply_set() {
    local socket
    refuses "$1" set4 ''
    certstore_up
    expect "$drill: one root is no quorum" '*TrustSet*' "$("$certstore" --socket "$socket" --apply "$work/one.rts" 2>&1 || true)"
    expect "$drill: the set is taken" 'trust set version 1 stored' "$("$certstore" --socket "$socket" --apply "$work/v1.rts" 2>&1 || true)"
    expect "$drill: the next one, too" 'trust set version 2 stored' "$("$certstore" --socket "$socket" --apply "$work/v2.rts" 2>&1 || true)"
    restart_writer
    expect "$drill: the device goes by the first, the second would strand what runs" 1 "$(ctl --json posture | jq '.["trust-version"]')"
    take_order "$@"
}

# A signer's certificate was dated by a clock that was 40 years ahead.  The floor of the time rises by one year at most, and what is
# valid for less is refused, until a quorum of the same roots says what time it is.
time_ahead() {
    local certstore=$build/src/certstore/reseal-certstore socket who
    later=$((40 * 365 * 86400)) links='r2 r3 late4' release late4 4 r3
    release long5 5 late4
    days=100 links='long5 short6' release short6 6 long5
    ceremony trust-set --line gateway --quorum 2 --firmware "$pki/firmware/roots.pem" --recovery "$pki/recovery/recovery.pem" \
        --set-version 1 --restart "$(date +%s)" --cert "$pki/firmware/root.pem" --key "$pki/firmware/root.key" -o "$work/time.rts"
    cp "$work/time.rts" "$work/time-one.rts"
    ceremony countersign --cert "$pki/firmware/root2.pem" --key "$pki/firmware/root2.key" "$work/time.rts"
    for who in behind current; do
        wake "$who"
        installs "$who" late4 4
        installs "$who" long5 5
        refuses "$who" short6 Expired
        certstore_up
        expect "$drill: one root is no quorum" '*TrustSet*' "$("$certstore" --socket "$socket" --apply "$work/time-one.rts" 2>&1 || true)"
        refuses "$who" short6 Expired
        expect "$drill: the set is taken" 'trust set version 1 stored' "$("$certstore" --socket "$socket" --apply "$work/time.rts" 2>&1 || true)"
        restart_writer
        installs "$who" short6 6
        refuses "$who" r3 Rollback
        put_to_sleep
    done
}

# The TPM's own storage is put back, or a record stands without its counter: nothing is installed until a bridge says where
# the device stands.
recover_tpm() {
    local old
    bridge rec4 4
    wake behind
    installs behind r3 3
    put_to_sleep
    rm -rf "$work/dev/tpm"
    cp -a "$work/behind/tpm" "$work/dev/tpm" # the TPM of release 1, the files of release 3
    tpm_up
    writer_up
    daemon_up dev
    expect "$drill: a restored TPM is seen" '*TpmRestored*' "$(ctl install "$work/rec4.rsb")"
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    writer_down
    old=$(recover "$work/r2.rsl")
    expect "$drill: a link is no way out" '*Chain: *not a bridge*' "$old"
    expect "$drill: the bridge is" '*installs again*' "$(recover "$work/rec4.rsl")"
    writer_up
    daemon_up dev
    expect "$drill: the device is where the bridge says" 4 "$(release_of)"
    expect "$drill: and installs that release" '*Installed*' "$(ctl install "$work/rec4.rsb")"
    reboot
    release rec5 5 rec4
    installs recovered rec5 5
    refuses recovered rec4 Rollback
    put_to_sleep
    both rec4 4 r1 r3
}
recover() { # recover LINK
    "$build/src/provision/reseal-provision" recover --config "$work/dev.conf" --state-dir "$work/dev/state" \
        --writer-state-dir "$work/dev/writer" --line gateway --recovery "$pki/recovery/recovery.pem" \
        --firmware-root "$pki/firmware/roots.pem" --bridge "$1" 2>&1 || true
}

all=(lost_signer compromised_signer checkpoint one_recovery_key authority_replacement trust_set time_ahead recover_tpm)
for drill in "${@:-${all[@]}}"; do
    "$drill"
    echo "$drill: $n_passed passed, $n_failed failed so far"
done
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
