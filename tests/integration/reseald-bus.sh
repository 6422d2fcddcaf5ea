#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The bus face of reseald: introspection, rights, malformed and oversized arguments, many callers, Busy (T40).
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
work=$(mktemp -d /tmp/reseal-bus.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for tool in dbus-daemon busctl setpriv python3; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root, to call as somebody else"; exit 77; }
chmod 755 "$work"
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"

n_passed=0 n_failed=0
ok() { n_passed=$((n_passed + 1)); }
bad() { n_failed=$((n_failed + 1)); echo "FAILED: $*"; }
# expect NAME PATTERN OUTPUT
expect() {
    # shellcheck disable=SC2053 # a pattern it is
    if [[ $3 == $2 ]]; then ok; else bad "$1: expected '$2', got '$3'"; fi
}
# refused_with NAME REASON OUTPUT
refused_with() { expect "$1" "*$2*" "$3"; }
cp "$build/src/resealctl/resealctl" "$work/" && chmod 755 "$work/resealctl"
ctl() { "$work/resealctl" "$@" 2>&1 || true; }
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
nobody() { as_nobody "$work/resealctl" "$@" 2>&1 || true; }
as_operator() { setpriv --reuid=65534 --regid=65534 --groups="$operator" "$@"; }

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
WRITER_RETRIES=1000 daemon_conf a # a job waits
bus_up a open
daemon_up a

# -- the interface is the documented one ------------------------------------------------------------------------------

same_interface() { # same_interface OBJECT INTERFACE
    python3 - "$2" "$root/conf/org.reseal1.xml" <(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" introspect --xml-interface org.reseal1 "$1") <<'END'
import sys
import xml.etree.ElementTree as ET


def members(path, interface):
    found = set()
    for i in ET.parse(path).getroot().iter('interface'):
        if i.get('name') != interface:
            continue
        for m in i:
            if m.tag == 'annotation':
                continue
            default = 'in' if m.tag == 'method' else None
            args = tuple((a.get('type'), a.get('direction', default)) for a in m.iter('arg'))
            found.add((m.tag, m.get('name'), m.get('type'), m.get('access'), args))
    return found


want, have = (members(p, sys.argv[1]) for p in sys.argv[2:])
if not want or want != have:
    print('only documented:', want - have, '\nonly there:', have - want)
    sys.exit(1)
END
}
same_interface /org/reseal1 org.reseal1.Manager && ok || bad 'introspection differs from conf/org.reseal1.xml'

expect 'Version is a property' 's "*"' \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 /org/reseal1 org.reseal1.Manager Version)"
expect 'Compatible is what is configured' 'as 2 "board-a" "board-b"' \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 /org/reseal1 org.reseal1.Manager Compatible)"
refused_with 'without a writer ListSlots says so' WriterGone "$(ctl slots)"
refused_with 'without a writer Mark says so' WriterGone "$(ctl mark good)"
expect 'ListJobs is empty' 'a(os) 0' "$(call ListJobs)"
expect 'status tells what it can without a writer' '*State*READY*slots are not known*WriterGone*' \
    "$(ctl status | tr '\n' ' ')"
expect 'and so does its JSON' null "$("$work/resealctl" --json status 2>/dev/null |
    python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["slots"]))')"
code() { "$@" >/dev/null 2>&1 && echo 0 || echo $?; }
expect 'a source that cannot be reached is a failure, not a missing service' 1 \
    "$(code "$work/resealctl" inspect https://localhost:1/x.rsb)"
refused_with 'a job that does not exist cannot be cancelled' 'State: there is no such job' "$(ctl cancel 99)"
refused_with 'nor watched' 'State: there is no such job' "$(ctl watch 99)"
expect 'no job to cancel is null as JSON' null "$(ctl --json cancel)"
expect 'GetKeys is empty before provisioning' 'a(sa{sv}) 0' "$(call GetKeys)"

# -- arguments --------------------------------------------------------------------------------------------------------

long=$(head -c 100000 /dev/zero | tr '\0' a)
refused_with 'http is refused' Scheme "$(ctl install http://localhost/x.rsb)"
expect 'an oversized address is refused' '*more than 2048 bytes*' "$(call Install 'sa{sv}' "https://localhost/$long" 0)"
expect 'an unknown option is refused' '*unknown or repeated option force*' \
    "$(call Install 'sa{sv}' https://localhost/x.rsb 1 force b true)"
expect 'a repeated option is refused' '*unknown or repeated*' \
    "$(call Install 'sa{sv}' https://localhost/x.rsb 2 ticket s https://localhost/t ticket s https://localhost/t)"
expect 'an option of another type is refused' '*' "$(call Install 'sa{sv}' https://localhost/x.rsb 1 ticket u 5)"
expect 'an oversized ticket address is refused' '*more than 2048 bytes*' \
    "$(call Install 'sa{sv}' https://localhost/x.rsb 1 ticket s "https://localhost/$long")"
