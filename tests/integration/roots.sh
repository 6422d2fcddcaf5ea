#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The root of the source is replaced by a trust set (S25, S71; docs/keys.md, drill 6): from then on, and after a restart, the
# device speaks to the new source only and takes its tickets only, with the image and the configuration that it has.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-roots.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl nginx openssl swtpm systemd-socket-activate grub-editenv python3 jq; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"

n_passed=0 n_failed=0
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAILED: $1: expected '$2', got '$3'"; fi
}
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }
slots() { stat -c '%n %y %b' "$work"/dev/slot-?; }
refuses() { # refuses NAME PATTERN ORDER...: and no slot has changed
    local name=$1 pattern=$2 before
    shift 2
    before=$(slots)
    expect "$name" "$pattern" "$(ctl install "$@")"
    expect "$name: no slot has changed" "$before" "$(slots)"
}
again() {
    kill -TERM "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon_up dev
}
source_is() { # source_is DIRECTORY: of this PKI
    source_down
    SERVER=$1/source/server source_up
}
certstore() { "$build/src/certstore/reseal-certstore" "$@" 2>&1 || true; }
stored_set() { # stored_set VERSION [OPTION...]: signed by two roots; the service ends when it has nothing to do
    local file=$work/$1.rts version=$1 service
    shift
    "$build/src/bundle/reseal-bundle" ceremony trust-set --line gateway --quorum 2 --set-version "$version" \
        --firmware "$pki/firmware/roots.pem" --recovery "$pki/recovery/recovery.pem" --cert "$pki/firmware/root.pem" \
        --key "$pki/firmware/root.key" "$@" -o "$file" >/dev/null
    "$build/src/bundle/reseal-bundle" ceremony countersign --cert "$pki/firmware/root2.pem" --key "$pki/firmware/root2.key" \
        "$file" >/dev/null
    rm -f "$work/certstore.sock"
    systemd-socket-activate --seqpacket -l "$work/certstore.sock" "$build/src/certstore/reseal-certstore" \
        --config "$work/dev/writer.conf" --store "$work/store" 2>>"$work/certstore.log" &
    service=$!
    pids+=("$service")
    wait_path "$work/certstore.sock"
    expect "trust set $version is stored" "trust set version $version stored" "$(certstore --socket "$work/certstore.sock" --apply "$file")"
    kill "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
}
trust_set() { # ... and in force
    stored_set "$@"
    expect "trust set $1 is in force" "$1" "$(ctl --json posture | jq '.["trust-version"]')"
}

ticket_of() { # ticket_of BUNDLE: below tickets/
    echo "$("$build/src/bundle/reseal-bundle" info --json "$work/$1" | jq -r .id)/$(openssl x509 -in "$work/dev/unwrap.pem" -noout -pubkey |
        openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1).rst"
}

pki=$work/pki
"$root/tests/fixtures/make-pki.sh" "$pki" >/dev/null
env -u BUILD_ROOT "$root/tests/fixtures/make-pki.sh" "$work/pki2" >/dev/null # keys of its own; of it the source's part only
new=../pki2
cat "$pki/source/root.pem" "$work/pki2/source/root.pem" >"$work/both.pem"
device_up
mkdir "$work/store"
sed -i "s,^firmware-root = .*,firmware-root = $pki/firmware/roots.pem\nrecovery = $pki/recovery/recovery.pem\nset = $work/store/trust.set," \
    "$work/dev/writer.conf"
SERVER=source/server source_up
head -c 1M /dev/urandom >"$work/image"
bundle r1.rsb 1 "$work/image"
bundle r2.rsb 2 "$work/image"
writer_up
bus_up dev open
daemon_up dev
expect 'at version 0 the configuration counts' '*Installed*' "$(ctl install "$url/r1.rsb")"
ctl mark bad B >/dev/null
source_is $new
refuses 'a source under another root is nobody' '*AuthSource*' "$url/r2.rsb"

# -- the new root instead of the old one: services, image and configuration stay as they are --------------------------------

trust_set 1 --source "$work/pki2/source/root.pem"
refuses 'its server is known now, the ticket of the old one is not' '*Certificate: ticket*' "$url/r2.rsb"
expect 'what is inspected is judged by the new roots' '*CN=*' "$(ctl inspect "$url/r2.rsb")"
source_is .
refuses 'the old source is nobody any more' '*AuthSource*' "$url/r2.rsb"
expect 'nor is it asked for news' '*AuthSource*' "$(ctl check "$url/r2.rsb")"
source_is $new
TICKET=$new/source/ticket bundle r2.rsb 2 "$work/image"
again
expect 'the new one is a source, after a restart too' '*Installed*' "$(ctl install "$url/r2.rsb")"
ctl mark bad B >/dev/null

