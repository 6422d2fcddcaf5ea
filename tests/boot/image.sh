#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tests/boot/image.sh CACHE BUILD WORK [RELEASE[=FAULT]...] - from the cached tree (tree.sh) and our programs, as `meson install` leaves them:
#
#   WORK/vmlinuz  WORK/initrd        kernel (CACHE/kernel, or BOOT_KERNEL) and initramfs
#   WORK/root                        the device's root as a tree (its /var goes to the data partition)
#   WORK/rootfs-1  WORK/rootfs-2     release 1 and its successor, erofs; and each RELEASE named
#
# FAULT: panic (no init, the kernel panics), hang (an init that does nothing), sick (its health check fails).
#
# WORK/etc/ is laid over /etc: configuration and anchors; WORK/boot.fstab goes to the end of its fstab.  Needs root: the tree has owners.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${1:?image.sh CACHE BUILD WORK} build=$2 work=$3
kernel=${BOOT_KERNEL:-$cache/kernel}
version=$(ls "$kernel/lib/modules")
in_initrd=(virtio_pci virtio_blk erofs dm_mod dm_crypt dm_verity softdog xts ecb aesni_intel sha256_ssse3 crc32c_generic libcrc32c
        vfat nls_ascii nls_cp437 efivarfs sdhci_pci mmc_block)
in_root=("${in_initrd[@]}" virtio_net virtio_console virtio_rng nls_utf8 ext4 autofs4)

modules() { # DESTINATION NAME...: with what they depend on
        local to=$1/lib/modules/$version file
        shift
        mkdir -p "$to"
        for name; do modprobe -S "$version" -d "$kernel" --show-depends "$name" 2>/dev/null || true; done |
                awk '$1 == "insmod" {print $2}' | sort -u |
                while read -r file; do install -D -m 644 "$file" "$to/${file#*/modules/"$version"/}"; done
        cp "$kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$to/"
        depmod -b "${to%/lib/modules/*}" "$version"
}

programs() {
        DESTDIR=$work/dest meson install -C "$build" --no-rebuild --strip >"$work/install.log" 2>&1 ||
                DESTDIR=$work/dest meson install -C "$build" --no-rebuild >"$work/install.log" 2>&1
        rm -rf "$work/dest/usr/share/man" "$work/dest/usr/share/doc"
}

