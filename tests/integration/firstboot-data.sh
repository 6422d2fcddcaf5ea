#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# reseal-firstboot makes a file system in a volume that it made itself and has not filled, and in no other, whatever a probe
# says or does not say about what lies inside.  The script as it is, with a header that reseal-provision made; there is no
# device-mapper here, so a loop device stands where the opened volume would.  Each run ends behind the data volume, for want
# of a serial number.  In a root of its own with a small /var (needs root).
set -euo pipefail
if [ "${1:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || { echo "skipped: mounting needs root"; exit 77; }
        exec unshare -m -- "$0" inside
fi
. "$SOURCE_ROOT/tests/tpm/swtpm.sh"
d=$(mktemp -d /tmp/reseal-firstboot.XXXXXX)
loop=
clean() {
        [ -z "$loop" ] || losetup -d "$loop"
        swtpm_down "$d/tpm"
        umount -R "$d/root" 2>/dev/null || true
        umount "$d/layer" 2>/dev/null || true
        rm -rf "$d"
}
trap clean EXIT
mount --make-rprivate /
failed=0
check() { # WHAT COMMAND...
        local what=$1
        shift
        if "$@" >"$d/said" 2>&1; then echo "ok   $what"; else
                echo "FAIL $what"
                sed 's/^/     | /' "$d/said" "$d/out"
                failed=1
        fi
}

# -- this system with an empty /var, and a /dev where /dev/mapper/data may be put ------------------------------------------------

mkdir "$d/layer" "$d/root" "$d/tpm"
mount -t tmpfs tmpfs "$d/layer"
mkdir -p "$d/layer/up/var" "$d/layer/work"
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "trusted.overlay.opaque", b"y")' "$d/layer/up/var"
echo 'of the image' >"$d/layer/up/var/image"
mount -t overlay overlay -o "lowerdir=/,upperdir=$d/layer/up,workdir=$d/layer/work" "$d/root"
mount --bind /proc "$d/root/proc"
mount -t tmpfs tmpfs "$d/root/dev"
mount -t tmpfs tmpfs "$d/root/run"
mkdir "$d/root/dev/mapper"
mknod -m 666 "$d/root/dev/null" c 1 3
mknod -m 666 "$d/root/dev/zero" c 1 5
mknod -m 666 "$d/root/dev/random" c 1 8
mknod -m 666 "$d/root/dev/urandom" c 1 9
: >"$d/root/dev/tpmrm0"
cp "$SOURCE_ROOT/conf/firstboot/reseal-firstboot" "$d/root/dev/firstboot"
printf 'line=gateway\nslot=B\nrelease=/none\nserial_file=/none\ndata=/dev/volume\n' >"$d/root/dev/firstboot.conf"

# -- what the volume's header says, and what lies inside ---------------------------------------------------------------------------

swtpm_up "$d/tpm"
printf '[daemon]\ncompatible = x\n[tpm]\ntcti = swtpm:path=%s/tpm/s\nshared = no\nlock = %s/lock\n' "$d" "$d" >"$d/reseal.conf"
chmod 644 "$d/reseal.conf"
header() { # LABEL; "": none
        rm -f "$d/header" && truncate -s 16M "$d/header"
        "$BUILD_ROOT/src/provision/reseal-provision" data --config "$d/reseal.conf" --device "$d/header" ${1:+--label "$1"} 2>"$d/out"
        cp "$d/header" "$d/root/dev/volume"
}
inside() { # FILE
        [ -z "$loop" ] || losetup -d "$loop"
        loop=$(losetup -f --show "$1")
        rm -f "$d/root/dev/mapper/data"
        mknod "$d/root/dev/mapper/data" b "$((0x$(stat -c %t "$loop")))" "$((0x$(stat -c %T "$loop")))"
}
in_use() {
        mkdir -p "$d/var/lib"
        echo 'of the device' >"$d/var/gate"
        rm -f "$d/volume"
        mke2fs -q -t ext4 -L reseal-data -d "$d/var" "$d/volume" 32M 2>/dev/null
}
run() {
        chroot "$d/root" sh /dev/firstboot /dev/firstboot.conf >"$d/out" 2>&1 && return 0
        [ $? = 1 ]
}
said() { grep -q "$1" "$d/out"; }
var_has() { # TEXT FILE
        mountpoint -q "$d/root/var" && grep -qx "$1" "$d/root/var/$2"
}
away() { umount "$d/root/var" 2>/dev/null || true; }
label_is() { cryptsetup luksDump "$d/root/dev/volume" | grep -q "^Label:[[:space:]]*$1\$"; }
untouched() { # after a run that must not write
        cmp "$d/volume" "$d/before"
}

echo "--- a new volume is filled, once"
header reseal-new
head -c 32M /dev/urandom >"$d/volume"
inside "$d/volume"
check 'it runs' run
check 'to its end' said 'no serial number'
check 'it was filled' said 'data volume made'
check 'with what the image has' var_has 'of the image' image
check 'the header says so' label_is reseal-data
echo 'of the device' >"$d/root/var/gate"
away
check 'again' run
check 'it is mounted and not filled' var_has 'of the device' gate
away
echo "--- one that was not filled to its end, with a file system in it, is filled again"
header reseal-new
inside "$d/volume"
check 'it runs' run
check 'it was filled' said 'data volume made'
away

echo "--- a volume in use in which a probe sees two file systems"
for label in reseal-data ''; do
        header "$label"
        in_use
        mkfs.vfat -C "$d/vfat" 4096 >/dev/null 2>&1
        dd if="$d/vfat" of="$d/volume" bs=512 count=1 conv=notrunc status=none
        rm "$d/vfat"
        status=0
        blkid -p "$d/volume" >/dev/null 2>&1 || status=$?
        check 'a probe is not sure' [ $status = 8 ]
        inside "$d/volume"
        check 'it runs' run
        check 'it is not filled' var_has 'of the device' gate
        away
done
echo "--- one in which it sees nothing"
for label in reseal-data other ''; do
        header "$label"
        head -c 32M /dev/urandom >"$d/volume"
        cp "$d/volume" "$d/before"
        inside "$d/volume"
        check "called \"$label\": it runs" run
        check 'and says what to do' said 'cannot be mounted; nothing was changed'
        check 'nothing was written' untouched
        away
done
echo "--- one that cannot be opened, one whose header cannot be read"
header reseal-data
in_use
cp "$d/volume" "$d/before"
inside "$d/volume"
rm "$d/root/dev/mapper/data"
mknod "$d/root/dev/mapper/data" b 259 1000000
check 'it runs' run
check 'and says what to do' said 'cannot be mounted; nothing was changed'
inside "$d/volume"
dd if=/dev/zero of="$d/root/dev/volume" bs=32K count=1 conv=notrunc status=none
check 'it runs' run
check 'and says it' said 'header of /dev/volume cannot be read; nothing was changed'
check 'nothing was written' untouched
exit $failed