# -- its lists are those that count ------------------------------------------------------------------------------------------

again
"$root/tests/fixtures/make-pki.sh" crl "$work/pki2" source/root 2 "$work/pki2/source/server.pem" >/dev/null
expect 'the list of the new root is taken' '*in force*' "$(ctl crl import "$work/pki2/source/root.crl")"
TICKET=$new/source/ticket bundle r3.rsb 3 "$work/image"
refuses 'and its revoked server refused' '*AuthSource: Revoked*' "$url/r3.rsb"
again
refuses 'after a restart, too' '*AuthSource: Revoked*' "$url/r3.rsb"
source_down
SERVER=$new/source/server2 source_up
expect 'its other one is not' '*Installed*' "$(ctl install "$url/r3.rsb")"
ctl mark bad B >/dev/null

# -- what a set leaves out is not trusted --------------------------------------------------------------------------------------

trust_set 2
refuses 'a set without a source root leaves no source' '*AuthSource*' "$url/r3.rsb"
trust_set 3 --source "$pki/source/root.pem"
source_is .
bundle r4.rsb 4 "$work/image"
expect 'and a later set brings one back' '*Installed*' "$(ctl install "$url/r4.rsb")"

# -- in the middle of an installation: what was begun under the old roots goes on only if the new ones permit it ----------------

writing() { # until the job has begun to write
    local i
    for i in $(seq 600); do
        [ "$(grep -c ': write$' "$work/dev.log")" -gt "$1" ] && return
        sleep 0.05
    done
    echo 'the job does not come to writing'
    return 1
}
writer_dies() { # and comes back
    kill -KILL "$writer"
    wait "$writer" 2>/dev/null || true
    writer_up
}
head -c 24M /dev/urandom >"$work/large"
for n in 5 6; do bundle r$n.rsb $n "$work/large"; done
for n in 5 6; do
    ctl mark bad B >/dev/null
    writes=$(grep -c ': write$' "$work/dev.log")
    timeout 240 "$build/src/resealctl/resealctl" install "$url/slow/r$n.rsb" --ticket "$url/tickets/$(ticket_of r$n.rsb)" \
        >"$work/install.$n" 2>&1 &
    install=$!
    writing "$writes"
    if [ $n = 5 ]; then stored_set 4 --source "$work/both.pem"; else stored_set 5 --source "$work/pki2/source/root.pem"; fi
    writer_dies
    wait $install || true
done
expect 'a set that keeps the source does not end it' '*Installed*' "$(cat "$work/install.5")"
expect 'one that takes it out does' '*AuthSource*' "$(cat "$work/install.6")"
expect 'and nothing of it is next' 5 "$(ctl --json chain | jq .release)"
trust_set 6 --source "$pki/source/root.pem"

# -- asked before the writer could be ----------------------------------------------------------------------------------------------

# After a restart the configuration counts until the writer has been asked; it cannot be at first, and when it can, the
# set in force is another: what was read by then is judged anew.
source_down
source_up "location /crawl/ { alias $work/www/; limit_rate 16k; }"
kill "$writer" && wait "$writer" 2>/dev/null || true
rm -f "$work/dev/writer.sock"
again
ctl --json check "$url/crawl/r6.rsb" >"$work/check" &
check=$!
sleep 1
writer_up
wait $check
expect 'a writer that comes while the source is read has its say' '"newer"' "$(jq .verdict "$work/check" 2>/dev/null || cat "$work/check")"
expect 'and the service is still there' 'Reseal *' "$(ctl status)"

# -- a store that was lost ------------------------------------------------------------------------------------------------------

ctl mark bad B >/dev/null
rm "$work/store/trust.set" "$work/dev/writer/trust.set"
kill "$writer" && wait "$writer" 2>/dev/null || true
writer_up
again
bundle r7.rsb 7 "$work/image"
refuses 'without the accepted set nobody is spoken to' '*TrustSet*' "$url/r7.rsb"
cp "$work/6.rts" "$work/store/trust.set"
expect 'the accepted one put back is enough' '*Installed*' "$(ctl install "$url/r7.rsb")"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
