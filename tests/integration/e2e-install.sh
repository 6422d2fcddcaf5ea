#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The whole way on a small image: install, prove, reboot, mark good, install to the other half; busy, cancel, rights.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-install
e2e_ready 48

rig_image "$RIG/image2" 48 first 2
rig_bundle "$RIG/r1.rsb" 1 "$RIG_IMAGE" --quiet
rig_bundle "$RIG/r2.rsb" 2 "$RIG/image2" --quiet
rig_bundle "$RIG/r3.rsb" 3 "$RIG_IMAGE" --quiet
for n in 1 2 3; do rig_publish "$RIG/r$n.rsb"; done

before=$(rig_slot_digest A)
installs release_one_is_installed "$(rig_url r1.rsb)"
rig_note_bundle B "$RIG/r1.rsb"
check the_running_slot_is_untouched test "$before" = "$(rig_slot_digest A)"
check the_new_half_is_tried_first test "$(_rig_grub ORDER)" = 'B A'
check the_new_half_is_not_good_yet test "$(_rig_grub B_OK)/$(_rig_grub B_TRY)" = 0/3
check stock_cryptsetup_opens_the_slot_through_the_token \
        in_device cryptsetup open --test-passphrase --token-only --token-type reseal /dev/reseal/slot-b
check grub_reads_the_image_out_of_a_copy slot_holds B "$RIG_IMAGE"
check the_tpm_remembers_release_one sh -c "nsenter -t $RIG_LEADER -a resealctl chain | tee /dev/stderr | grep 'release 1,'"
check the_time_is_proven sh -c "nsenter -t $RIG_LEADER -a resealctl time | tee /dev/stderr | grep 'in this boot'"
check the_posture_is_told in_device resealctl posture

rig_reboot
check the_new_half_was_booted test "$RIG_BOOTED" = B
refuses an_installation_during_the_trial_is_refused TrialPending "$(rig_url r2.rsb)"
check the_slot_is_marked_good in_device resealctl mark good
check the_boot_state_says_so test "$(_rig_grub B_OK)" = 1
installs release_two_goes_to_the_other_half "$(rig_url r2.rsb)"
rig_note_bundle A "$RIG/r2.rsb"
check grub_reads_release_two slot_holds A "$RIG/image2"
rig_reboot
check the_other_half_was_booted test "$RIG_BOOTED" = A
check it_is_marked_good in_device resealctl mark good

# busy, status and cancel while an installation runs: the source is slow
sed -i 's,max_ranges 1;,max_ranges 1; limit_rate 2m;,' "$RIG/srv/reseal.conf"
in_device systemctl restart rig-source.service
job=$(in_device resealctl install --no-wait "$(rig_url r3.rsb)")
# W4: the flag of the target is down, W2, before the first byte is written
wait_for 60 sh -c "nsenter -t $RIG_LEADER -a resealctl --json jobs | grep -q '\"Step\": \"W4\"'"
check status_answers_while_it_runs in_device timeout 10 busctl get-property org.reseal1 /org/reseal1 org.reseal1.Manager State
rc=0
in_device resealctl install "$(rig_url r2.rsb)" >"$RIG/busy" 2>&1 || rc=$?
check a_second_installation_is_busy test $rc -eq 5
check the_job_can_be_cancelled in_device resealctl cancel
# accepted is not ended: the worker takes its abort to the writer first
wait_for 60 sh -c "nsenter -t $RIG_LEADER -a resealctl jobs | grep -q 'No jobs'"
check the_cancelled_half_is_not_bootable other_is_not_bootable
sed -i 's,limit_rate 2m;,,' "$RIG/srv/reseal.conf"
in_device systemctl restart rig-source.service
installs after_the_cancel_it_is_installed "$(rig_url r3.rsb)"
check grub_reads_release_three slot_holds B "$RIG_IMAGE"

# rights: nobody may look, and nothing else
check nobody_may_look in_device setpriv --reuid=nobody --regid=nogroup --clear-groups resealctl status
for method in "Install sa{sv} $(rig_url r2.rsb) 0" "Inspect sa{sv} $(rig_url r2.rsb) 0" "Mark ss good booted"; do
        # shellcheck disable=SC2086
        refuse "nobody_is_denied_${method%% *}" in_device setpriv --reuid=nobody --regid=nogroup --clear-groups \
                busctl call org.reseal1 /org/reseal1 org.reseal1.Manager $method
done
refuse nobody_reaches_the_writers_socket in_device setpriv --reuid=nobody --regid=nogroup --clear-groups \
        python3 -c 'import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/reseal/writer.sock")'
check services_run_under_their_own_users test "$(ps -o user= -p "$(rig_pid reseald)" | tr -d ' ')" != root

# the way back: not through reseald, even for root; by root's own word to the writer, and told
rig_note_bundle B "$RIG/r3.rsb"
rig_reboot
check release_three_was_booted test "$RIG_BOOTED" = B
check release_three_is_marked_good in_device resealctl mark good
refuse nobody_goes_back_through_the_daemon in_device resealctl mark bad booted
check the_good_slot_stays_good test "$(_rig_grub B_OK)" = 1
check root_goes_back_by_his_own_word in_device resealctl --below-accepted mark bad booted
check the_older_slot_is_next test "$(_rig_grub B_OK) $(_rig_grub A_OK)" = "0 1"
check going_back_is_told sh -c "nsenter -t $RIG_LEADER -a journalctl --no-pager -u reseal-writer | grep -q 'below the release accepted last'"
e2e_end
