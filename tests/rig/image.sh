# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# image - what gets installed.
#
#   rig_rootfs              a real Debian 12 root filesystem as ext4, and its next release; sets RIG_IMAGE_1, RIG_IMAGE_2.
#                           Kept in RIG_CACHE between runs (about a minute the first time)
#   rig_image FILE MIB SEED [RELEASE]
#                           a small image for tests: text that compresses, noise that does not, holes, repeated chunks

RIG_ROOTFS_MIB=320
RIG_ROOTFS_PACKAGES=systemd-sysv,udev,dbus,kmod,openssh-server,ca-certificates,curl,iproute2,less,procps,cryptsetup-bin,ethtool
RIG_ROOTFS_FORMAT=1

rig_rootfs_is_cached() {
        [ -s "$RIG_CACHE/rootfs-1.ext4" ] && [ -s "$RIG_CACHE/rootfs-2.ext4" ] &&
                [ "$(cat "$RIG_CACHE/rootfs.made-from" 2>/dev/null)" = "$(_rig_rootfs_recipe)" ]
}

_rig_rootfs_recipe() {
        echo "$RIG_ROOTFS_FORMAT $RIG_ROOTFS_MIB $RIG_ROOTFS_PACKAGES"
}

rig_rootfs() {
        RIG_IMAGE_1=$RIG_CACHE/rootfs-1.ext4 RIG_IMAGE_2=$RIG_CACHE/rootfs-2.ext4
        mkdir -p "$RIG_CACHE"
        exec {RIG_CACHE_LOCK}>"$RIG_CACHE/lock"
        flock "$RIG_CACHE_LOCK"
        if ! rig_rootfs_is_cached; then
                _rig_rootfs_make || return 1
        fi
        exec {RIG_CACHE_LOCK}>&-
}

_rig_rootfs_make() {
        local tree=$RIG/rootfs sources
        rm -f "$RIG_CACHE/rootfs.made-from"
        for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do [ -s "$sources" ] && break; done
        export SOURCE_DATE_EPOCH=1767225600
        quiet env DEBIAN_FRONTEND=noninteractive mmdebstrap --mode=root --variant=minbase --format=directory \
                --include="$RIG_ROOTFS_PACKAGES" --dpkgopt='path-exclude=/usr/share/doc/*' \
                --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
                --dpkgopt='path-exclude=/usr/share/locale/*' \
                --customize-hook='rm -rf "$1"/etc/ssh/ssh_host_* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/tmp/*; : >"$1/etc/machine-id"' \
                '' "$tree" "$sources" || return 1
        _rig_rootfs_pack "$tree" 1 "$RIG_IMAGE_1" || return 1
        # the next release: a package less, some files changed
        quiet chroot "$tree" dpkg --purge ethtool || return 1
        printf 'Welcome to release 2.\n' >"$tree/etc/motd"
        _rig_rootfs_pack "$tree" 2 "$RIG_IMAGE_2" || return 1
        rm -rf --one-file-system "$tree"
        _rig_rootfs_recipe >"$RIG_CACHE/rootfs.made-from"
}

_rig_rootfs_pack() { # TREE RELEASE FILE
        echo "RESEAL_RELEASE=$2" >"$1/etc/reseal-release"
        find "$1" -xdev -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch -h -d "@$SOURCE_DATE_EPOCH"
        rm -f "$3.part"
        quiet env E2FSPROGS_FAKE_TIME="$SOURCE_DATE_EPOCH" mke2fs -q -t ext4 -b 4096 -m 0 -O ^has_journal,^metadata_csum_seed \
                -E hash_seed=6d0f0fd6-7f5f-4a3e-9a3c-0b6a5a1d7c01 -U 8b1c9a52-6a55-4f7e-8f1e-2d1f6d6e0001 -L rootfs \
                -d "$1" "$3.part" "${RIG_ROOTFS_MIB}M" || return 1
        mv "$3.part" "$3"
}

rig_image() { # FILE MIB SEED [RELEASE]
        python3 - "$@" <<'P'
import random, sys
path, mib, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
release = sys.argv[4] if len(sys.argv) > 4 else "1"
rnd = random.Random(seed)
chunk = 1024 * 1024                                         # one frame of two chunks
words = [bytes(rnd.choices(b"abcdefghijklmnopqrstuvwxyz/._-", k=rnd.randint(3, 12))) for _ in range(4000)]
last = b""
with open(path, "wb") as f:
    for i in range(mib):
        kind = i % 8
        if kind == 3:
            f.seek(chunk, 1)                                # a hole: zero frame
            continue
        if kind == 5 and i > 8:
            data = first                                    # as one before: dup frame
        elif kind in (1, 6):
            data = rnd.randbytes(chunk)                     # noise: raw frame
        else:
            data = b" ".join(rnd.choices(words, k=180000))[:chunk].ljust(chunk, b".")
        if i == 0:
            data = (b"release " + release.encode() + b"\n") + data[:chunk - 9 - len(release)]
            data = data[:chunk].ljust(chunk, b".")
        if i == 1:
            first = data
        f.write(data)
    f.truncate(mib * 1048576)
P
}
