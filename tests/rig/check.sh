# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# check - how an end-to-end test says what it found: one line per statement; the script fails if one was not true.
#
#   e2e_ready IMAGE_MIB      a provisioned device with slots a little larger than the image; RIG_IMAGE, services running
#   check NAME CMD...        CMD must succeed             refuse NAME CMD...     CMD must fail
#   installs NAME URL        resealctl install must end well
#   refuses NAME REASON URL  it must be refused (exit 1) with that reason, and the running slot stays as it is
#   e2e_end                  last line of the script

_check_bad=0 _check_n=0

_verdict() { # NAME ok|FAIL
        _check_n=$((_check_n + 1))
        if [ "$2" = ok ]; then
                echo "ok   $1"
        else
                echo "FAIL $1"
                _check_bad=$((_check_bad + 1))
                [ -z "${3:-}" ] || sed 's/^/     | /' "$3"
        fi
}

check() {
        local name=$1
        shift
        if "$@" >"$RIG/check.out" 2>&1; then _verdict "$name" ok; else _verdict "$name" FAIL "$RIG/check.out"; fi
}

refuse() {
        local name=$1
        shift
        if "$@" >"$RIG/check.out" 2>&1; then _verdict "$name" FAIL "$RIG/check.out"; else _verdict "$name" ok; fi
}

rig_install() { # URL: the exit status is resealctl's
        timeout "${RIG_INSTALL_LIMIT:-300}" nsenter -t "$RIG_LEADER" -a env -i PATH=/usr/bin:/bin resealctl install "$@"
}

installs() {
        local name=$1
        shift
        if rig_install "$@" >"$RIG/check.out" 2>&1; then
                _verdict "$name" ok
        else
                rig_log | tail -15 >>"$RIG/check.out"
                _verdict "$name" FAIL "$RIG/check.out"
        fi
}

refuses() {
        local name=$1 reason=$2 rc=0 before after
        shift 2
        before=$(rig_slot_digest "$RIG_BOOTED")
        rig_install "$@" >"$RIG/check.out" 2>&1 || rc=$?
        after=$(rig_slot_digest "$RIG_BOOTED")
        if [ "$before" != "$after" ]; then
                echo 'the running slot changed' >>"$RIG/check.out"
                _verdict "$name" FAIL "$RIG/check.out"
        elif [ $rc -eq 1 ] && grep -qE "(^|[^A-Za-z])($reason)([^A-Za-z]|$)" "$RIG/check.out"; then
                _verdict "$name ($(grep -oE "(^|[^A-Za-z])($reason)([^A-Za-z]|$)" "$RIG/check.out" | grep -oE '[A-Za-z]+' | head -1))" ok
        else
                echo "exit status $rc; reason $reason expected" >>"$RIG/check.out"
                rig_log | tail -15 >>"$RIG/check.out"
                _verdict "$name" FAIL "$RIG/check.out"
        fi
}

# The half that does not run may not be startable.
other_is_not_bootable() {
        local other=B
        [ "$RIG_BOOTED" = A ] || other=A
        [ "$(_rig_grub "${other}_OK")" = 0 ] && [ "$(_rig_grub "${other}_TRY")" = 0 ]
}

e2e_ready() {
        rig_need systemd-nspawn swtpm nginx sfdisk losetup grub-editenv grub-fstest cryptsetup
        rig_pki
        rig_disk $(($1 + 24))
        rig_device_make
        rig_source_config
        RIG_IMAGE=$RIG/image
        rig_image "$RIG_IMAGE" "$1" first
        # the factory's slot: anything, as long as nobody changes it
        dd if="$RIG_IMAGE" of="$RIG_PART_A" bs=1M oflag=direct status=none
        rig_device_start
        rig_provision
        rig_services_start
}

# The image as GRUB, which knows nothing of us, reads it out of a copy of the slot.
slot_holds() { # SLOT IMAGE
        local part=RIG_PART_$1
        dd if="${!part}" of="$RIG/keep/copy.luks" bs=4M iflag=direct conv=sparse status=none &&
                rig_copy_add_passphrase && rig_copy_equals "$2"
}

rig_copy_add_passphrase() {
        printf 'only for this copy' >"$RIG/keep/passphrase"
        in_device cryptsetup luksAddKey --batch-mode --token-only --token-type reseal --pbkdf pbkdf2 \
                --pbkdf-force-iterations 1000 --hash sha256 /srv/keep/copy.luks /srv/keep/passphrase
}

# GRUB has its own LUKS2 reader, AES and XTS: nothing in it is ours or libcryptsetup's.
rig_copy_equals() { # IMAGE
        local rc=0
        printf 'only for this copy\n' | grub-fstest -C "$RIG/keep/copy.luks" cp "(crypto0)0+$(($(stat -c %s "$1") / 512))" \
                "$RIG/keep/copy.image" >"$RIG/grub.log" 2>&1 && cmp "$RIG/keep/copy.image" "$1" || rc=1
        rm -f "$RIG/keep/copy.image"
        return $rc
}

e2e_end() {
        echo "$((_check_n - _check_bad)) of $_check_n hold"
        [ $_check_bad -eq 0 ]
}
