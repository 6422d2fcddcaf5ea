# SPDX-License-Identifier: CC0-1.0
# Reseal and U-Boot: choose a slot, count its attempts, fall back.  For two slots named A and B.
#   mkimage -T script -C none -d boot.cmd boot.scr
# Needs CONFIG_CMD_SETEXPR, CONFIG_CMD_SAVEENV and a redundant environment (CONFIG_SYS_REDUNDAND_ENVIRONMENT).
# docs/boot.md tells what the variables mean.  The board sets reseal_start: how slot ${reseal_slot} is started, with
# ${reseal_trial} on the kernel command line.

test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

setenv reseal_slot
for s in ${BOOT_ORDER}; do
  if test "x${reseal_slot}" != "x"; then
    true # chosen already
  elif test "x${s}" = "xA"; then
    if test 0x${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv reseal_slot A
    fi
  elif test "x${s}" = "xB"; then
    if test 0x${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv reseal_slot B
    fi
  fi
done

if test -n "${reseal_slot}"; then
  # Written down before the slot is started, in one write.
  saveenv
  # For the kernel command line, tells reseal-health that this is a trial.
  setenv reseal_trial reseal.trial
  if test "x${reseal_slot}" = "xA" -a "x${BOOT_A_GOOD}" = "x1"; then setenv reseal_trial; fi
  if test "x${reseal_slot}" = "xB" -a "x${BOOT_B_GOOD}" = "x1"; then setenv reseal_trial; fi
  echo "Reseal: slot ${reseal_slot}, attempts left: A ${BOOT_A_LEFT}, B ${BOOT_B_LEFT}"
  run reseal_start
else
  # All attempts used up.  A slot that was good once gets them back; others stay out.
  echo "Reseal: no attempts left"
  if test "x${BOOT_A_GOOD}" = "x1"; then setenv BOOT_A_LEFT 3; fi
  if test "x${BOOT_B_GOOD}" = "x1"; then setenv BOOT_B_LEFT 3; fi
  saveenv
fi
reset
