# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# swtpm - a software TPM in a directory of its own, for shell tests: swtpm_up DIR; it ends with the script.
swtpm_up() {
        swtpm socket --tpm2 --tpmstate dir="$1" --server type=unixio,path="$1/s" \
                --ctrl type=unixio,path="$1/s.ctrl" --flags not-need-init,startup-clear \
                --daemon --pid file="$1/pid"
}
swtpm_down() {
        local pid i
        pid=$(cat "$1/pid" 2>/dev/null) || return 0
        kill -9 "$pid" 2>/dev/null || true
        for i in $(seq 200); do
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.02
        done
        rm -f "$1/pid" "$1/s" "$1/s.ctrl"
}
fail() {
        echo "FAILED: $*" >&2
        exit 1
}
