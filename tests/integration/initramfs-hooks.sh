#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the hooks of the two initramfs makers leave behind a root that was opened and does not come up: no way to a shell that
# does not lead past the restart.  tests/boot/hooks.py starts both.
set -euo pipefail

root=${SOURCE_ROOT:?} work=$(mktemp -d "${TMPDIR:-/tmp}/reseal-hooks.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() {
        echo "FAIL $1" >&2
        exit 1
}

# -- dracut: module-setup.sh with dracut's functions replaced ------------------------------------------------------------

units=/usr/lib/systemd/system
(
        export initdir=$work/dracut systemdsystemunitdir=$units moddir=$root/conf/dracut SYSTEMCTL=systemctl dracutsysrootdir=$work/system
        mkdir -p "$initdir$units" "$dracutsysrootdir/etc/reseal"
        cp "$root/conf/writer.conf" "$dracutsysrootdir/etc/reseal/"
        for target in sysinit initrd-root-device; do echo '[Unit]' >"$initdir$units/$target.target"; done
        inst_multiple() { :; }
        inst_libdir_file() { :; }
        inst_simple() { command install -D -m 644 "$1" "$initdir$2"; }
        instmods() { :; }
        # shellcheck source=conf/dracut/module-setup.sh
        . "$root/conf/dracut/module-setup.sh"
        install
) || fail 'dracut: install()'
[ -L "$work/dracut/etc/systemd/system/sysinit.target.wants/reseal-deadline.service" ] || fail 'dracut: no deadline'
for shell in emergency rescue dracut-emergency; do
        config=$work/dracut$units/$shell.service.d/reseal.conf
        grep -qx 'Requires=reseal-refuse.service' "$config" || fail "dracut: $shell.service does not need the restart"
        grep -qx 'After=reseal-refuse.service' "$config" || fail "dracut: $shell.service does not wait for the restart"
done
refuse=$work/dracut$units/reseal-refuse.service
grep -q '^ExecStart=.*reseal-unlock --not-started' "$refuse" || fail 'dracut: the loader is not told'
grep -q '^ExecStart=.*--force --force reboot' "$refuse" || fail 'dracut: no restart'
[ "$(grep '^ExecStart=' "$refuse" | tail -1)" = "ExecStart=/bin/sh -c 'while :; do sleep 60; done'" ] || fail 'dracut: it ends'
for unit in reseal-refuse reseal-deadline reseal-unlock; do
        grep -qx 'ConditionKernelCommandLine=reseal.slot' "$work/dracut$units/$unit.service" || fail "dracut: $unit is not ours alone"
done
echo 'ok   dracut: no shell before the restart'

# What systemd asks when the unit has ended: the loader hears of every end that reseal-unlock could not tell of itself.
unlock=$work/dracut$units/reseal-unlock.service
after() { # SERVICE_RESULT EXIT_STATUS
        : >"$work/asked"
        sed -n 's/^ExecStopPost=-\{0,1\}//p' "$unlock" | sed -e "s|/usr/sbin/reseal-unlock|echo unlock|; s|sleep 10|echo sleep|; s|[$][$]|$|g" |
                while read -r line; do eval "SERVICE_RESULT=$1 EXIT_STATUS=$2 $line" >>"$work/asked" || true; done
        tr '\n' ' ' <"$work/asked"
}
[ -z "$(after success 0)" ] || fail 'dracut: the loader is told of a slot that was opened'
[ "$(after exit-code 1)" = 'sleep ' ] || fail 'dracut: a refusal is told twice'
for end in 'exit-code 2' 'signal SEGV' 'oom-kill KILL' 'core-dump ABRT' 'exit-code 127'; do
        # shellcheck disable=SC2086 # two words
        [ "$(after $end)" = 'unlock --not-started sleep ' ] || fail "dracut: the loader is not told after $end"
done
echo 'ok   dracut: the loader is told once, whatever ends reseal-unlock'

# -- initramfs-tools: the scripts, in a tree of their own with programs that only say what they were asked -------------------

mkdir -p "$work/bin" "$work/conf"
for program in reseal-unlock reboot modprobe mount sleep; do
        printf '#!/bin/sh\necho "%s $*" >>%s\n' $program "$work/asked" >"$work/bin/$program"
        chmod 755 "$work/bin/$program"
done
run() { # SCRIPT CMDLINE [STATUS OF reseal-unlock]
        : >"$work/asked"
        echo "$2" >"$work/cmdline"
        printf '#!/bin/sh\necho "reseal-unlock $*" >>%s\nexit %s\n' "$work/asked" "${3:-0}" >"$work/bin/reseal-unlock"
        # where it would wait for a machine that does not restart it ends here
        sed -e "s|/proc/cmdline|$work/cmdline|" -e "s|/conf/param.conf|$work/conf/param.conf|" \
                -e 's|^\( *\)while :; do sleep 60; done|\1exit 99|' "$root/conf/initramfs-tools/$1" >"$work/script"
        PATH=$work/bin:$PATH sh "$work/script"
}

run local-top 'quiet panic=0 reseal.slot=A' || fail 'initramfs-tools: local-top'
panic=0
# shellcheck source=/dev/null
. "$work/conf/param.conf"
[ -z "$panic" ] || fail 'initramfs-tools: panic= decides, and scripts/panic is not asked'
run local-top 'reseal.slot=A' 1 && fail 'initramfs-tools: a refused slot goes on'
grep -q '^reboot -f' "$work/asked" || fail 'initramfs-tools: a refused slot does not restart'
grep -q '^reseal-unlock --not-started' "$work/asked" && fail 'initramfs-tools: a refusal is told twice'
for status in 2 127 134 137 139; do
        run local-top 'reseal.slot=A' $status && fail "initramfs-tools: status $status goes on"
        [ "$(grep -E '^(reseal-unlock|reboot)' "$work/asked" | tr '\n' ' ')" = 'reseal-unlock  reseal-unlock --not-started reboot -f ' ] ||
                fail "initramfs-tools: the loader is not told after status $status"
done
run panic 'reseal.slot=A' && fail 'initramfs-tools: a shell behind a root that does not mount'
grep -q '^reseal-unlock --not-started' "$work/asked" || fail 'initramfs-tools: the loader is not told'
grep -q '^reboot -f' "$work/asked" || fail 'initramfs-tools: no restart'
run panic 'root=/dev/sda1' || fail 'initramfs-tools: a system that is none of ours'
[ ! -s "$work/asked" ] || fail 'initramfs-tools: a system that is none of ours is restarted'
echo 'ok   initramfs-tools: no shell before the restart'
