#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/boot/factory.sh [--loader NAME] [--tries N] [--more] [--health] [--hooks] [--blank] [--roots] WORK [PORT] - a device as it leaves the factory, and its source, for the machine of vm.py:
#
#   WORK/disk.img       GPT: ESP (loader, kernel and initramfs of both slots), boot state, slots A and B, reseal-data
#   WORK/dev/tpm        the TPM's state, provisioned
#   WORK/www            release 2 and this device's ticket; WORK/nginx.conf serves it on 127.0.0.1:PORT, mTLS
#
# --loader: grub (default), systemd-boot, efi, uboot: what loader-NAME.sh does; --tries: attempts of a new slot, 3; --more: also releases 3 that panics, 4 of security epoch 1, 5 that hangs, 6 that fails
# its health check; --health: reseal-health ends each trial, otherwise the scenario does; --hooks: slot A starts with an
# initramfs of initramfs-tools, B with one of dracut, instead of the test's own.
#
# Slot A is written by the writer itself, here, with the TPM that the machine will have: it is an installation like any
# other, only that the device does not run yet.  Needs root.
#
# --roots: release 2 stands under root 2; two trust sets lie in /etc/reseal/sets: 1 names both roots (and a third), 2 takes root 1 out.
#
# --blank: nothing of that.  The TPM is new, slot A and the data partition are zeros; slot B is the factory system, which
# makes the device at its first start (reseal-firstboot).  Release 2 is built and not published: no device is known.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=${SOURCE_ROOT:-$(cd "$here/../.." && pwd)} build=${BUILD_ROOT:-$root/build}
loader=grub tries=3 more= hooks= health= blank= roots=
while [[ ${1:-} = --* ]]; do
        case $1 in
        --loader) loader=$2 && shift ;;
        --tries) tries=$2 && shift ;;
        --more) more=yes ;;
        --hooks) hooks=yes ;;
        --health) health=yes ;;
        --blank) blank=yes ;;
        --roots) roots=yes ;;
        *) exit 2 ;;
        esac
        shift