initrd() {
        local to=$work/initramfs file
        mkdir -p "$to"/{bin,sbin,usr/bin,usr/sbin,etc/reseal,proc,sys,dev,run,tmp,sysroot}
        install "$here/guest/init" "$to/init"
        install "$work/root/bin/busybox" "$to/bin/busybox"
        for applet in cat cut modprobe sh sleep; do ln -s /bin/busybox "$to/bin/$applet"; done
        install -s "$work/root/usr/sbin/reseal-unlock" "$to/usr/sbin/"
        # what the program links, and the TCTI that is loaded by name
        { chroot "$work/root" ldd /usr/sbin/reseal-unlock | awk '/=> \// {print $3} $1 ~ /^\/lib/ {print $1}'
          (cd "$work/root" && find usr/lib -name 'libtss2-tcti-device.so.0*' -printf '/%p\n'); } |
                while read -r file; do
                        mkdir -p "$to$(dirname "$file")"
                        cp -L "$work/root$file" "$to$file"
                done
        cp "$work/etc/reseal/writer.conf" "$work/etc/reseal/firmware-root.pem" "$to/etc/reseal/"
        modules "$to" "${in_initrd[@]}"
        (cd "$to" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | zstd -q -6 -f -o "$work/initrd"
        cp "$kernel/boot/vmlinuz-$version" "$work/vmlinuz"
        rm -rf "$to"
}

# No second of the boot is spent on what this device does not have.
slim() {
        local root=$1 unit
        for unit in systemd-timesyncd e2scrub_reap apt-daily apt-daily-upgrade dpkg-db-backup fstrim systemd-pstore \
                systemd-firstboot systemd-hwdb-update systemd-journal-catalog-update systemd-update-utmp systemd-random-seed \
                systemd-logind systemd-user-sessions getty@tty1 e2scrub_all modprobe@drm modprobe@fuse modprobe@configfs \
                modprobe@dm_mod modprobe@loop modprobe@efi_pstore systemd-sysctl systemd-modules-load kmod-static-nodes \
                systemd-remount-fs systemd-update-utmp-runlevel; do
                ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
        done
        for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
                dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount getty.target; do
                ln -sf /dev/null "$root/etc/systemd/system/$unit"
        done
        mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
        printf '[Service]\nExecStart=\nExecStart=udevadm trigger --action=add%s\n' "$(printf ' --subsystem-match=%s' \
                block net tpm tpmrm virtio virtio-ports tty misc mem)" \
                >"$root/etc/systemd/system/systemd-udev-trigger.service.d/slim.conf"
        find "$root/usr/lib/systemd/system-generators" -type f ! -name '*fstab*' ! -name '*-cryptsetup-*' -delete
}

configure() {
        local root=$1
        mkdir -p "$root/etc/systemd/system.conf.d"
        systemd-sysusers --root="$root" reseal.conf >/dev/null
        rm -f "$root/etc/machine-id" "$root/etc/fstab" "$root/etc/hostname"
        : >"$root/etc/machine-id"
        echo reseal-boot >"$root/etc/hostname"
        printf '127.0.0.1 localhost\n10.0.2.2 source.example\n' >"$root/etc/hosts"
        mkdir -p "$root/boot/reseal" "$root/usr/lib/boot-test"
        cat >"$root/etc/fstab" <<'F'
/dev/mapper/data /var ext4 x-systemd.device-timeout=600s 0 0
tmpfs /tmp tmpfs mode=1777 0 0
F
        cat "$work/boot.fstab" >>"$root/etc/fstab"
        echo 'data PARTLABEL=reseal-data - luks,headless=1,x-systemd.device-timeout=600s' >"$root/etc/crypttab"
        install "$here/guest/agent" "$root/usr/lib/boot-test/agent"
        cp -a "$here"/guest/*.service "$root/etc/systemd/system/"
        cp "$here/guest/70-boot-test.rules" "$root/etc/udev/rules.d/"
        mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/system/sockets.target.wants" \
                "$root/etc/systemd/system/reseal-writer.service.d"
        ln -s ../boot-test-network.service ../boot-test-up.service /usr/lib/systemd/system/reseald.service \
                "$root/etc/systemd/system/multi-user.target.wants/"
        ln -s /usr/lib/systemd/system/reseal-writer.socket "$root/etc/systemd/system/sockets.target.wants/"
        ln -s /usr/lib/systemd/system/reseal-certstore.socket "$root/etc/systemd/system/sockets.target.wants/"
        cp -a "$work/etc/." "$root/etc/"
        chown -R root:root "$root/etc/reseal"
        install -d "$root/etc/reseal/health.d"
        install /dev/null "$root/etc/reseal/health.d/10-sensor"
        mkdir -p "$root/etc/systemd/system/boot-complete.target.requires"
        ln -s /usr/lib/systemd/system/reseal-health.service "$root/etc/systemd/system/multi-user.target.wants/"
        ln -s /usr/lib/systemd/system/reseal-health.service "$root/etc/systemd/system/boot-complete.target.requires/"
        ln -s /usr/lib/systemd/system/reseal-health.socket "$root/etc/systemd/system/sockets.target.wants/"
        # the sample, with time for machines that are slow
        sed 's/^RuntimeWatchdogSec=.*/RuntimeWatchdogSec=2min/' "$here/../../conf/watchdog.conf" >"$root/etc/systemd/system.conf.d/watchdog.conf"
        chroot "$root" reseal-provision drop-in --output /etc/systemd/system/reseal-writer.service.d/50-slots.conf >/dev/null
        slim "$root"
}

root() {
        mkdir "$work/root"
        zstd -q -d -c "$cache/tree.tar.zst" | tar -C "$work/root" --numeric-owner -x
        cp -a "$work/dest/." "$work/root/"
        mkdir "$work/root/dev"
        modules "$work/root" "${in_root[@]}"
        configure "$work/root"
}

fault() { # NAME: the device's root with it; "" without any
        ln -sf /lib/systemd/systemd "$work/root/usr/sbin/init"
        printf '#!/bin/sh\necho "the sensor answers"\n' >"$work/root/etc/reseal/health.d/10-sensor"
        case $1 in
        panic) rm "$work/root/usr/sbin/init" ;;
        hang)
                rm "$work/root/usr/sbin/init"
                # feeds the watchdog once, and shortens it: nobody has to wait for the long one
                printf '#!/bin/sh\necho "boot-test: hanging" >/dev/console\nexec busybox watchdog -F -T 20 -t 10000 /dev/watchdog\n' >"$work/root/usr/sbin/init"
                chmod 755 "$work/root/usr/sbin/init"
                ;;
        sick) printf '#!/bin/sh\necho "the sensor does not answer" >&2\nexit 1\n' >"$work/root/etc/reseal/health.d/10-sensor" ;;
        esac
}

release() { # NUMBER [FAULT]
        echo "$1" >"$work/root/etc/reseal-release"
        fault "${2:-}"
        mkfs.erofs -zlz4 -T1767225600 -U 8b1c9a52-6a55-4f7e-8f1e-2d1f6d6e0001 --exclude-regex='^var/.' \
                "$work/rootfs-$1" "$work/root" >"$work/erofs.log" 2>&1 || { cat "$work/erofs.log" >&2; return 1; }
        truncate -s %4096 "$work/rootfs-$1"
}

programs
root
initrd
for n in 1 2 "${@:4}"; do
        # shellcheck disable=SC2046 # a number, and perhaps a fault
        release $(tr = ' ' <<<"$n")
done
rm -rf "$work/dest"
