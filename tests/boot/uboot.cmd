# SPDX-License-Identifier: CC0-1.0
# The test board's part: how one slot is started; the choice is the shipped sample's, conf/boot/uboot/boot.cmd.
# @CMDLINE@ is what all kernels of the tests get.
# The kernel unpacks itself from 16 MiB on and needs about 50: the initramfs must lie behind that.
setenv at_kernel 0x2000000
setenv at_initrd 0x8000000
setenv at_script 0x1000000
setenv reseal_start 'mmc rescan; setenv bootargs root=/dev/mapper/root ro @CMDLINE@ reseal.slot=${reseal_slot} ${reseal_trial}; load mmc 0:1 ${at_kernel} /${reseal_slot}/vmlinuz && load mmc 0:1 ${at_initrd} /${reseal_slot}/initrd && zboot ${at_kernel} - ${at_initrd} ${filesize}'
load mmc 0:1 ${at_script} /reseal.scr && source ${at_script}
echo "Reseal: nothing can be started"