expect 'the same for Inspect' '*more than 2048 bytes*' "$(call Inspect 'sa{sv}' "https://localhost/$long" 0)"
expect 'an unknown mark is refused' '*state is good, bad or active*' "$(call Mark ss excellent booted)"
expect 'an oversized slot is refused' '*not a slot name*' "$(call Mark ss good "$long")"
expect 'a slot that is a path is refused' '*not a slot name*' "$(call Mark ss good ../../dev/sda)"
expect 'an empty slot is refused' '*not a slot name*' "$(call Mark ss good '')"

# -- rights: nobody may look, and do nothing ---------------------------------------------------------------------------

for verb in 'install https://localhost:1/x.rsb' 'inspect https://localhost:1/x.rsb' 'mark good' \
    'chain --certify 00112233445566778899aabbccddeeff'; do
    # shellcheck disable=SC2086
    refused_with "nobody may not $verb" AccessDenied "$(nobody $verb)"
done
refused_with 'nobody may list slots' WriterGone "$(nobody slots)"
refused_with 'nobody may ask for the policy' WriterGone "$(nobody policy)"
refused_with 'who may have the record certified hears that there is no key' NotProvisioned \
    "$(ctl chain --certify 00112233445566778899aabbccddeeff)"
expect 'nobody may list jobs' 'No jobs*' "$(nobody jobs)"
if operator=$(getent group reseal-operator | cut -d: -f3) && [ -n "$operator" ]; then
    refused_with 'an operator may inspect where there is no polkit' Connect \
        "$(as_operator "$work/resealctl" inspect https://localhost:1/x.rsb 2>&1 || true)"
fi

# -- where there is a polkit, its answer counts and nothing else (T40) ---------------------------------------------------

polkit_says() { # polkit_says ANSWER CALLER-PREFIX...: what an inspection by the caller is told
    local answer=$1 authority i
    shift
    "$build/tests/integration/fake-polkit" "$answer" >"$work/polkit.$answer" &
    authority=$!
    for i in $(seq 1200); do [ -s "$work/polkit.$answer" ] && break; sleep 0.05; done
    "$@" "$work/resealctl" inspect https://localhost:1/x.rsb 2>&1 || true
    kill "$authority"
    wait "$authority" 2>/dev/null || true
}
refused_with 'who polkit permits may' Connect "$(polkit_says yes as_nobody)"
expect 'polkit is asked for the connection and the action' '*system-bus-name org.reseal1.inspect*' "$(cat "$work/polkit.yes")"
for answer in no challenge error garbage; do
    refused_with "polkit says $answer: denied" AccessDenied "$(polkit_says $answer as_nobody)"
done
[ -z "$operator" ] || refused_with 'an operator too needs polkit where there is one' AccessDenied "$(polkit_says no as_operator)"
refused_with 'root does not' Connect "$(polkit_says no env)"

# -- one installation at a time, status meanwhile ----------------------------------------------------------------------

# somebody who takes connections and says nothing
python3 -c '
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16)
open(sys.argv[1] + ".new", "w").write(str(s.getsockname()[1]))
import os; os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(300)' "$work/silent" &
pids+=($!)
for i in $(seq 1200); do [ -s "$work/silent" ] && break; sleep 0.05; done
silent=https://localhost:$(cat "$work/silent")/x.rsb

# the list of jobs once it says connect, or after half a minute
jobs_connecting() {
    local i
    for i in $(seq 600); do
        [[ $(call ListJobs) == *connect* ]] && break
        sleep 0.05
    done
    call ListJobs
}

# an inspection that hangs does not keep an installation waiting
ctl inspect "$silent" >"$work/inspect.out" &
inspecting=$!
sleep 0.5
job=$(call Install 'sa{sv}' "$silent?token=secret" 0)
expect 'Install names a job' 'o "/org/reseal1/job/*"' "$job"
job=${job#o \"} job=${job%\"}
refused_with 'a second Install is Busy' Busy "$(ctl install "$silent")"
refused_with 'Inspect meanwhile is Busy' Busy "$(ctl inspect "$silent")"
refused_with 'Mark meanwhile is Busy' Busy "$(ctl mark good)"
expect 'the job is listed' "a(os) 1 \"$job\" \"connect\"" "$(jobs_connecting)"
wait $inspecting || true
refused_with 'the inspection gave way' 'Busy: an installation has begun' "$(cat "$work/inspect.out")"
expect 'the job is an object and shows no query' "s \"$silent\"" \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 "$job" org.reseal1.Job Source)"
expect 'the state is WRITING' 's "WRITING"' \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.reseal1 /org/reseal1 org.reseal1.Manager State)"
same_interface "$job" org.reseal1.Job && ok || bad 'a job differs from conf/org.reseal1.xml'
expect 'managed objects name the job' "*$job*" \
    "$(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" call org.reseal1 /org/reseal1 org.freedesktop.DBus.ObjectManager GetManagedObjects)"

begin=$(date +%s%N)
callers=()
for i in $(seq 100); do
    busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" --timeout=20 call org.reseal1 /org/reseal1 org.reseal1.Manager ListJobs >"$work/caller.$i" 2>&1 &
    callers+=($!)
