# SPDX-License-Identifier: CC0-1.0
# Reseal and U-Boot: choose a slot, count its attempts, fall back.  For two slots named A and B.
#   mkimage -T script -C none -d boot.cmd boot.scr
# Needs what reseal.config asks for, a redundant environment among it.  docs/boot.md tells what the variables mean.
#
# The board sets reseal_start: how slot ${reseal_slot} is started, with ${reseal_trial} on the kernel command line; it
# returns only if that cannot be done.  Then it is run again, twice: a medium that once did not answer in time is no reason to
# give the slot up.  It begins with what sets the medium up anew, mmc rescan say, or that will not answer the next time either.
# A kernel that hangs must be ended by panic= or a watchdog, or nothing falls back.

# Only what Reseal writes is believed, all of it or nothing: whoever can write the environment can put anything there, and it
# would become the slot's name, a path, a part of the kernel command line.  The shell puts the value of a variable between
# single quotes and reads the line again, so a quote in it breaks the line: a string is used only after setexpr, which takes
# it by its name and fails unless it finds the pattern.  The numbers are digits: reseal-env.h says so to U-Boot.
setenv reseal_damaged 1
if env exists BOOT_ORDER; then
  if setexpr BOOT_ORDER sub '^A B$' 'A B'; then
    setenv reseal_damaged
  elif setexpr BOOT_ORDER sub '^B A$' 'B A'; then
    setenv reseal_damaged
  fi
fi
# A missing number is that of a slot nobody has installed.
for s in A B; do
  if test "${s}" = A; then
    setenv reseal_good "${BOOT_A_GOOD}"
    setenv reseal_left "${BOOT_A_LEFT}"
  else
    setenv reseal_good "${BOOT_B_GOOD}"
    setenv reseal_left "${BOOT_B_LEFT}"
  fi
  setenv reseal_known
  for n in x x0 x1; do
    if test "x${reseal_good}" = "${n}"; then setenv reseal_known 1; fi
  done
  test -n "${reseal_known}" || setenv reseal_damaged 1
  setenv reseal_known
  for n in x x0 x1 x2 x3 x4 x5 x6 x7 x8 x9; do
    if test "x${reseal_left}" = "${n}"; then setenv reseal_known 1; fi
  done
  test -n "${reseal_known}" || setenv reseal_damaged 1
done
# The factory, no copy with a good checksum, or damage.
if test -n "${reseal_damaged}"; then
  echo "Reseal: the boot environment is new or damaged"
  setenv BOOT_ORDER "A B"
  setenv BOOT_A_GOOD
  setenv BOOT_B_GOOD
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
fi

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
      for n in 1 2 3; do
        run reseal_start
        echo "Reseal: slot ${s} cannot be loaded (${n} of 3)"
      done
    fi
  elif test "0x${reseal_left}" -gt 0; then
    # Counted first, then started: an attempt that cannot be written down would be repeated for ever.
    setexpr reseal_left "${reseal_left}" - 1
    setenv "BOOT_${s}_LEFT" "${reseal_left}"
    if saveenv; then
      echo "Reseal: trying slot ${s}, attempts left after this one: ${reseal_left}"
      # For the kernel command line, tells reseal-health that this is a trial.
      setenv reseal_trial reseal.trial
      for n in 1 2 3; do
        run reseal_start
        echo "Reseal: slot ${s} cannot be loaded (${n} of 3)"
      done
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
