# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# plugin - the token plugin of this build under the machine's own cryptsetup, in a private mount namespace:
#   plugin_here DIR         its directory and /etc/reseal are this test's
#   plugin_conf DIR TCTI    the configuration that it reads
plugin_here() {
        local d=$1 tokens
        mount --make-rprivate /
        tokens=$(dirname "$(ldconfig -p | sed -n 's/.*libcryptsetup\.so\.12 .*=> //p' | head -1)")/cryptsetup
        mkdir "$d/etc" "$d/tokens"
        cp "$BUILD_ROOT/src/initramfs/libcryptsetup-token-reseal.so" "$d/tokens/"
        if [ ! -d "$tokens" ]; then # beside the library; removed with the namespace's overlay
                mkdir "$d/up" "$d/wd"
                mount -t overlay overlay -o "lowerdir=$(dirname "$tokens"),upperdir=$d/up,workdir=$d/wd" "$(dirname "$tokens")"
                mkdir "$tokens"
        fi
        mount --bind "$d/tokens" "$tokens"
        [ -d /etc/reseal ] || {
                mount -t tmpfs tmpfs /mnt
                mkdir /mnt/up /mnt/wd
                mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/wd /etc
                mkdir /etc/reseal
        }
        mount --bind "$d/etc" /etc/reseal
}
plugin_conf() {
        printf '[daemon]\ncompatible = x\n[tpm]\ntcti = %s\nshared = no\nlock = %s/lock\n' "$2" "$1" >/etc/reseal/reseal.conf
        chmod 644 /etc/reseal/reseal.conf
}