done
wait "${callers[@]}" || true
answered=$(cat "$work"/caller.* | grep -c '^a(os) 1' || true)
expect '100 callers at once are answered while a job runs' 100 "$answered"
echo "100 callers: $((($(date +%s%N) - begin) / 1000000)) ms"

expect 'no credential of an address is shown' 'no' "$(grep -q secret "$work/a.log" && echo yes || echo no)"
refused_with 'nobody may not cancel' AccessDenied "$(nobody cancel)"
expect 'root cancels' '*being cancelled*' "$(ctl cancel)"
for i in $(seq 600); do [ "$(call ListJobs)" = 'a(os) 0' ] && break; sleep 0.05; done
expect 'a cancelled job is gone' 'a(os) 0' "$(call ListJobs)"
[ ! -e "$work/a.state/job" ] && ok || bad 'the record of a cancelled job stays'
grep -q 'was cancelled' "$work/a.log" && ok || bad 'the end is not logged'

# -- a job outlives the daemon -----------------------------------------------------------------------------------------

call Install 'sa{sv}' "$silent" 0 >/dev/null
jobs_connecting >/dev/null
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
[ -e "$work/a.state/job" ] && ok || bad 'no record after a kill'
daemon_up a
expect 'the job goes on after a kill' "a(os) 1 *\"connect\"" "$(jobs_connecting)"
kill -TERM "$daemon"
wait "$daemon" && ok || bad 'SIGTERM does not end it well'
[ -e "$work/a.state/job" ] && ok || bad 'no record after SIGTERM'
daemon_up a
again=$(call ListJobs)
expect 'the job goes on after SIGTERM' "a(os) 1 *\"connect\"" "$(jobs_connecting)"
ctl cancel >/dev/null
kill -TERM "$daemon"
wait "$daemon" || true
printf 'RSJOB001 damaged' >"$work/a.state/job"
daemon_up a
expect 'a damaged record is ignored' 'a(os) 0' "$(call ListJobs)"
last=${again#*job/} last=${last%%\"*}
expect 'numbers go on where they were before the restart' "o \"/org/reseal1/job/$((last + 1))\"" \
    "$(call Install 'sa{sv}' "$silent" 0)"
ctl cancel >/dev/null
grep -q 'cannot be read, ignoring' "$work/a.log" && ok || bad 'a damaged record is not logged'
kill -TERM "$daemon"
wait "$daemon" || true
# whatever lies where it keeps its notes: it starts
for note in crls job last-job; do
    rm -rf "$work/a.state"/{crls,job,last-job}
    mkdir "$work/a.state/$note"
    daemon_up a
    expect "a directory in the place of $note keeps nobody from asking" 'a(os) 0' "$(call ListJobs)"
    kill -TERM "$daemon"
    wait "$daemon" || true
    rm -r "${work:?}/a.state/$note"
done
grep -q 'Revocation lists begin anew, ignoring: crls' "$work/a.log" && ok || bad 'unusable lists are not logged'

# -- the shipped bus policy --------------------------------------------------------------------------------------------

daemon_conf b
bus_up b "$root/conf/org.reseal1.conf"
daemon_up b
for verb in 'install https://localhost:1/x.rsb' 'inspect https://localhost:1/x.rsb' 'mark good'; do
    # shellcheck disable=SC2086
    refused_with "the bus keeps nobody from $verb" AccessDenied "$(nobody $verb)"
    # shellcheck disable=SC2086
    expect "the bus lets root $verb" '*[CW]*' "$(ctl $verb)"
done
expect 'the bus lets nobody look' 'No jobs*' "$(nobody jobs)"
grep -q 'Denied org.reseal1' "$work/b.log" && bad 'a request got past the bus policy' || ok

# -- what is wrong at the start is said -------------------------------------------------------------------------------

refused() { # refused NAME PATTERN LINE-TO-ADD
    daemon_conf c
    printf '%s\n' "$3" >>"$work/c.conf"
    expect "$1" "*$2*" "$("$build/src/reseald/reseald" --config "$work/c.conf" 2>&1 || true)"
}
refused 'an unknown key is refused' Config 'speed = 5'
refused 'an unknown section is refused' Config '[weapons]
x = 1'
refused 'a missing state directory is refused' 'reseald cannot run' '[daemon]
state-directory = /nonexistent'
chmod 666 "$work/a.conf"
refused_with 'a configuration that others may write is refused' Config \
    "$("$build/src/reseald/reseald" --config "$work/a.conf" 2>&1 || true)"

# -- without a bus there is nothing to do: it ends so that it is started again ------------------------------------------

daemon_conf d
bus_up d open
bus=${pids[-1]}
daemon_up d
kill "$bus"
status=0
wait "$daemon" || status=$?
expect 'the loss of the bus is a failure' 1 "$status"
grep -q 'the system bus went away' "$work/d.log" && ok || bad 'the loss of the bus is not logged'

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
