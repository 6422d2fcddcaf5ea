# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# provision - the factory: configuration, keys in the TPM, certificates; and the services.
#
#   rig_provision            sets RIG_DEVICE_ID, leaves RIG/unwrap.pem for reseal-source
#   rig_services_start       reseald and the writer's socket
#   rig_bundle_id FILE       rig_note_bundle SLOT FILE   what the initramfs will find in SLOT

rig_configure() {
        local etc=$RIG/root/etc/reseal
        cp "$PKI/firmware/root.pem" "$etc/firmware-root.pem"
        cp "$PKI/source/root.pem" "$etc/source-root.pem"
        chmod 644 "$etc"/*.pem
        cat >"$etc/reseal.conf" <<C
[daemon]
firmware-anchors = /etc/reseal/firmware-root.pem
compatible = $RIG_COMPATIBLE
[source]
anchors = /etc/reseal/source-root.pem
[tpm]
tcti = swtpm:path=/run/rig-tpm/sock
shared = no
lock = /run/reseal/tpm.lock
C
        cat >"$etc/writer.conf" <<C
[device]
line = $RIG_LINE
compatible = $RIG_COMPATIBLE
[trust]
firmware-root = /etc/reseal/firmware-root.pem
[boot]
backend = grub
path = /boot/reseal/grubenv
good-path = /boot/reseal/grubenv.good
names = A B
[tpm]
tcti = swtpm:path=/run/rig-tpm/sock
shared = no
lock = /run/reseal/tpm.lock
[slot rootfs.a]
class = rootfs
boot-name = A
device = /dev/reseal/slot-a
type = luks2
[slot rootfs.b]
class = rootfs
boot-name = B
device = /dev/reseal/slot-b
type = luks2
C
        chmod 644 "$etc"/*.conf
}

rig_services_start() {
        in_device systemctl start reseal-writer.socket reseald.service
}

rig_bundle_id() {
        rig_program reseal-bundle info "$1" | awk '$1 == "id" {print $2}'
}

rig_note_bundle() {
        rig_bundle_id "$2" >"$RIG/keep/bundle.$1"
}
