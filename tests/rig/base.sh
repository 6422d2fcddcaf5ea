# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# base - what every rig needs: a private mount namespace, one directory, one way out.
#
#   rig_namespace "$@"   first line of a script: runs it again in its own mount namespace, so that nothing it mounts
#                        is seen outside or survives it
#   rig_begin NAME       RIG=/var/tmp/reseal-NAME.XXXXXX (not a tmpfs: slots are written with O_DIRECT)
#   rig_at_end CMD...    run at the end, last one first, whatever way the script ends
#
# Environment: SOURCE_ROOT (found if unset), BUILD_ROOT (default SOURCE_ROOT/build), RIG_VERBOSE=1 shows every tool's output.

SOURCE_ROOT=${SOURCE_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
BUILD_ROOT=${BUILD_ROOT:-$SOURCE_ROOT/build}
RIG_CACHE=${RESEAL_CACHE:-${XDG_CACHE_HOME:-/var/cache}/reseal-demo}

rig_namespace() {
        [ -z "${RIG_NAMESPACE:-}" ] || return 0
        [ "$(id -u)" = 0 ] || rig_skip "needs root: mounts, loop devices and a container"
        export RIG_NAMESPACE=1
        exec unshare --mount --propagation private -- "$0" "$@"
}

rig_skip() {
        echo "SKIP: $*" >&2
        exit 77
}

rig_die() {
        echo "${0##*/}: $*" >&2
        exit 1
}

rig_need() {
        local tool
        for tool; do
                command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || rig_skip "no $tool"
        done
}

_rig_ends=()
rig_at_end() {
        _rig_ends+=("$*")
}

_rig_end() {
        local rc=$? i
        trap '' INT TERM HUP
        trap - EXIT
        set +e
        for ((i = ${#_rig_ends[@]} - 1; i >= 0; i--)); do
                eval "${_rig_ends[i]}" >>"$RIG/end.log" 2>&1
        done
        rm -rf --one-file-system "$RIG"
        exit "$rc"
}

rig_begin() {
        umask 022
        RIG=$(mktemp -d "/var/tmp/reseal-$1.XXXXXX")
        chmod 755 "$RIG"
        trap _rig_end EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
}

# Runs a tool whose output matters only when it fails.
quiet() {
        if [ -n "${RIG_VERBOSE:-}" ]; then
                "$@"
                return
        fi
        local log rc=0
        log=$(mktemp "$RIG/quiet.XXXXXX")
        "$@" >"$log" 2>&1 || rc=$?
        if [ $rc -ne 0 ]; then
                echo "--- $* (exit $rc)" >&2
                tail -40 "$log" >&2
        fi
        rm -f "$log"
        return $rc
}

# wait_for SECONDS CMD...: until CMD is true
wait_for() {
        local deadline=$((SECONDS + $1))
        shift
        until "$@" >/dev/null 2>&1; do
                [ $SECONDS -lt $deadline ] || return 1
                sleep 0.1
        done
}

now_ms() {
        local t=${EPOCHREALTIME/[.,]/}
        echo $((t / 1000))
}

as_seconds() { # milliseconds -> "12.3 s"
        printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
}

as_bytes() {
        if [ "$1" -ge $((10 * 1048576)) ]; then
                printf '%d MiB' $((($1 + 524288) / 1048576))
        elif [ "$1" -ge 10240 ]; then
                printf '%d KiB' $((($1 + 512) / 1024))
        else
                printf '%d B' "$1"
        fi
}
