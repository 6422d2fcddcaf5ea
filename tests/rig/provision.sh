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
        cp "$PKI/time/root.pem" "$etc/time-root.pem"
        cp "$PKI/recovery/recovery.pem" "$etc/recovery.pem"
        chmod 644 "$etc"/*.pem
        cat >"$etc/reseal.conf" <<C
[daemon]
firmware-anchors = /etc/reseal/firmware-root.pem
compatible = $RIG_COMPATIBLE
[source]
anchors = /etc/reseal/source-root.pem
tsa = $(rig_tsa_url)
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
source-root = /etc/reseal/source-root.pem
time-root = /etc/reseal/time-root.pem
recovery = /etc/reseal/recovery.pem
set = /var/lib/reseal-trust/trust.set
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

# init, the device CA's answer, certs; the writer's drop-in; all of it a second time, which must change nothing.
rig_provision() {
        local kind request serial=gateway-0001
        rig_configure
        mkdir -p "$RIG/keep/csr"
        quiet in_device reseal-provision init --device-serial $serial --line "$RIG_LINE" --csr-out /srv/keep/csr \
                --escrow /srv/keep/escrow --receipt /srv/keep/receipt || return 1
        # only the identity key can sign a request; the other two come as public keys
        for kind in identity unwrap attest; do
                request=$RIG/keep/csr/$kind.pub
                [ -e "$request" ] || request=$RIG/keep/csr/$kind.csr
                quiet "$SOURCE_ROOT/tests/fixtures/make-pki.sh" sign-device "$PKI" $kind \
                        "$request" "$RIG/keep/csr/$kind.pem" "$serial" || return 1
        done
        quiet in_device reseal-provision certs --identity /srv/keep/csr/identity.pem --unwrap /srv/keep/csr/unwrap.pem \
                --attest /srv/keep/csr/attest.pem || return 1
        cp "$RIG/keep/csr/unwrap.pem" "$RIG/unwrap.pem"
        RIG_DEVICE_ID=$(openssl x509 -in "$RIG/unwrap.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)
        in_device mkdir -p /etc/systemd/system/reseal-writer.service.d
        quiet in_device reseal-provision drop-in --output /etc/systemd/system/reseal-writer.service.d/50-slots.conf || return 1
        in_device systemctl daemon-reload
}

rig_services_start() {
        in_device systemctl start reseal-writer.socket reseal-health.socket reseald.service && wait_for 60 rig_services_talk
}

rig_services_restart() { # after a change of configuration
        in_device systemctl stop reseald.service reseal-writer.socket reseal-health.socket reseal-writer.service && rig_services_start
}

# reseald has heard from the writer which slot runs
rig_services_talk() {
        in_device busctl get-property org.reseal1 /org/reseal1 org.reseal1.Manager BootedSlot | grep -q '"[A-Z]"'
}

rig_bundle_id() {
        rig_program reseal-bundle info "$1" | awk '$1 == "id" {print $2}'
}

rig_note_bundle() {
        rig_bundle_id "$2" >"$RIG/keep/bundle.$1"
}
