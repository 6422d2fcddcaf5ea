#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The trial: what fails its health check goes back to the old slot, which tells why; what passes is good (S13).
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-health
e2e_ready 24
rig_bundle "$RIG/r1.rsb" 1 "$RIG_IMAGE" --quiet
rig_publish "$RIG/r1.rsb"

health_conf() { # LINE...
        printf '[health]\nunits=reseald.service\nsettle=1s\n%s\n' "$(printf '%s\n' "$@")" |
                in_device sh -c 'umask 022; cat >/etc/reseal/health.conf'
}
check_program() { # BODY
        printf '#!/bin/sh\n%s\n' "$1" | in_device sh -c 'umask 022; mkdir -p /etc/reseal/health.d
                cat >/etc/reseal/health.d/modem; chmod 755 /etc/reseal/health.d/modem'
}
health() { in_device systemctl restart reseal-health.service; }
says() { in_device journalctl --no-pager -o cat -u reseal-health | grep -q "$1"; }
slots_say() { in_device resealctl slots | grep -qF "$1"; }

# A restart by the unit would be one of the whole container: the rig pulls the plug instead.
in_device mkdir -p /etc/systemd/system/reseal-health.service.d
printf '[Unit]\nFailureAction=none\n' | in_device sh -c 'cat >/etc/systemd/system/reseal-health.service.d/rig.conf'
health_conf checks=/etc/reseal/health.d "source=$(rig_url r1.rsb)" deadline=60s
in_device systemctl daemon-reload
quiet in_device systemctl enable reseal-health.service

check_program 'exit 3'
check a_good_slot_is_left_alone health
check and_that_is_said says 'slot A is good already'

installs release_one_is_installed "$(rig_url r1.rsb)"
rig_note_bundle B "$RIG/r1.rsb"
rig_reboot
check the_new_release_runs test "$RIG_BOOTED" = B
refuse boot_complete_is_not_reached in_device systemctl start boot-complete.target
check the_failed_check_is_named says 'check modem failed with status 3'
check the_loader_will_not_start_it_again test "$(_rig_grub B_OK)/$(_rig_grub B_TRY)" = 0/0
rig_reboot
check the_old_release_runs test "$RIG_BOOTED" = A
check the_old_slot_tells_what_happened slots_say 'check modem failed with status 3'
check the_slot_is_shown_as_failed slots_say 'failed its trial'
check the_state_is_rejected sh -c "nsenter -t $RIG_LEADER -a resealctl status | grep -q REJECTED"
check the_daemon_logs_it sh -c "nsenter -t $RIG_LEADER -a journalctl --no-pager -o cat -u reseald | grep -q 'failed its trial: check modem'"

# An operator tries it once more; everything is well now.
installs it_is_installed_again "$(rig_url r1.rsb)"
refuse nothing_is_told_of_it_any_more slots_say 'failed its trial'
rig_reboot
check the_new_release_runs_again test "$RIG_BOOTED" = B
check_program 'test "$(id -un)" = reseal-health && ! touch /etc/x 2>/dev/null && ! ls /var/lib/reseal 2>/dev/null'
# ... while whoever has taken over reseald does what he can: its socket is not the health check's.
writer_goes_on() { in_device systemctl is-active reseal-writer.socket reseal-health.socket reseal-writer.service; }
in_device sh -c 'cat >/run/flood.py' <"$SOURCE_ROOT/tests/rig/flood.py"
as_user reseal timeout 120 python3 /run/flood.py "$(in_device reseal-writer --version | cut -d' ' -f2)" &
flood=$!
sleep 3
check boot_complete_is_reached_while_reseald_is_hostile in_device systemctl start boot-complete.target
check the_flood_lasts_still kill -0 $flood
sleep "${RESEAL_TEST_FLOOD_SEC:-10}"
check neither_socket_nor_writer_is_gone writer_goes_on
kill $flood
wait $flood || true
check boot_complete_is_reached in_device systemctl start boot-complete.target
check the_slot_is_good test "$(_rig_grub B_OK)" = 1

# The source is gone, then the writer.
installs release_one_to_the_other_half "$(rig_url r1.rsb)"
rig_note_bundle A "$RIG/r1.rsb"
rig_reboot A
health_conf "source=$(rig_url nothing.rsb)" deadline=5s
refuse a_source_without_the_bundle_fails_the_trial health
check the_source_is_named says 'failed its trial, restarting: source: '
in_device sh -c 'echo "quiet reseal.trial" >/run/trial; echo quiet >/run/no-trial'
refuse without_a_writer_a_counted_start_fails as_user reseal-health reseal-health --socket /run/none --cmdline /run/trial
check without_a_writer_any_other_goes_on as_user reseal-health reseal-health --socket /run/none --cmdline /run/no-trial
e2e_end
