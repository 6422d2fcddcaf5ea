#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A board as the line flashes it becomes a device by itself: blank TPM, no state, no key, the factory system in slot B (S11, S44).

Its first start makes the data volume, the rollback state and the keys; the station (this script) takes requests and escrow
and gives certificates; slot A is written by the writer and started on trial.  The power fails once on the way.  Then the
device takes an update over mutual TLS, which overwrites the factory system."""

import base64
import os
import subprocess

from device import HERE, Device

WORK = '/var/lib/reseal-firstboot'
BUILD = os.environ.get('BUILD_ROOT', f'{HERE}/../../build')
REQUESTS = ('identity.csr', 'unwrap.pub', 'attest.pub', 'unwrap.attest', 'unwrap.attest.sig', 'receipt.json', 'escrow')


def at_station(d):
    """Waits for the device's request; all that lies there, by name."""
    d.vm.wait(f'boot-test: station {WORK}', 900)
    return {name: base64.b64decode(d.run(f'the station gets {name}', f'base64 -w0 {WORK}/{name}')) for name in REQUESTS}


def certify(d, requests):
    """What the device CA does, and what the source has to know of a device."""
    for kind, request in (('identity', 'identity.csr'), ('unwrap', 'unwrap.pub'), ('attest', 'attest.pub')):
        with open(f'{d.work}/{request}', 'wb') as f:
            f.write(requests[request])
        out = f'{d.work}/{kind}.pem'
        subprocess.run([f'{HERE}/../fixtures/make-pki.sh', 'sign-device', f'{d.work}/pki', kind, f'{d.work}/{request}', out, 'GW-1'],
                       stdout=subprocess.DEVNULL, check=True)
        with open(out, 'rb') as f:
            pem = base64.b64encode(f.read()).decode()
        d.run(f'the station gives {kind}.pem', f'mkdir -p /run/station && echo {pem} | base64 -d >/run/station/{kind}.pem')
    subject = subprocess.run(['openssl', 'x509', '-noout', '-subject', '-in', f'{d.work}/identity.pem'], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    d.check('the certificate names the serial number of the board', 'GW-1' in subject, subject)
    source = f'{d.work}/pki/source'
    subprocess.run([f'{BUILD}/src/source-server/reseal-source', 'publish', '--bundle', f'{d.work}/r2.rsb', '--www', f'{d.work}/www',
                    '--transport-key', f'{source}/transport.key', '--transport-cert', f'{source}/transport.pem',
                    '--ticket-key', f'{source}/ticket.key', '--ticket-cert', f'{source}/ticket.pem',
                    '--device', f'{d.work}/unwrap.pem'], stdout=subprocess.DEVNULL, check=True)


def steps(d):
    d.check('the TPM is blank', not os.listdir(d.vm.tpm.state), os.listdir(d.vm.tpm.state))
    d.vm.start()
    d.vm.wait('Reseal: starting the factory system', 900)
    before = at_station(d)
    d.vm.cut()
    d.took('power on to the station, then the power fails')

    d.vm.start()
    after = at_station(d)
    d.check('after the cut it is the same device: keys, requests, escrow', all(before[n] == after[n] for n in REQUESTS))
    certify(d, after)
    d.vm.send(': >/run/station/done')
    d.up('A', 1, tries=2)
    d.took('the device runs its release')
    d.confirmed('A')
    d.run('the root is verified', "findmnt -n -o SOURCE,OPTIONS / | grep -E '^/dev/mapper/root +ro'")
    d.run('the escrow is gone', f'! test -e {WORK}/escrow && test -e {WORK}/handed-over')
    d.run('the writable data are encrypted', "findmnt -n -o SOURCE /var | grep -x /dev/mapper/data && cryptsetup status data | grep LUKS2")
    print('     ' + d.run('the posture can be told', 'resealctl posture').replace('\n', '\n     '))

    d.run('release 2 is installed to slot B, over mutual TLS', f'resealctl install {d.url("r2.rsb")}')
    d.reboot('B', 2, tries=2)
    d.confirmed('B')
    d.run('the factory system is overwritten', "blkid -p -o value -s TYPE /dev/disk/by-partlabel/reseal-slot-rootfs-b | grep -x crypto_LUKS")
    d.vm.off()
    d.check('no attempt is counted in the TPM', d.lockout_counter() == 0)


Device('firstboot', factory=['--blank', '--health']).scenario(steps)
