# SPDX-License-Identifier: CC0-1.0
# Reseal and U-Boot: choose a slot, count its attempts, fall back.  For two slots named A and B.
#   mkimage -T script -C none -d boot.cmd boot.scr
# Needs what reseal.config asks for, a redundant environment among it.  docs/boot.md tells what the variables mean.
#
# The board sets reseal_start: how slot ${reseal_slot} is started, with ${reseal_trial} on the kernel command line; it
# returns only if that cannot be done.  A kernel that hangs must be ended by panic= or a watchdog, or nothing falls back.

# The factory, or no copy with a good checksum.
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

for s in ${BOOT_ORDER}; do
  if test "${s}" = A; then
    setenv reseal_good "${BOOT_A_GOOD}"
    setenv reseal_left "${BOOT_A_LEFT}"
  else
    setenv reseal_good "${BOOT_B_GOOD}"
    setenv reseal_left "${BOOT_B_LEFT}"
  fi
  setenv reseal_slot "${s}"
  if test "x${reseal_good}" = x1; then
    if test "0x${reseal_left}" -gt 0; then
      # The running system fills it up again.  Where it cannot be written the slot starts all the same: it is good.
      setexpr reseal_left "${reseal_left}" - 1
      setenv "BOOT_${s}_LEFT" "${reseal_left}"
      saveenv
      if test "0x${reseal_left}" -lt 2; then echo "Reseal: slot ${s} did not come up; starts left after this one: ${reseal_left}"; fi
      setenv reseal_trial
      run reseal_start
    fi
  elif test "0x${reseal_left}" -gt 0; then
    # Counted first, then started: an attempt that cannot be written down would be repeated for ever.
    setexpr reseal_left "${reseal_left}" - 1
    setenv "BOOT_${s}_LEFT" "${reseal_left}"
    if saveenv; then
      echo "Reseal: trying slot ${s}, attempts left after this one: ${reseal_left}"
      # For the kernel command line, tells reseal-health that this is a trial.
      setenv reseal_trial reseal.trial
      run reseal_start
    fi
  fi
done

# One more start for each good slot, in turn, for ever.  If none is good, any slot is better than none.
echo "Reseal: no slot in the boot environment can be started"
if test "x${BOOT_A_GOOD}" = x1; then setenv BOOT_A_LEFT 1; fi
if test "x${BOOT_B_GOOD}" = x1; then setenv BOOT_B_LEFT 1; fi
if test "x${BOOT_A_GOOD}" != x1 && test "x${BOOT_B_GOOD}" != x1; then
  setenv BOOT_A_LEFT 1
  setenv BOOT_B_LEFT 1
fi
saveenv
reset
