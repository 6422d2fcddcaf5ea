# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced: a private bus and a reseald on it, for tests without a writer.  Uses $work, $build, $root; fills $pids.

# bus_up NAME POLICY-FILE: with "open" anybody may send anything: then only the daemon's own checks stand
bus_up() {
    local name=$1 policy=$2 rules i
    if [ "$policy" = open ]; then
        rules='<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>'
    else
        rules="<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/>
            <allow send_type=\"signal\"/><allow send_requested_reply=\"true\" send_type=\"method_return\"/>
            <allow send_requested_reply=\"true\" send_type=\"error\"/><allow receive_type=\"method_call\"/>
            <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/><allow receive_type=\"signal\"/>
            <allow send_destination=\"org.freedesktop.DBus\"/></policy>
            <policy user=\"root\"><allow own=\"org.reseal1\"/></policy><include>$policy</include>"
    fi
    cat >"$work/$name.bus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path=$work/$name.bus</listen><auth>EXTERNAL</auth>$rules</busconfig>
END
    dbus-daemon --config-file="$work/$name.bus.conf" --nofork --nopidfile 2>"$work/$name.bus.log" &
    pids+=($!)
    for i in $(seq 1200); do
        [ -S "$work/$name.bus" ] && break
        sleep 0.05
    done
    export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$work/$name.bus
}

# daemon_up NAME: with $work/NAME.conf; waits until the name is there; $daemon is its pid
daemon_up() {
    local name=$1 i
    # LeakSanitizer attaches to its process at the end, which PR_SET_DUMPABLE 0 forbids: no leak check in the daemon itself
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" \
        "$build/src/reseald/reseald" --config "$work/$name.conf" 2>>"$work/$name.log" &
    daemon=$!
    pids+=("$daemon")
    for i in $(seq 1200); do
        busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" status org.reseal1 >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    cat "$work/$name.log"
    echo "reseald does not come up"
    return 1
}

# daemon_conf NAME: a configuration without TPM and without a writer; a job asks that one first
daemon_conf() {
    mkdir -p "$work/$1.state" "$work/$1.keys"
    cat >"$work/$1.conf" <<END
[source]
anchors = $work/pki/source/root.pem
retries = 0
[tpm]
tcti = swtpm:path=$work/none
shared = no
lock = $work/$1.state/tpm.lock
[writer]
socket = $work/$1.sock
retries = ${WRITER_RETRIES:-1}
[daemon]
state-directory = $work/$1.state
keys-directory = $work/$1.keys
compatible = board-a board-b
END
}

call() { # call MEMBER SIGNATURE ARGUMENTS...: of the manager
    busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" --timeout=20 call org.reseal1 /org/reseal1 org.reseal1.Manager "$@" 2>&1
}
