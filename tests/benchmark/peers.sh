# SPDX-License-Identifier: LGPL-2.1-or-later
# The peers that ./tests/bench compares with, as Debian 12 ships them.  Sourced; functions only.
#
#   peer_swupdate_prepare IMAGE DIR          signed .swu (CMS), image zstd-compressed and AES-256-CBC encrypted
#   peer_swupdate_install DIR SLOT           installs it from a local file, streamed into SLOT
#   peer_rauc_prepare IMAGE DIR SLOT-A SLOT-B   plain bundle, custom boot back end, service on a private bus
#   peer_rauc_install DIR                    installs it
#
# Both read a local file: neither has to receive anything over TLS, which Reseal's figure includes.

peer_pki() { # DIR: one key that signs for both
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=peer-bench -keyout "$1/key.pem" -out "$1/cert.pem" \
                -addext extendedKeyUsage=emailProtection 2>/dev/null
}

peer_swupdate_prepare() {
        local image=$1 dir=$2 key iv size sum
        mkdir -p "$dir"
        peer_pki "$dir"
        key=$(openssl rand -hex 32) iv=$(openssl rand -hex 16)
        echo "$key $iv" >"$dir/aes.key"
        zstd -q -"${PEER_LEVEL:-19}" -T0 -f "$image" -o "$dir/rootfs.zst"
        openssl enc -aes-256-cbc -K "$key" -iv "$iv" -in "$dir/rootfs.zst" -out "$dir/rootfs.enc"
        sum=$(sha256sum "$dir/rootfs.enc" | cut -d' ' -f1)
        rm "$dir/rootfs.zst"
        peer_swupdate_sum=$sum
        peer_swupdate_iv=$iv
}

peer_swupdate_pack() { # DIR SLOT: the description names the device, so it is made per slot
        local dir=$1 slot=$2
        cat >"$dir/sw-description" <<SW
software = {
        version = "1.0.0";
        hardware-compatibility: [ "1.0" ];
        images: ( {
                filename = "rootfs.enc";
                device = "$slot";
                type = "raw";
                compressed = "zstd";
                encrypted = true;
                ivt = "$peer_swupdate_iv";
                installed-directly = true;
                sha256 = "$peer_swupdate_sum";
        } );
}
SW
        openssl cms -sign -in "$dir/sw-description" -out "$dir/sw-description.sig" -signer "$dir/cert.pem" \
                -inkey "$dir/key.pem" -outform DER -nosmimecap -binary
        (cd "$dir" && printf '%s\n' sw-description sw-description.sig rootfs.enc | cpio -ov -H crc --quiet 2>/dev/null) \
                >"$dir/update.swu"
        echo "bench 1.0" >"$dir/hwrevision"
        cat >"$dir/swupdate.cfg" <<CFG
globals : { verbose = false; loglevel = 2; public-key-file = "$dir/cert.pem"; aes-key-file = "$dir/aes.key"; };
CFG
}

peer_swupdate_install() {
        local dir=$1
        TMPDIR=$dir swupdate -f "$dir/swupdate.cfg" -k "$dir/cert.pem" -K "$dir/aes.key" -H bench:1.0 -M -m -l 1 \
                -i "$dir/update.swu" >"$dir/swupdate.log" 2>&1
}

peer_rauc_prepare() {
        local image=$1 dir=$2 a=$3 b=$4
        mkdir -p "$dir/content" "$dir/mnt" "$dir/state"
        peer_pki "$dir"
        ln -f "$image" "$dir/content/rootfs.img" 2>/dev/null || cp "$image" "$dir/content/rootfs.img"
        cat >"$dir/content/manifest.raucm" <<M
[update]
compatible=bench
version=1
[bundle]
format=plain
[image.rootfs]
filename=rootfs.img
M
        rm -f "$dir/update.raucb"
        rauc bundle --cert="$dir/cert.pem" --key="$dir/key.pem" "$dir/content" "$dir/update.raucb" >/dev/null 2>&1
        cat >"$dir/backend" <<'B'
#!/bin/sh
case $1 in
get-primary) echo A ;;
get-current) echo A ;;
get-state) echo good ;;
esac
exit 0
B
        chmod +x "$dir/backend"
        cat >"$dir/system.conf" <<C
[system]
compatible=bench
bootloader=custom
mountprefix=$dir/mnt
statusfile=$dir/state/status
[keyring]
path=$dir/cert.pem
[handlers]
bootloader-custom-backend=$dir/backend
[slot.rootfs.0]
device=$a
type=raw
bootname=A
[slot.rootfs.1]
device=$b
type=raw
bootname=B
C
        cat >"$dir/bus.conf" <<C
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=$dir/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
C
        peer_rauc_bus=$(dbus-daemon --config-file="$dir/bus.conf" --fork --print-pid)
        # RAUC 1.8 gives up when a partition of a loop device is mounted anywhere: not in its view
        # shellcheck disable=SC2016
        DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus unshare --mount --propagation private sh -c '
                for m in $(sed -n "s,^/dev/loop[0-9]*p[0-9]* \([^ ]*\) .*,\1,p" /proc/mounts); do umount "$m"; done
                exec rauc --conf="$1" --override-boot-slot=A service' sh "$dir/system.conf" >"$dir/rauc.log" 2>&1 &
        peer_rauc_pid=$!
        for _ in $(seq 50); do
                DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus rauc status >/dev/null 2>&1 && break
                sleep 0.1
        done
}

peer_rauc_install() {
        DBUS_SYSTEM_BUS_ADDRESS=unix:path=$1/bus rauc install "$1/update.raucb" >"$1/install.log" 2>&1
}

peer_rauc_stop() {
        [ -z "${peer_rauc_pid:-}" ] || { kill "$peer_rauc_pid"; wait "$peer_rauc_pid" 2>/dev/null || true; }
        [ -z "${peer_rauc_bus:-}" ] || kill "$peer_rauc_bus"
        peer_rauc_pid='' peer_rauc_bus=''
}
