#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseal-certstore as a whole: socket activation, its sandbox in force, sets made by stock openssl, refusals with their
# reasons, the drill that replaces the roots (S23, S25, S33), and clients that break the protocol.
set -euo pipefail

build=${BUILD_ROOT:?}
certstore=$build/src/certstore/reseal-certstore
command -v systemd-socket-activate >/dev/null || { echo "SKIP: no systemd-socket-activate"; exit 77; }
dir=$(mktemp -d)
service=
stop() {
        [ -z "$service" ] || { kill "$service" 2>/dev/null; wait "$service" 2>/dev/null; } || true
        rm -rf "$dir"
}
trap stop EXIT
cd "$dir"

p384=(-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -nodes -days 3650 -batch)
for i in a b c d e f; do
        openssl req -x509 "${p384[@]}" -subj "/CN=Root $i" -addext keyUsage=critical,keyCertSign,cRLSign \
                -addext basicConstraints=critical,CA:TRUE -keyout "$i.key" -out "$i.pem" 2>/dev/null
done
for i in 1 2 3; do
        openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out "r$i.pem" 2>/dev/null
done
cat a.pem b.pem c.pem >roots.pem
mkdir store
printf '[device]\nline=gateway\ncompatible=board\n[trust]\nfirmware-root=%s/roots.pem\n[tpm]\ntcti=none\n' "$dir" >writer.conf
chmod 0600 writer.conf

make_set() { # FILE VERSION LINE "MEMBERS" "SIGNERS": quorum 2
        python3 - "$2" "$3" "$4" >set.json <<'P'
import json, sys
read = lambda n: open(n + '.pem').read()
print(json.dumps({'format': 1, 'version': int(sys.argv[1]), 'line': sys.argv[2], 'quorum': 2,
                  'firmware': [read(n) for n in sys.argv[3].split()], 'source': [], 'time': [],
                  'recovery': [read(f'r{i}') for i in (1, 2, 3)]}), end='')
P
        local signers=() s
        for s in $5; do signers+=(-signer "$s.pem" -inkey "$s.key"); done
        openssl cms -sign -nodetach -binary -md sha384 -in set.json "${signers[@]}" -outform DER -out "$1"
}

failed=0
ok() { echo "ok   $1"; }
bad() { echo "FAIL $1"; sed 's/^/     /' out; failed=1; }
state() { sha256sum store/trust.set 2>/dev/null || echo none; }
apply() { "$certstore" --socket "$dir/sock" --apply "$1" >out 2>&1; }
applied() { # NAME FILE VERSION
        if apply "$2" && grep -qx "trust set version $3 stored" out && cmp -s "$2" store/trust.set; then ok "$1"; else bad "$1"; fi
}
refused() { # NAME FILE REASON
        local before
        before=$(state)
        if ! apply "$2" && grep -q "^reseal-certstore: $3: " out && [ "$before" = "$(state)" ]; then
                ok "$1"
        else bad "$1"; fi
}

apply roots.pem && bad without_a_service_there_is_connect || { grep -q "^reseal-certstore: Connect: " out && ok without_a_service_there_is_connect ||
        bad without_a_service_there_is_connect; }

systemd-socket-activate --seqpacket -l "$dir/sock" "$certstore" --config "$dir/writer.conf" --store "$dir/store" --idle 3600 2>log &
service=$!
until [ -S sock ]; do sleep 0.05; done

make_set one-of-three.rts 1 gateway "a b c" "a"
make_set other-line.rts 1 sensor "a b c" "a b"
make_set v1.rts 1 gateway "a b c" "a b"
make_set v1-again.rts 1 gateway "a b c" "a b c"
make_set v2.rts 2 gateway "a b c" "b c"
make_set stranger.rts 3 gateway "d e f" "d e f"
make_set handed-over-blind.rts 3 gateway "d e f" "a b d"
make_set v3.rts 3 gateway "d e f" "a c d f"
make_set comeback.rts 4 gateway "a b c" "a b c"
make_set v4.rts 4 gateway "d e f" "e f"

