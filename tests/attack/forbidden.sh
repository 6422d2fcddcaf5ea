#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Each service's sandbox from inside: a program that tries what it likes stands in the place of the service, in the unit as
# shipped (S20, S43, T26, T49).  What the unit promises is refused; what the service needs is possible, and everything is
# possible outside, so nothing here holds because nothing works.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin forbidden
truncate -s 1M "$RIG/other"
RIG_OTHER_DISK=$(losetup --find --show "$RIG/other")
rig_at_end "losetup -d $RIG_OTHER_DISK"
e2e_ready 8

programs=$BUILD_ROOT/tests/attack
install -m 755 "$programs/forbidden" "$RIG/keep/forbidden"

# What each may do of the program's list.  All else is refused.
declare -A may=(
        [reseald]='read-own create-own socket-unix create-daemon read-daemon-conf read-identity socket-inet socket-inet6'
        [reseal-writer]='read-own create-own socket-unix create-writer read-writer-conf read-gate-auth write-grubenv read-running-slot other-slot'
        [reseal-certstore]='read-own create-own socket-unix create-store'
        [reseal-health]='socket-unix socket-inet socket-inet6 read-writer-conf read-own create-own execute-own execute-memory own-as-code memory-as-code'
)

# Outside, as root: on the machine or in the container.  A machine may itself be fenced in (no CAP_SYS_BOOT, say): what
# cannot be shown to work there proves little below, and is named.
"$RIG/keep/forbidden" own="$RIG" >"$RIG/outside"
in_device /srv/keep/forbidden own=/run >"$RIG/as-root"
grep -hE '^[a-z0-9-]+ possible' "$RIG/outside" "$RIG/as-root" | cut -d' ' -f1 | sort -u >"$RIG/possible"
echo "     not possible on this machine at all: $(cut -d' ' -f1 "$RIG/as-root" | sort | comm -23 - "$RIG/possible" | xargs)"
check nearly_everything_is_possible_outside test "$(wc -l <"$RIG/possible")" -ge 46

for unit in reseald reseal-writer reseal-certstore reseal-health; do
        in_device systemctl stop reseald.service reseal-writer.socket reseal-health.socket reseal-certstore.socket \
                reseal-writer.service reseal-certstore.service reseal-health.service 2>/dev/null || true
        # for the health check, which runs programs of the administrator's, the unit is all there is
        install -m 755 "$(ls "$programs/forbidden-$unit" 2>/dev/null || echo "$programs/forbidden")" "$RIG/keep/forbidden"
        in_device mkdir -p "/etc/systemd/system/$unit.service.d"
        # its own place is the same path, so that ExecPaths= permits it; Type only because it does not speak to systemd
        printf '[Unit]\nFailureAction=none\nRequires=\nConditionPathExists=\n[Service]\nType=oneshot\nSockets=\nRestart=no\nBindReadOnlyPaths=/srv/keep/forbidden:/usr/bin/%s\n' \
                "$unit" | in_device sh -c "cat >/etc/systemd/system/$unit.service.d/90-forbidden.conf"
        if [ "$unit" = reseal-writer ]; then
                # what root does before the writer is done by the real program, which stands elsewhere for this
                install -m 755 "$RIG/root/usr/bin/reseal-writer" "$RIG/root/usr/lib/reseal-protect"
                printf 'ExecStartPre=\nExecStartPre=+/usr/lib/reseal-protect --protect\n' |
                        in_device sh -c "cat >>/etc/systemd/system/$unit.service.d/90-forbidden.conf"
        fi
        in_device systemctl daemon-reload
        in_device systemctl start "$unit.service" >"$RIG/$unit.start" 2>&1 || true
        in_device journalctl --no-pager -o cat -u "$unit" | grep -E '^[a-z0-9-]+ (refused|possible) ' >"$RIG/$unit.out" || true
        check "${unit//-/_}_was_tried" test "$(wc -l <"$RIG/$unit.out")" = "$(wc -l <"$RIG/as-root")"
        while read -r name verdict why; do
                wanted=refused
                [[ " ${may[$unit]} " != *" $name "* ]] || wanted=possible
                check "${unit//-/_}_${name//-/_}_is_$wanted" test "$verdict" = "$wanted" -o "$why" = "$wanted"
        done <"$RIG/$unit.out"
done
e2e_end
