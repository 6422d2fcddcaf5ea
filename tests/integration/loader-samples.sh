#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The shipped scripts of GRUB and U-Boot, run as they are: both languages are read by bash once a few commands are given to
# it.  What is asked: how often a slot is started that does not come up, which one is next, that there always is one.
set -euo pipefail

root=${SOURCE_ROOT:?} work=$(mktemp -d "${TMPDIR:-/tmp}/reseal-loader.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0

# -- one start of the machine: says which slot was started, and with what for reseal-health ----------------------------------

grub() (
        set +eu
        reseal_env=$work/grubenv reseal_good=$work/goodenv
        load_env() { # --skip-sig --file FILE NAME...
                local file=$3 name
                shift 3
                for name; do
                        printf -v "$name" %s "$(grub-editenv "$file" list 2>/dev/null | sed -n "s/^$name=//p")"
                done
        }
        save_env() { # --file FILE NAME...
                local file=$2 name
                shift 2
                [ -z "${read_only:-}" ] || return 1
                for name; do grub-editenv "$file" set "$name=${!name}"; done
        }
        reseal_start() {
                case " ${no_kernel:-} " in *" $1 "*) return 1 ;; esac
                echo "start:$1${reseal_trial:+:trial}"
                exit 0
        }
        set() { printf -v "${1%%=*}" %s "${1#*=}"; }
        . "$root/conf/boot/grub/reseal.cfg"
        echo start:none
)

uboot() (
        set +eu
        test() { # hexadecimal, as U-Boot's
                case ${2:-} in
                -gt | -lt) builtin test "$(($1))" "$2" "$(($3))" ;;
                *) builtin test "$@" ;;
                esac
        }
        setenv() { printf -v "$1" %s "${2:-}"; }
        env() { [ -n "${!2:-}" ]; } # exists NAME
        setexpr() { # NAME A OP B, or NAME sub PATTERN TEXT
                [ "$2" = sub ] || { printf -v "$1" %x "$((0x$2 $3 0x$4))" && return; }
                [[ ${!1} =~ $3 ]] && printf -v "$1" %s "$4"
        }
        saveenv() {
                [ -z "${read_only:-}" ] || return 1
                local name
                for name in BOOT_ORDER BOOT_{A,B}_{LEFT,GOOD}; do echo "$name='${!name:-}'"; done >"$work/env"
        }
        run() {
                case " ${no_kernel:-} " in *" $reseal_slot "*) return 1 ;; esac
                echo "start:$reseal_slot${reseal_trial:+:trial}"
                exit 0
        }
        reset() {
                echo start:none
                exit 0
        }
        . "$work/env"
        . "$root/conf/boot/uboot/boot.cmd"
)

# -- the state before: order, good slots, and attempts of one on trial --------------------------------------------------------

state() { # LOADER ORDER GOOD [TRIAL=N]
        local slot good=$3 trial=${4:-} left
        grub-editenv "$work/grubenv" create
        grub-editenv "$work/goodenv" create
        grub-editenv "$work/grubenv" set "ORDER=$2"
        grub-editenv "$work/goodenv" set "GOOD_ORDER=$3"
        echo "BOOT_ORDER='$2'" >"$work/env"
        for slot in A B; do
                left=0
                [ "${trial%=*}" != $slot ] || left=${trial#*=}
                case " $good " in
                *" $slot "*)
                        grub-editenv "$work/grubenv" set "${slot}_OK=1" "${slot}_TRY=0"
                        printf 'BOOT_%s_GOOD=1\nBOOT_%s_LEFT=3\n' $slot $slot >>"$work/env"
                        ;;
                *)
                        grub-editenv "$work/grubenv" set "${slot}_OK=0" "${slot}_TRY=$left"
                        printf 'BOOT_%s_GOOD=0\nBOOT_%s_LEFT=%s\n' $slot $slot "$left" >>"$work/env"
                        ;;
                esac
        done
}

starts() { # LOADER N: so many starts of which none comes up
        local n slot said=
        for ((n = 0; n < $2; n++)); do
                slot=$("$1" 2>&1 | sed -n 's/^start://p')
                [ "$slot" != none ] || slot=$("$1" 2>&1 | sed -n 's/^start://p') # U-Boot resets the machine first
                said+=" $slot"
        done
        echo "${said# }"
}

expect() { # WHAT SAID EXPECTED
        if [ "$2" = "$3" ]; then
                echo "ok   $1: $2"
        else
                echo "FAIL $1: $2, not $3"
                failed=1
        fi
}

for loader in grub uboot; do
        no_kernel='' read_only=''
        state $loader 'A B' 'A B'
        expect "$loader: a good slot has three starts, then the other one, then each in turn" "$(starts $loader 11)" 'A A A B B B A B A B A'
        state $loader 'B A' A B=2
        expect "$loader: a trial, then the good slot, for ever" "$(starts $loader 7)" 'B:trial B:trial A A A A A'
        state $loader 'A B' 'A B'
        no_kernel=A
        expect "$loader: where A's kernel is gone B is started, also later" "$(starts $loader 5)" 'B B B B B'
        no_kernel='' read_only=yes
        state $loader 'A B' 'A B'
        expect "$loader: where nothing can be written the good slot starts" "$(starts $loader 4)" 'A A A A'
        state $loader 'B A' A B=2
        expect "$loader: and no trial does" "$(starts $loader 2)" 'A A'
done
read_only=''
for damage in ORDER= ORDER=a ORDER=B 'ORDER=B  A' 'ORDER=B A A' "ORDER='" 'ORDER=-n' A_OK=7 B_OK= A_TRY=10 B_TRY=-1 A_TRY=0x3; do
        state grub 'A B' 'B A'
        grub-editenv "$work/grubenv" set "$damage"
        expect "grub: a block with $damage is damaged, then the last good slot" "$(starts grub 2)" 'B B'
done
for order in a A,B '../B' "'"; do
        grub-editenv "$work/goodenv" set "GOOD_ORDER=$order"
        expect "grub: and with $order as the last good order any slot" "$(starts grub 1)" A
done
# tests/boot/values.py asks U-Boot itself, with more of them
for damage in BOOT_ORDER=a BOOT_ORDER=B 'BOOT_ORDER=B A A' BOOT_A_LEFT=10 BOOT_B_LEFT=f BOOT_B_GOOD=2; do
        state uboot 'B A' 'A B'
        echo "${damage%%=*}='${damage#*=}'" >>"$work/env"
        expect "uboot: an environment with $damage is damaged, then all is as after the factory" "$(starts uboot 1)" A:trial
done
exit $failed
