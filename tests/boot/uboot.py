# SPDX-License-Identifier: LGPL-2.1-or-later
"""U-Boot, built by uboot.sh, with the files of conf/boot/uboot.  Kernels, environment, slots and data are on one SD card."""

import base64
import os
import subprocess

from loaders import Loader, of_variables, partition, variables

COPIES = ('uboot-env', 'uboot-env-redund')
SIZE = 0x4000                   # of one copy, as in the shipped fw_env.config
FLAG = 4                        # offset of the byte that counts up with each write, behind the CRC
BOOTCMD = 'echo boot-test: this is of the environment; reset'


class SdCard:
    """QEMU's i440FX with U-Boot in place of a BIOS.  It has no UEFI variables; its ACPI tables are QEMU's, and they work."""
    rom = os.path.join(os.environ.get('RESEAL_BOOT_CACHE', '/var/cache/reseal-boot'), 'uboot/u-boot.rom')
    needs = ()                  # the factory builds it

    def prepare(self, vm):
        pass

    def arguments(self, vm):
        return ['-M', 'pc', '-bios', self.rom, '-device', 'sdhci-pci',
                '-drive', f'if=none,id=disk,file={vm.disk},format={vm.format},cache=writeback', '-device', 'sd-card,drive=disk']


class Uboot(Loader):
    name = 'uboot'
    firmware = SdCard()
    needs = ('mkimage', 'mkenvimage', 'fw_printenv', 'dpkg-source', 'make', 'bc', 'bison', 'flex', 'swig')

    @staticmethod
    def _told(env):
        return of_variables(env, 'BOOT_ORDER', 'BOOT_{}_GOOD', 'BOOT_{}_LEFT')

    @staticmethod
    def _tool(d, where, *command):
        """fw_printenv or fw_setenv, which choose between the copies by themselves."""
        config = f'{d.work}/fw_env.config'
        with open(config, 'w', encoding='ascii') as f:
            f.writelines(f'{path} {at:#x} {SIZE:#x}\n' for path, at in where)
        return subprocess.run([command[0], '-c', config, *command[1:]], stdout=subprocess.PIPE, text=True, check=True).stdout

    @staticmethod
    def _on_disk(d):
        return [(d.vm.disk, partition(d, copy)[0]) for copy in COPIES]

    def state(self, d):
        where = []
        for copy in COPIES:
            where.append((f'{d.work}/{copy}', 0))
            with open(where[-1][0], 'wb') as f:
                f.write(base64.b64decode(d.vm.run(f'head -c {SIZE} /dev/disk/by-partlabel/{copy} | base64 -w 0')[1]))
        return self._told(variables(self._tool(d, where, 'fw_printenv')))

    def state_on_disk(self, d):
        return self._told(variables(self._tool(d, self._on_disk(d), 'fw_printenv')))

    def _damage(self, d, which):
        """The second half of copies that are damaged is what a write that was cut leaves: nothing."""
        for path, at in which:
            with open(path, 'r+b') as disk:
                disk.seek(at + 512)
                disk.write(bytes(SIZE - 512))

    def _newer(self, d):
        """The copy written last: its flag is one more, and 0 follows 255."""
        flags = []
        for path, at in self._on_disk(d):
            with open(path, 'rb') as disk:
                disk.seek(at + FLAG)
                flags.append(disk.read(1)[0])
        return self._on_disk(d)[(flags[1] - flags[0]) % 256 == 1]

    def after(self, d):
        d.vm.off()
        where = self._on_disk(d)

        # What whoever can write the environment could put there.
        self._tool(d, where, 'fw_setenv', 'bootcmd', BOOTCMD)
        self._tool(d, where, 'fw_setenv', 'reseal_start', BOOTCMD)
        d.start('A', 4)
        d.check('commands in the environment are not run', not d.vm.find(BOOTCMD.split(';', maxsplit=1)[0].split('echo ')[1]))
        d.vm.off()

        # The newer copy would start slot B, and is torn.
        self._tool(d, where, 'fw_setenv', 'BOOT_B_GOOD', '1')     # it is not, since release 4 has a higher security epoch
        self._tool(d, where, 'fw_setenv', 'BOOT_ORDER', 'B A')
        d.boot_state('the newer copy names slot B', {'first': 'B', 'B': 'good'}, on_disk=True)
        self._damage(d, [self._newer(d)])
        d.boot_state('it is torn, the older one names slot A', {'first': 'A', 'A': 'good'}, on_disk=True)
        d.start('A', 4)
        d.check('slot B was not tried', d.vm.n_restarts == 0 and not d.vm.find('reseal-unlock: slot B'))
        d.run('we read the older one too', "resealctl slots | grep -E '^rootfs.a .* good, running'")
        d.run('an operator marks the running slot', 'resealctl mark good')
        d.vm.off()

        # Neither can be read: every slot gets its attempts again, the first that starts is marked good.
        self._damage(d, where)
        d.start('A', 4, tries=2)
        d.confirmed('A')