done
work=${1:?factory.sh WORK [PORT]} port=${2:-28443}
cache=${RESEAL_BOOT_CACHE:-/var/cache/reseal-boot}
esp_mib=72 boot_mib=8 data_mib=96 tries_first=3
# of every kernel that is started, whoever starts it
cmdline='console=ttyS0 quiet panic=5 mitigations=off nokaslr tsc=reliable systemd.show_status=0'
tsc_khz=$("$build/tests/boot/tsc")
cmdline+=${tsc_khz:+ tsc_early_khz=$tsc_khz}
pids=()
clean() {
        [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
        wait 2>/dev/null || true
}
trap clean EXIT
# shellcheck source=tests/integration/bus.sh
. "$root/tests/integration/bus.sh"
# shellcheck source=tests/integration/device.sh
. "$root/tests/integration/device.sh"
loader_disk_mib() { # MiB that are needed: how large the disk is
        echo "$1"
}
# shellcheck source=tests/boot/loader-grub.sh
. "$here/loader-$loader.sh"

etc() {
        mkdir -p "$work/etc/reseal"
        cp "$work/pki/firmware/root.pem" "$work/etc/reseal/firmware-root.pem"
        cp "$work/pki/source/root.pem" "$work/etc/reseal/source-root.pem"
        cat >"$work/etc/reseal/reseal.conf" <<'C'
[daemon]
firmware-anchors = /etc/reseal/firmware-root.pem
[source]
anchors = /etc/reseal/source-root.pem
[tpm]
tcti = device:/dev/tpmrm0
shared = yes
C
        # the sample as it is, but for line, board and attempts
        sed -e 's/^line=.*/line=gateway/' -e 's/^compatible=.*/compatible=board/' -e "s/^tries=.*/tries=$tries/" "$root/conf/writer.conf" \
                >"$work/etc/reseal/writer.conf"
        loader_etc
        # a release is good when its daemon runs and the checks of its image pass
        [ -z "$health" ] || printf '[health]\nunits=reseald.service\nsettle=2s\nchecks=/etc/reseal/health.d\ndeadline=10min\n' >"$work/etc/reseal/health.conf"
        chmod 644 "$work"/etc/reseal/*.*
}

# The sets of docs/keys.md, drill 6, as the roots make them, and an authority under the root that stays.
trust_sets() {
        local fw=$work/pki/firmware ceremony=("$build/src/bundle/reseal-bundle" ceremony) sets=$work/etc/reseal/sets
        mkdir -p "$sets"
        cat "$fw"/root2.pem "$fw"/root3.pem >"$work/roots-2.pem"
        "${ceremony[@]}" trust-set --line gateway --set-version 1 --quorum 2 --firmware "$fw/roots.pem" --source "$work/pki/source/root.pem" \
                --cert "$fw/root.pem" --key "$fw/root.key" -o "$sets/1.rts"
        "${ceremony[@]}" countersign --cert "$fw/root2.pem" --key "$fw/root2.key" "$sets/1.rts"
        "${ceremony[@]}" trust-set --line gateway --set-version 2 --quorum 2 --firmware "$work/roots-2.pem" --source "$work/pki/source/root.pem" \
                --cert "$fw/root2.pem" --key "$fw/root2.key" -o "$sets/2.rts"
        "${ceremony[@]}" countersign --cert "$fw/root3.pem" --key "$fw/root3.key" "$sets/2.rts"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch -days 3650 -subj '/CN=Firmware Authority 2' \
                -CA "$fw/root2.pem" -CAkey "$fw/root2.key" -addext basicConstraints=critical,CA:TRUE \
                -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$fw/authority2.key" -out "$fw/authority2.pem" 2>/dev/null
}

new_authority() {
        cp "$work/pki/firmware/authority2.key" "$work/pki/firmware/authority.key"
        cp "$work/pki/firmware/authority2.pem" "$work/pki/firmware/authority.pem"
        cp "$work/pki/firmware/authority2.pem" "$work/pki/firmware/chain.pem"
}

# The writer on this machine, which "runs" slot B of a device that has not started yet, installs release 1 to A.
slot_a() {
        local d=$work/dev
        printf 'slot=B\n' >"$d/booted"
        grub-editenv "$d/boot/grubenv" set 'ORDER=B A' A_OK=0 A_TRY=0 B_OK=1 B_TRY=0
        cp "$d/boot/grubenv" "$d/boot/grubenv.good"
        truncate -s 0 "$d/slot-a" "$d/slot-b"
        truncate -s "${slot_mib}M" "$d/slot-a" "$d/slot-b"
        source_up
        bundle r1.rsb 1 "$work/rootfs-1"
        [ -z "$roots" ] || new_authority
        bundle r2.rsb 2 "$work/rootfs-2"
        if [ -n "$more" ]; then
                bundle r3.rsb 3 "$work/rootfs-3"
                bundle r4.rsb 4 "$work/rootfs-4" --epoch 1
                bundle r5.rsb 5 "$work/rootfs-5" --epoch 1
                bundle r6.rsb 6 "$work/rootfs-6" --epoch 1
        fi
        writer_up
        bus_up dev open
        daemon_up dev
        "$build/src/resealctl/resealctl" install "$url/r1.rsb" >"$work/factory-install.log" 2>&1 || {
                cat "$work/factory-install.log" "$work/writer.log" >&2
                return 1
        }
        clean
        pids=()
}

# Release 1, for all devices alike and so not encrypted, in a plain system that needs no initramfs of its own.
factory_system() {
        local to=$work/factory-root
        source_up
        clean
        pids=()
        local options=(build --line gateway --compatible board --no-sign --quiet)
        "$build/src/bundle/reseal-bundle" "${options[@]}" --release 1 --version 1.1 --image "rootfs=$work/rootfs-1" --no-encrypt \
                --level 3 --output "$work/r1.rsb"
        RESEAL_BUNDLE=$build/src/bundle/reseal-bundle release_sign "$work/pki" "$work/r1.rsb"
        "$build/src/bundle/reseal-bundle" "${options[@]}" --release 2 --version 1.2 --image "rootfs=$work/rootfs-2" \
                --transport-cert "$work/pki/source/transport.pem" --level 3 --output "$work/r2.rsb"
        RESEAL_BUNDLE=$build/src/bundle/reseal-bundle release_sign "$work/pki" "$work/r2.rsb"

        cp -a "$work/root" "$to"
        mkdir -p "$to/boot" "$to/usr/lib/reseal"
        cp "$work/vmlinuz" "$work/initrd" "$to/boot/"
        cp "$work/r1.rsb" "$to/usr/lib/reseal/release.rsb"
        install "$here/guest/station" "$to/etc/reseal/station"
        cp "$root/conf/firstboot/firstboot.conf" "$to/etc/reseal/"
        sed -i 's/^require-encryption=.*/require-encryption=no/' "$to/etc/reseal/writer.conf"
        sed -i '/^.dev.mapper.data/d' "$to/etc/fstab"
        rm -f "$to/etc/crypttab" "$to"/etc/systemd/system/multi-user.target.wants/{reseald,reseal-health,boot-test-up}.service \
                "$to/etc/systemd/system/boot-complete.target.requires/reseal-health.service" \
                "$to"/etc/systemd/system/sockets.target.wants/reseal-*.socket
        ln -s /usr/lib/systemd/system/reseal-firstboot.service "$to/etc/systemd/system/multi-user.target.wants/"
        slot_mib=$(($(du -sm --apparent-size "$to" | cut -f1) * 5 / 4 + 32))
        truncate -s "${slot_mib}M" "$work/dev/slot-a"
        mke2fs -q -t ext2 -b 4096 -L reseal-factory -d "$to" "$work/dev/slot-b" "${slot_mib}M"
        truncate -s "${data_mib}M" "$work/data.img"
        rm -rf "$to"
}

esp() {
        truncate -s "${esp_mib}M" "$work/esp"
        mkfs.vfat -F 32 -s 1 -n ESP "$work/esp" >/dev/null
        loader_esp "$work/esp"
}

_id() { # passwd|group NAME -> number in the device's root
        awk -F: -v n="$2" '$1 == n {print $3}' "$work/root/etc/$1"
}

# LUKS2 under a key that this TPM seals; made while the TPM runs, filled later, without a device-mapper.
data_volume() {
        truncate -s "${data_mib}M" "$work/data.img"
        "$build/src/provision/reseal-provision" data --config "$work/dev.conf" --device "$work/data.img" --recovery-key "$work/data.recovery"
        cryptsetup luksDump --batch-mode --disable-locks --disable-external-tokens --dump-volume-key --key-file "$work/data.recovery" \
                --volume-key-file "$work/data.key" "$work/data.img" >/dev/null
}

data_partition() {
        local var=$work/var d=$work/dev
        cp -a "$work/root/var" "$var"
        mkdir -p "$var/lib/reseal" "$var/lib/reseal-writer" "$var/log"
        cp -a "$d/state/." "$var/lib/reseal/"
        cp -a "$d/writer/." "$var/lib/reseal-writer/"
        chown -R "$(_id passwd reseal):$(_id group reseal)" "$var/lib/reseal"
        chown -R "$(_id passwd reseal-writer):$(_id group reseal-writer)" "$var/lib/reseal-writer"
        chmod 750 "$var/lib/reseal" && chmod 700 "$var/lib/reseal-writer"
        mke2fs -q -t ext4 -b 4096 -L reseal-data -d "$var" "$work/data.fs" "$((data_mib - 4))M"
        "$build/tests/boot/encrypt" "$work/data.key" "$work/data.fs" "$work/data.img"
        rm "$work/data.key" "$work/data.fs"
}

disk() {
        local part file parts=("esp ESP U" "${loader_parts[@]}" "dev/slot-a reseal-slot-rootfs-a" "dev/slot-b reseal-slot-rootfs-b" "data.img reseal-data")
        local at=1 table="label: gpt" size type
        for part in "${parts[@]}"; do
                read -r file name type <<<"$part"
                size=$(($(stat -c %s "$work/$file") / 1048576))
                table+=$'\n'"start=${at}MiB, size=${size}MiB, name=$name${type:+, type=$type}"
                at=$((at + size))
        done
        truncate -s "$(loader_disk_mib $((at + 1)))M" "$work/disk.img"
        sfdisk --quiet --no-reread --no-tell-kernel "$work/disk.img" <<<"$table"
        at=1
        for part in "${parts[@]}"; do
                file=${part%% *}
                dd if="$work/$file" of="$work/disk.img" bs=1M seek=$at conv=notrunc,sparse status=none
                at=$((at + $(stat -c %s "$work/$file") / 1048576))
        done
        rm -rf "$work"/{esp,boot.img,data.img,boot,var,early.cfg} "$work"/dev/slot-[ab]
}

# as source_up, on the port that release 2 and its ticket are asked for at
source_conf() {
        sed -i "s/listen 127.0.0.1:[0-9]*/listen 127.0.0.1:$port/" "$work/nginx.conf"
}

mkdir -p "$work"
"$here/tree.sh" "$cache"
"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
etc
[ -z "$roots" ] || trust_sets
"$here/image.sh" "$cache" "$build" "$work" ${more:+3=panic 4 5=hang 6=sick}
[ -z "$hooks" ] || "$here/hooks.sh" "$cache" "$work"
slot_mib=$((($(stat -c %s "$work/rootfs-1") + $(stat -c %s "$work/rootfs-2")) / 2 / 1048576 + 16))
if [ -n "$blank" ]; then
        mkdir -p "$work/dev/tpm"
        factory_system
        esp
        loader_state
else
        device_up
        data_volume
        slot_a
        esp
        loader_state
        data_partition
fi
disk
source_conf
