#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What stock tools do with our volumes on a running device: systemd-cryptsetup and plain cryptsetup open a slot through the
token plugin; the data partition, encrypted under a TPM-sealed key, is opened by systemd at each boot, from
either slot (S12; docs/boot.md)."""

from device import Device

SLOT = '/dev/disk/by-partlabel/reseal-slot-rootfs-'
SLOT_B = SLOT + 'b'


def data_volume(d):
    d.run('/var is on a dm-crypt volume that systemd has opened', "findmnt -n -o SOURCE /var | grep -x /dev/mapper/data && "
          "systemctl is-active systemd-cryptsetup@data.service && dmsetup table --target crypt data")
    d.run('nothing of it is readable on the partition', "! grep -q gate.auth /dev/disk/by-partlabel/reseal-data")
    d.run('the slot is LUKS2 with one token of format 1, the data volume one of format 2',
          f"cryptsetup token export --token-id 0 {SLOT}a | grep -q '\"format\":\"1\"' && "
          "cryptsetup token export --token-id 0 /dev/disk/by-partlabel/reseal-data | grep -q '\"format\":\"2\"'")


def slot(d):
    attach = f'/lib/systemd/systemd-cryptsetup attach stock {SLOT_B} - luks,headless=1,read-only'
    d.run('systemd-cryptsetup opens a slot', attach)
    d.run('it holds the release', 'head -c 1028 /dev/mapper/stock | tail -c 4 | od -An -tx1 | grep -q "e2 e1 f5 e0"')
    d.run('and closes it', '/lib/systemd/systemd-cryptsetup detach stock')
    d.run('cryptsetup opens it', f'cryptsetup open --readonly --token-only {SLOT_B} plain')
    d.run('it is the same', 'head -c 1028 /dev/mapper/plain | tail -c 4 | od -An -tx1 | grep -q "e2 e1 f5 e0" && cryptsetup close plain')
    d.run('without the TPM it does not open', 'mkdir /run/etc && echo -e "[daemon]\\ncompatible=x\\n[tpm]\\ntcti=device:/dev/none" '
          '>/run/etc/reseal.conf && mount --bind /run/etc /etc/reseal && '
          f'! cryptsetup open --readonly --token-only {SLOT_B} none 2>/run/said && umount /etc/reseal && grep TpmGone /run/said')


def steps(d):
    d.start('A', 1, tries=2)
    d.run('slot A is marked good', 'resealctl mark good')
    data_volume(d)
    d.run('release 2 is installed to slot B', f'resealctl install {d.url("r2.rsb")}')
    slot(d)
    d.run('written before the restart', 'echo persistent >/var/lib/mark && sync')
    d.reboot('B', 2, tries=0)
    d.run('the data is there in the other slot', 'grep -x persistent /var/lib/mark')
    data_volume(d)
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('opens', factory=['--tries', '1']).scenario(steps)
