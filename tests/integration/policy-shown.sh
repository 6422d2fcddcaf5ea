#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# resealctl policy: each documented key of both services with its value and its origin, as the services read it when they
# started, whatever was done to the files since; and nothing that an address may carry as a credential.
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /var/tmp/reseal-policy.XXXXXX)
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
expect() { # expect NAME PATTERN OUTPUT
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then n_passed=$((n_passed + 1)); else n_failed=$((n_failed + 1)); echo "FAILED: $1: expected '$2', got '$3'"; fi
}
ctl() { timeout 120 "$build/src/resealctl/resealctl" "$@" 2>&1 || true; }
value() { # value PROGRAM SECTION KEY: value and origin as JSON has them
    ctl --json policy | jq -r --arg p "$1" --arg s "$2" --arg k "$3" \
        '.[] | select(.program == $p and .section == $s and .key == $k) | "\(.value)|\(.set)|\(.line)"'
}
at() { grep -n "^$2" "$work/$1" | head -n 1 | cut -d: -f1; } # the line of a key

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
device_up
printf '[policy]\nrequire-encryption = no\ncrl-grace = 2d\n' >>"$work/dev/writer.conf"
sed -i 's,^\[source\],&\ntsa = https://clerk:open-sesame@time.example/tsa?token=4711\nhosts = time.example localhost,' "$work/dev.conf"
writer_up
bus_up dev open
daemon_up dev

# -- values and origins -------------------------------------------------------------------------------------------------------

expect 'a line of writer.conf' "no|true|$(at dev/writer.conf require-encryption)" "$(value reseal-writer policy require-encryption)"
expect 'as it was written' "2d|true|$(at dev/writer.conf crl-grace)" "$(value reseal-writer policy crl-grace)"
expect 'a default' 'no|true|0' "$(value reseal-writer policy require-latest)"
expect 'a default that follows from another key' '3|true|0' "$(value reseal-writer boot tries)"
expect 'what is not set' '|false|0' "$(value reseal-writer trust time-root)"
expect 'a slot' "B|true|$(grep -n '^boot-name = B' "$work/dev/writer.conf" | cut -d: -f1)" "$(value reseal-writer 'slot rootfs.b' boot-name)"
expect 'a line of the daemon' "time.example localhost|true|$(at dev.conf hosts)" "$(value reseald source hosts)"
expect 'a default of the daemon' '500ms|true|0' "$(value reseald source retry-pause)"
expect 'an address without what it carries' "https://time.example/tsa|true|$(at dev.conf tsa)" "$(value reseald source tsa)"
expect 'nowhere' '' "$( { ctl policy; ctl --json policy; } | grep -e sesame -e clerk -e 4711 || true)"

text=$(ctl policy | tr -s ' ')
expect 'people see the file and the line' \
    "reseal-writer ($work/dev/writer.conf)*[[]policy[]]* require-encryption no $work/dev/writer.conf:$(at dev/writer.conf require-encryption)*" "$text"
expect 'or that it is the default' '* require-latest no default*' "$text"
expect 'and a dash for nothing' '* time-root - default*' "$text"
expect 'the daemon behind it' "*reseald ($work/dev.conf)*[[]source[]]* retries 3 $work/dev.conf:*" "$text"

# Every key of the manual pages is shown, in its section, and no other; so are the keys of the interface.
ctl --json policy >"$work/policy.json"
python3 - "$root" "$work/policy.json" <<'END' && n_passed=$((n_passed + 1)) || { echo 'FAILED: other keys than documented'; n_failed=$((n_failed + 1)); }
import json
import re
import sys

root, shown = sys.argv[1], json.load(open(sys.argv[2]))
failed = 0
for program, page in (('reseal-writer', 'writer.conf.5'), ('reseald', 'reseal.conf.5')):
    text = open(f'{root}/docs/man/{page}').read()
    told = set()
    for section, body in re.findall(r'^\.Ss \[(\w+)[^\n]*\n(.*?)(?=^\.S[sh] )', text, re.M | re.S):
        for line in re.findall(r'^\.It Cm (.+)$', body, re.M):
            told |= {(section, w) for w in re.split(r' Ns .*$| , | ', line) if w}
    there = {(v['section'].split(' ')[0], v['key']) for v in shown if v['program'] == program}
    if told != there or len(told) < 15:
        print(page, 'only documented:', told - there, 'only shown:', there - told)
        failed = 1
documented = re.search(r'in this order:\s+(.*?)-->\s+<method name="GetPolicy">', open(f'{root}/conf/org.reseal1.xml').read(), re.S).group(1)
documented = {w.split()[0] for w in re.sub(r'\(.*?\)', '', documented, flags=re.S).split(',')}
for value in shown:
    if set(value) != documented:
        print('other keys of a value:', set(value) ^ documented)
        failed = 1
        break
sys.exit(failed)
END

# -- what holds, not what the file says by now ------------------------------------------------------------------------------------

sed -i 's,^require-encryption = no,require-encryption = yes,' "$work/dev/writer.conf"
expect 'an edit holds from the next start on' 'no|true|*' "$(value reseal-writer policy require-encryption)"
kill "$writer"
wait "$writer" 2>/dev/null || true
writer_up
expect 'and not before' 'yes|true|*' "$(value reseal-writer policy require-encryption)"

# -- no writer, no answer: half a policy is none --------------------------------------------------------------------------------------

kill "$writer"
wait "$writer" 2>/dev/null || true
rm -f "$work/dev/writer.sock"
expect 'a writer that is not there is said' 'resealctl: WriterGone: *' "$(ctl policy)"
sed -i 's,^require-encryption = yes,require-encrypton = yes,' "$work/dev/writer.conf"
writer_up
expect 'a misspelt key keeps the writer from running' 'resealctl: *' "$(ctl policy)"
expect 'and the journal names it' '*writer.conf:*require-encrypton is not known*' "$(tail -n 3 "$work/writer.log" | tr '\n' ' ')"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ] || { tail -n 20 "$work/dev.log" "$work/writer.log"; exit 1; }
