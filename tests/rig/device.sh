# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# device - a whole device in a container: systemd as PID 1, a system bus, our units as shipped, users of their own, a TPM.
#
#   rig_device_make          puts together the device's root; needs rig_disk
#   rig_device_start         boots it (about a second); in_device works from here on
#   rig_device_stop          pulls the plug: every process gets SIGKILL, /run and the TPM's volatile state are gone
#   rig_reboot [SLOT]        stop; what grub.cfg would choose; start.  Sets RIG_BOOTED
#   in_device CMD...         runs CMD there as root        as_user USER CMD...   ... as USER
#   RIG_OTHER_DISK           a block device outside the slot map, if set: /dev/reseal/other
#   rig_tpm_cycle            takes the TPM's power only
#   rig_log [UNIT]           the journal of our services, or of UNIT, one line per message
#
# The device's root is an overlay: what `meson install` gives and a little /etc, above the machine's own root read-only.
# It is seen in this mount namespace only; home directories are masked.  The network is a loopback of its own.

rig_device_make() {
        local lower=$RIG/ov/dest
        mkdir -p "$RIG/ov" "$RIG/root" "$RIG/tpm" "$RIG/srv" "$RIG/keep"
        mount -t tmpfs -o size=1g,mode=755 rig "$RIG/ov"
        rig_at_end "umount -l $RIG/ov"
        mkdir -p "$lower" "$RIG/ov/upper" "$RIG/ov/work" "$RIG/ov/etc/etc/systemd/system/rig.target.wants"
        DESTDIR=$lower quiet meson install -C "$BUILD_ROOT" --no-rebuild || return 1
        [ -x "$lower/usr/bin/reseald" ] || [ -n "${RIG_ANY:-}" ] || rig_die "meson install left no /usr/bin/reseald (configure with --prefix=/usr)"

        local etc=$RIG/ov/etc/etc
        # the machine's own services are none of ours
        python3 -c 'import os, sys; os.setxattr(sys.argv[1], "trusted.overlay.opaque", b"y")' "$etc/systemd/system"
        : >"$etc/machine-id"
        printf 'reseal-rig\n' >"$etc/hostname"
        printf '127.0.0.1 localhost reseal-rig\n::1 localhost\n' >"$etc/hosts"
        cp "$SOURCE_ROOT"/tests/rig/units/* "$etc/systemd/system/"
        ln -s rig.target "$etc/systemd/system/default.target"
        # a unit may be killed as often as a test likes
        mkdir -p "$etc/systemd/system/reseald.service.d" "$etc/systemd/system/reseal-writer.service.d" \
                "$etc/systemd/journald.conf.d" "$etc/systemd/system/dbus.service.d"
        printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=100ms\n' >"$etc/systemd/system/reseald.service.d/rig.conf"
        printf '[Unit]\nAfter=rig-tpm.service\n[Service]\nRestartSec=100ms\n' >"$etc/systemd/system/reseal-writer.service.d/rig.conf"
        printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nForwardToConsole=no\n' >"$etc/systemd/journald.conf.d/rig.conf"
        mount -t overlay reseal-rig -o "lowerdir=$RIG/ov/etc:$lower:/,upperdir=$RIG/ov/upper,workdir=$RIG/ov/work" "$RIG/root"
        rig_at_end "umount -l $RIG/root"
        quiet systemd-sysusers --root="$RIG/root" reseal.conf
        install -d -o "$(_rig_id passwd tss)" -g "$(_rig_id group tss)" -m 700 "$RIG/tpm"
        mkdir -p "$RIG/root/srv/tpm" "$RIG/root/srv/source" "$RIG/root/srv/keep" "$RIG/root/dev" "$RIG/root/boot/reseal" \
                "$RIG/root/var/lib/reseal" "$RIG/root/var/lib/reseal-writer" "$RIG/root/etc/reseal"
        local slots boot
        slots=$(_rig_id group reseal-slots) boot=$(_rig_id group reseal-boot)
        chgrp "$slots" "$RIG_PART_A" "$RIG_PART_B" && chmod 660 "$RIG_PART_A" "$RIG_PART_B"
        chgrp "$boot" "$RIG/boot" "$RIG/boot/grubenv" "$RIG/boot/grubenv.good"
        chmod 2775 "$RIG/boot" && chmod 664 "$RIG/boot/grubenv" "$RIG/boot/grubenv.good"
        chown "$(_rig_id passwd reseal):$(_rig_id group reseal)" "$RIG/data/reseal"
        chown "$(_rig_id passwd reseal-writer):$(_rig_id group reseal-writer)" "$RIG/data/reseal-writer"
        RIG_BOOTED=A
        RIG_BOOTED_BUNDLE=
}

_rig_id() { # passwd|group NAME -> number on the device
        awk -F: -v n="$2" '$1 == n {print $3}' "$RIG/root/etc/$1"
}

rig_device_start() {
        local keep=() i machine=reseal-rig-$$
        RIG_CGROUP=''
        [ -d /run/systemd/system ] || { keep=(--keep-unit) && _rig_cgroup; }
        _rig_in_cgroup systemd-nspawn --quiet --directory="$RIG/root" --boot --register=no \
                "${keep[@]}" --machine="$machine" --console=pipe --link-journal=no --resolv-conf=off --timezone=off \
                --private-network "--system-call-filter=bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" --capability=CAP_BPF,CAP_NET_ADMIN \
                --tmpfs=/home --tmpfs=/root --tmpfs=/media --tmpfs=/mnt \
                --bind="$RIG_PART_A:/dev/reseal/slot-a" --bind="$RIG_PART_B:/dev/reseal/slot-b" \
                --bind="$RIG/boot:/boot/reseal" --bind="$RIG/data/reseal:/var/lib/reseal" \
                --bind="$RIG/data/reseal-writer:/var/lib/reseal-writer" \
                ${RIG_OTHER_DISK:+"--bind=$RIG_OTHER_DISK:/dev/reseal/other"} \
                --bind="$RIG/tpm:/srv/tpm" --bind-ro="$RIG/srv:/srv/source" --bind="$RIG/keep:/srv/keep" \
                "systemd.unit=rig.target" "systemd.show_status=0" </dev/null >>"$RIG/console.log" 2>&1 &
        RIG_NSPAWN=$!
        [ -n "${RIG_END_DEVICE:-}" ] || rig_at_end rig_device_stop
        RIG_END_DEVICE=1
        for ((i = 0; i < 600; i++)); do
                kill -0 "$RIG_NSPAWN" 2>/dev/null || break
                RIG_LEADER=$(_rig_child "$RIG_NSPAWN")
                [ -n "$RIG_LEADER" ] && [ -S "/proc/$RIG_LEADER/root/run/systemd/private" ] && break
                sleep 0.1
        done
        kill -0 "$RIG_NSPAWN" 2>/dev/null || { cat "$RIG/console.log" >&2; rig_skip "systemd-nspawn does not start here"; }
        rig_write_booted
        wait_for 60 rig_is_up || { in_device systemctl list-jobs >&2; in_device systemctl --failed >&2; rig_die "the device does not come up"; }
}

# Where no systemd gives the container a scope, it gets a control group of its own, and a new one for each start: device
# rules are programs attached to a group, they outlive a container that was killed, and all of them must permit.
_rig_cgroup() {
        local top
        top=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
        [ -n "$top" ] || return 0
        RIG_STARTS=$((${RIG_STARTS:-0} + 1))
        RIG_CGROUP=$top/reseal-rig-$$-$RIG_STARTS
        mkdir "$RIG_CGROUP" || RIG_CGROUP=''
}

_rig_in_cgroup() {
        [ -z "$RIG_CGROUP" ] || echo "$BASHPID" >"$RIG_CGROUP/cgroup.procs"
        export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
        exec "$@"
}

_rig_child() {
        local children
        children=$(cat "/proc/$1/task/$1/children" 2>/dev/null) || true
        echo "${children%% *}"
}

rig_is_up() {
        in_device systemctl is-system-running | grep -qE 'running|degraded'
}

rig_is_gone() {
        ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status"
}

rig_device_stop() {
        [ -n "${RIG_NSPAWN:-}" ] || return 0
        # PID 1 of the container dies, and with it every process in it, as in a power cut
        local leader=${RIG_LEADER:-$(_rig_child "$RIG_NSPAWN")}
        [ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
        wait_for 5 rig_is_gone "$RIG_NSPAWN" || kill -KILL "$RIG_NSPAWN" || true
        wait "$RIG_NSPAWN" 2>/dev/null || true
        RIG_NSPAWN='' RIG_LEADER=''
        [ -z "$RIG_CGROUP" ] || find "$RIG_CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

in_device() {
        nsenter -t "$RIG_LEADER" -m -u -i -n -p -C --root --wd -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
                ${TERM:+TERM="$TERM"} "$@"
}

as_user() {
        local user=$1
        shift
        in_device setpriv --reuid="$user" --regid="$user" --init-groups -- "$@"
}

rig_log() {
        local units=(-u reseald -u reseal-writer)
        [ $# -eq 0 ] || units=(-u "$1")
        in_device journalctl --no-pager -o cat "${units[@]}" || true
}

rig_tpm_cycle() {
        in_device systemctl kill -s KILL rig-tpm.service
        wait_for 60 in_device test -S /run/rig-tpm/sock.ctrl
}

# As the initramfs does before it enters the root: which slot was booted, and the release in it.
rig_write_booted() {
        in_device sh -c 'mkdir -p /run/reseal && umask 022 && printf "%s" "$1" >/run/reseal/booted' - \
                "$(rig_booted_text)"
}

rig_booted_text() {
        printf 'slot=%s\n' "$RIG_BOOTED"
        [ -z "$RIG_BOOTED_BUNDLE" ] || printf 'manifest=%s\n' "$RIG_BOOTED_BUNDLE"
}

# The choice grub.cfg makes: the first slot of ORDER that is good, or that has a try left, which is taken off.
rig_grub_choose() {
        local env=$RIG/boot/grubenv order s ok try
        order=$(_rig_grub ORDER)
        for s in $order; do
                ok=$(_rig_grub "${s}_OK") try=$(_rig_grub "${s}_TRY")
                if [ "$ok" != 1 ]; then
                        [ "${try:-0}" -gt 0 ] || continue
                        grub-editenv "$env" set "${s}_TRY=$((try - 1))"
                fi
                echo "$s"
                return
        done
        return 1
}

_rig_grub() {
        grub-editenv "$RIG/boot/grubenv" list | sed -n "s/^$1=//p"
}

rig_reboot() {
        rig_device_stop
        RIG_BOOTED=${1:-$(rig_grub_choose)} || rig_die "the boot state names no slot that can be started"
        RIG_BOOTED_BUNDLE=$(cat "$RIG/keep/bundle.$RIG_BOOTED" 2>/dev/null || true)
        rig_device_start
        wait_for 60 rig_services_talk || rig_die "reseald and reseal-writer do not come up after the reboot"
}

# The process of a unit as the machine outside sees it.
rig_pid() { # NAME
        pgrep --ns "$RIG_LEADER" --nslist pid -x "$1" | head -1
}
