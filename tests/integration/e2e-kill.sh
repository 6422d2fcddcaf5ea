#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Either service is killed at random, a hundred times during one installation after another; power fails as well.
# Whatever was cut: the running slot is whole, the other one is startable only when it is complete, and it converges.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-kill
e2e_ready 48
kills=${RESEAL_KILLS:-100}
RANDOM=${RESEAL_SEED:-4711}

job_runs() {
        in_device busctl call org.reseal1 /org/reseal1 org.reseal1.Manager ListJobs 2>/dev/null | grep -qE '"(queued|connect|offer|ticket|table|write|finish)"'
}
startable_means_complete() {
        local tries
        tries=$(_rig_grub "${other}_TRY")
        [ "$(_rig_grub "${other}_OK")" = 0 ] || return 1
        [ "$tries" = 0 ] || in_device cryptsetup open --test-passphrase --token-only --token-type reseal "/dev/reseal/slot-${other,,}"
}
slow_source() {
        sed -i 's,max_ranges 1;,max_ranges 1; limit_rate 6m;,' "$RIG/srv/reseal.conf"
        in_device systemctl restart rig-source.service
}

slow_source
n=0 release=0 failed=''
running=$(rig_slot_digest A)
while [ "$n" -lt "$kills" ] && [ -z "$failed" ]; do
        release=$((release + 1)) other=B
        rig_image "$RIG/image" 48 first "$release"
        rig_bundle "$RIG/k$release.rsb" "$release" "$RIG/image" --quiet
        rig_publish "$RIG/k$release.rsb"
        in_device resealctl install --no-wait "$(rig_url "k$release.rsb")" >/dev/null
        in_this=0
        while [ "$n" -lt "$kills" ] && [ "$in_this" -lt 25 ] && job_runs; do
                sleep "0.$((RANDOM % 7))$((RANDOM % 10))"
                case $((RANDOM % 4)) in
                0) in_device systemctl kill -s KILL reseal-writer.service 2>/dev/null || true ;;
                *) in_device systemctl kill -s KILL reseald.service 2>/dev/null || true ;;
                esac
                n=$((n + 1)) in_this=$((in_this + 1))
                startable_means_complete || { failed="kill $n: a slot is startable that is not complete"; break; }
                wait_for 60 in_device busctl get-property org.reseal1 /org/reseal1 org.reseal1.Manager State ||
                        { failed="kill $n: reseald does not come back"; break; }
        done
        [ -z "$failed" ] || break
        for ((i = 0; i < 600; i++)); do job_runs || break; sleep 0.2; done
        # what was killed too near to its end may have ended the job; the same bundle then goes on where it was
        [ "$(_rig_grub ORDER)" = 'B A' ] || rig_install "$(rig_url "k$release.rsb")" >"$RIG/check.out" 2>&1 ||
                { failed="release $release does not converge"; break; }
        slot_holds B "$RIG/image" || { failed="release $release: the slot holds something else"; break; }
        grub-editenv "$RIG/boot/grubenv" set ORDER="A B" A_OK=1 A_TRY=0 B_OK=0 B_TRY=0
        rm -f "$RIG/k$release.rsb"
done
[ -z "$failed" ] || { echo "$failed"; cat "$RIG/check.out"; rig_log | tail -40; }
check "it_converges_after_${n}_kills_in_${release}_installations" test -z "$failed"
check the_running_slot_is_untouched test "$running" = "$(rig_slot_digest A)"

# the power itself, three times in one installation
release=$((release + 1))
rig_image "$RIG/image" 48 first "$release"
rig_bundle "$RIG/p.rsb" "$release" "$RIG/image" --quiet
rig_publish "$RIG/p.rsb"
in_device resealctl install --no-wait "$(rig_url p.rsb)" >/dev/null
for i in 1 2 3; do
        sleep 1.$((RANDOM % 10))
        [ "$(_rig_grub ORDER)" = 'A B' ] || break
        rig_reboot A
        check "after_power_cut_${i}_a_startable_slot_is_complete" startable_means_complete
done
for ((i = 0; i < 600; i++)); do job_runs || break; sleep 0.2; done
[ "$(_rig_grub ORDER)" = 'B A' ] || rig_install "$(rig_url p.rsb)" >"$RIG/check.out" 2>&1 || { cat "$RIG/check.out"; rig_log | tail -30; }
check the_installation_goes_on_after_power_cuts slot_holds B "$RIG/image"
e2e_end