refused quorum_of_one_of_three_is_refused one-of-three.rts TrustSet
refused wrong_line_is_refused other-line.rts Line
refused what_is_no_set_is_refused roots.pem Signature
applied two_of_three_are_a_quorum v1.rts 1
refused same_version_is_refused v1-again.rts TrustSet
refused the_very_same_set_is_refused v1.rts TrustSet
applied higher_version_is_taken v2.rts 2
refused lower_version_is_refused v1.rts TrustSet
refused roots_nobody_has_handed_over_to_are_refused stranger.rts TrustSet
refused new_roots_must_show_that_they_are_at_hand handed-over-blind.rts TrustSet
applied drill_replaces_all_roots_by_two_of_the_old_and_two_of_the_new v3.rts 3
refused replaced_roots_are_nothing_any_more comeback.rts TrustSet
applied the_new_roots_go_on_alone v4.rts 4
[ "$(stat -c %a store/trust.set)" = 644 ] && ok set_can_be_read_by_everybody || bad set_can_be_read_by_everybody
[ "$(ls -A store | tr "\n" " ")" = "trust.set trust.set.1 trust.set.2 trust.set.3 " ] && ok nothing_else_is_left_in_the_store || bad nothing_else_is_left_in_the_store

# The service that runs now has taken its rights away.
pid=$(pgrep -P "$service" || echo "$service")
seccomp=$(sed -n 's/^Seccomp:\t//p' "/proc/$pid/status") privs=$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")
[ "$seccomp" = 2 ] && [ "$privs" = 1 ] && ok sandbox_is_in_force || { echo "$seccomp $privs" >out; bad sandbox_is_in_force; }

python3 - "$dir/sock" v4.rts <<'P' >out 2>&1 && ok clients_that_break_the_protocol_lose_the_connection_only || bad clients_that_break_the_protocol_lose_the_connection_only
import array, fcntl, os, socket, struct, sys
SEALS, ADD = 0x2 | 0x4 | 0x8, 1033
def memfd(size, seal):
    fd = os.memfd_create('x', os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seal:
        fcntl.fcntl(fd, ADD, SEALS)
    return fd
def say(data, *fds):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
    try:
        return s.recv(65536)
    except ConnectionResetError:
        return b''
def message(kind, payload):
    return struct.pack('>IIII', kind, 1, len(payload), 0) + payload
size = struct.pack('>I', 100)
for name, data, fds in (
        ('no descriptor', message(2, size), ()),
        ('not sealed', message(2, size), (memfd(100, False),)),
        ('a pipe', message(2, size), (os.pipe()[0],)),
        ('another size', message(2, size), (memfd(99, True),)),
        ('no size', message(2, b''), (memfd(100, True),)),
        ('nothing', message(2, struct.pack('>I', 0)), (memfd(0, True),)),
        ('too large', message(2, struct.pack('>I', (128 << 10) + 1)), (memfd((128 << 10) + 1, True),)),
        ('other type', message(4, size), (memfd(100, True),)),
        ('two descriptors', message(2, size), (memfd(100, True), memfd(100, True))),
        ('no header', b'hello', ())):
    answer = say(data, *fds)
    assert answer == b'', (name, answer)
answer = say(message(2, size), memfd(100, True))
assert answer[:4] == b'\0\0\0\1', answer
P
refused after_them_the_service_still_judges v1.rts TrustSet

# An operator (anybody, here) who holds all connections he gets, without a word or with a request again and again.
chmod 711 "$dir"
chmod 666 sock
cat >hold.py <<'P'
import array, fcntl, os, socket, struct, sys, time
os.setgroups([])
os.setresuid(65534, 65534, 65534)
fd = os.memfd_create('x', os.MFD_ALLOW_SEALING)
os.ftruncate(fd, 100)
fcntl.fcntl(fd, 1033, 0x2 | 0x4 | 0x8)
request = struct.pack('>IIIII', 2, 1, 4, 0, 100)
def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    return s
def speak(s):
    s.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
if os.fork() == 0:
    held = []
    while True: # says nothing, or the same as long as somebody listens
        try:
            held.append(connect())
            if len(held) % 2:
                speak(held[-1])
            held = held[-200:]
        except OSError:
            pass
        time.sleep(0.01)
s = connect()
while True:
    try:
        speak(s)
        s.recv(65536)
    except OSError:
        try:
            s = connect()
        except OSError:
            pass
    time.sleep(1)
P
setsid python3 hold.py "$dir/sock" &
holding=$!
sleep 2
heard=0
for i in 1 2 3 4 5; do
        timeout 4 "$certstore" --socket "$dir/sock" --apply v1.rts >out 2>&1 || true
        grep -q TrustSet out && heard=$((heard + 1))
done
kill -- -"$holding"
[ $heard = 5 ] && ok root_is_heard_whatever_an_operator_does || bad root_is_heard_whatever_an_operator_does
exit $failed
