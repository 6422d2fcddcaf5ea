#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A TPM in trouble under both services at once: held by others, littered, locked, gone, restarted, hung, answers refused or
# lost; bare (shared = no, lock file) and behind tpm2-abrmd (shared = yes).  Each time a reason, never a wrong state, and the
# next installation on a well TPM succeeds.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_need tpm2_createprimary tpm2-abrmd
rig_begin e2e-tpm
fault=${FAULT_TCTI:-$BUILD_ROOT/tests/tpm/faulttcti.so}
[ -e "$fault" ] || rig_skip "no $fault"
RIG_INSTALL_LIMIT=90
e2e_ready 8
install -m 644 "$fault" "$RIG/root/usr/lib/rig-fault.so"
rig_bundle "$RIG/r.rsb" 1 "$RIG_IMAGE" --quiet
rig_publish "$RIG/r.rsb"
url=$(rig_url r.rsb)
raw=swtpm:path=/run/rig-tpm/sock

# The same release again and again: it is written only when the bootloader does not try it next anyway.
forget() {
        grub-editenv "$RIG/boot/grubenv" set ORDER="A B" A_OK=1 A_TRY=0 B_OK=0 B_TRY=0
}
again() {
        forget
        "$@"
}

tpm2() { # TOOL ARGS...: as another program on the device that knows nothing of our lock
        in_device env TPM2TOOLS_TCTI="$raw" TSS2_LOG=all+NONE "tpm2_$1" "${@:2}"
}

# restart_with TCTI SHARED [RULES FOR RESEALD [RULES FOR THE WRITER]]
restart_with() {
        local unit
        in_device systemctl stop reseald.service reseal-writer.service
        sed -i -e "s,^tcti = .*,tcti = $1," -e "s,^shared = .*,shared = $2," "$RIG"/root/etc/reseal/*.conf
        printf '[Service]\nEnvironment="RESEAL_FAULT=%s"\n' "${3:-}" >"$RIG/root/etc/systemd/system/reseald.service.d/fault.conf"
        printf '[Service]\nEnvironment="RESEAL_FAULT=%s"\n' "${4:-}" >"$RIG/root/etc/systemd/system/reseal-writer.service.d/fault.conf"
        [ -n "${3:-}" ] || rm "$RIG/root/etc/systemd/system/reseald.service.d/fault.conf"
        [ -n "${4:-}" ] || rm "$RIG/root/etc/systemd/system/reseal-writer.service.d/fault.conf"
        in_device systemctl daemon-reload
        in_device systemctl start reseal-writer.socket reseald.service
}

# How long a job asks a TPM again that is away: short where it shall fail, long where it shall wait.
patience() { # SECONDS
        sed -i -e '/^deadline = /d' -e "s,^\[source\],&\ndeadline = $1," "$RIG/root/etc/reseal/reseal.conf"
        in_device systemctl restart reseald.service
}

accept_counter() {
        tpm2 nvread 0x01800201 -C 0x01800201 | xxd -p
}

# What must be true after every failure: either the other slot is not startable, or it is what it was when it was complete.
complete_b=
is_complete() {
        complete_b=$(rig_slot_digest B)
}
nothing_half_made() {
        other_is_not_bootable || [ "$(rig_slot_digest B)" = "$complete_b" ]
}
whole_after() { # NAME
        check "after_$1_nothing_half_made_is_startable" nothing_half_made
}

# --- bare TPM, both services, others in between ---------------------------------------------------------------------
for conf in reseal writer; do sed -i 's,^lock = ,lock-timeout = 2\n&,' "$RIG/root/etc/reseal/$conf.conf"; done
restart_with "$raw" no
again installs both_services_share_a_bare_tpm "$url"
check nothing_is_left_in_it test -z "$(tpm2 getcap handles-transient)$(tpm2 getcap handles-loaded-session)"

hold_lock() { # SECONDS TIMES: another service that keeps to the lock, in steps
        in_device python3 -c 'import fcntl, os, struct, sys, time
fd = os.open("/run/reseal/tpm.lock", os.O_RDWR | os.O_CREAT, 0o660)
lock = lambda kind: fcntl.fcntl(fd, 38, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))
for i in range(int(sys.argv[2])):
    lock(fcntl.F_WRLCK)
    time.sleep(float(sys.argv[1]))
    lock(fcntl.F_UNLCK)
    time.sleep(0.05)' "$1" "$2" &
        holder=$!
}
let_go() { # in the device's PID namespace there is no other
        in_device pkill -f 'tpm[.]lock' || true
        wait $holder 2>/dev/null || true
}
hold_lock 0.3 200
again installs others_that_hold_the_lock_for_a_moment_only_slow_it_down "$url"
let_go
patience 5
hold_lock 60 1
again refuses a_lock_held_too_long_is_refused_as TpmBusy "$url"
let_go
patience 600
again installs and_once_it_is_free_it_goes_on "$url"

# --- what others leave in it ----------------------------------------------------------------------------------------
litter() {
        local i
        for i in 1 2 3; do
                tpm2 createprimary -Q -C n -c /run/litter.ctx || true # each leaves a transient object
                tpm2 startauthsession -S "/run/litter.$i" || true
        done
        tpm2 getcap handles-transient
}
check others_fill_every_slot_for_objects test "$(litter | wc -l)" -ge 3
again installs what_others_left_is_flushed "$url"

# --- dictionary attack lockout: our keys are noDA, so somebody else's wrong passwords must not stop an update ----------
is_locked() {
        tpm2 getcap properties-variable | grep -E 'inLockout: *1' >/dev/null # not -q: pipefail
}
lock_out() {
        local i
        tpm2 createprimary -Q -C n -p secret -c /run/da.ctx -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt'
        tpm2 flushcontext -t
        for i in 1 2 3 4 5 6; do
                tpm2 create -Q -C /run/da.ctx -P wrong -u /run/da.pub -r /run/da.priv && return 1
                tpm2 flushcontext -t
        done
        is_locked
}
check wrong_passwords_lock_the_tpm lock_out
again installs a_locked_tpm_does_not_stop_us "$url"
check the_lock_is_still_on is_locked
is_complete

# --- gone ------------------------------------------------------------------------------------------------------------
patience 3
in_device systemctl stop rig-tpm.service
again refuses a_tpm_that_is_gone_is_refused_as TpmGone "$url"
whole_after a_missing_tpm
check jobs_are_listed_without_a_tpm in_device resealctl jobs
patience 600
in_device systemctl start rig-tpm.service
again installs when_it_is_back_it_goes_on "$url"
is_complete

pace() { # RATE: how fast the source is; nothing: as fast as it can
        sed -i -e 's, limit_rate [0-9a-z]*;,,' -e "s,max_ranges 1;,max_ranges 1;${1:+ limit_rate $1;}," "$RIG/srv/reseal.conf"
        in_device systemctl restart rig-source.service
}
is_writing() { # bytes are on the slot
        in_device resealctl --json jobs | python3 -c 'import json, sys
jobs = json.load(sys.stdin)
jobs = jobs.get("Jobs", jobs.get("jobs", [])) if isinstance(jobs, dict) else jobs
sys.exit(not any(j.get("DoneBytes", 0) >= 1 << 20 for j in jobs))'
}
is_written() {
        ! in_device resealctl --json jobs | grep '"write"' >/dev/null
}
job_waits_for_tpm() {
        in_device resealctl --json jobs | grep 'TPM is asked again' >/dev/null
}
no_job() {
        ! in_device busctl call org.reseal1 /org/reseal1 org.reseal1.Manager ListJobs |
                grep -E '"(queued|connect|offer|ticket|table|write|finish)"' >/dev/null
}
busctl_path() { # what `resealctl install --no-wait` printed
        echo "/org/reseal1/job/${1##*[!0-9]}"
}
release=1
begin_slowly() { # a new release, so that nothing of the last one can be kept; stops in the middle of writing
        release=$((release + 1))
        rig_image "$RIG/image" 4 first "$release"
        rig_bundle "$RIG/m$release.rsb" "$release" "$RIG/image" --quiet
        rig_publish "$RIG/m$release.rsb"
        url=$(rig_url "m$release.rsb")
        pace 250k
        forget
        rig_install "$url" >"$RIG/middle.out" 2>&1 &
        middle=$!
        wait_for 60 is_writing || { cat "$RIG/middle.out"; rig_die "it never began to write"; }
}
begin_slowly
rig_tpm_cycle
rc=0
wait $middle || rc=$?
check a_tpm_that_restarts_in_the_middle_is_not_even_noticed sh -c "cat $RIG/middle.out; test $rc = 0"
is_complete
check and_the_slot_is_right slot_holds B "$RIG/image"

begin_slowly
in_device systemctl kill -s KILL rig-tpm.service || true # a stop that waits could come too late
in_device systemctl stop rig-tpm.service
check a_tpm_that_goes_in_the_middle_makes_the_job_wait wait_for 80 job_waits_for_tpm
check status_answers_while_it_is_away in_device timeout 5 resealctl status
whole_after a_tpm_lost_in_the_middle
in_device systemctl start rig-tpm.service
pace
check and_it_ends_when_the_tpm_is_back wait_for 120 no_job
check with_the_release_installed sh -c "nsenter -t $RIG_LEADER -a journalctl -u reseald | tail -3 | grep 'is installed'"
wait $middle || true # its patience may have ended before
check grub_reads_it slot_holds B "$RIG/image"
is_complete

# --- hung: a chip's driver ends that with an error, an emulator's socket never does; nobody else may hang with it -----------
in_device systemctl kill -s STOP rig-tpm.service
forget
job=$(in_device resealctl install --no-wait "$url")
sleep 1
check while_it_hangs_the_bus_answers in_device timeout 10 busctl get-property org.reseal1 /org/reseal1 org.reseal1.Manager State
check the_job_is_cancelled_meanwhile in_device timeout 10 busctl call org.reseal1 "$(busctl_path "$job")" org.reseal1.Job Cancel
in_device systemctl kill -s CONT rig-tpm.service
check and_ends_when_the_tpm_answers wait_for 60 no_job
whole_after a_hung_tpm
begin_slowly
in_device systemctl kill -s STOP rig-tpm.service
wait_for 60 is_written
sleep 3
in_device systemctl kill -s CONT rig-tpm.service
rc=0
wait $middle || rc=$?
check a_tpm_that_hangs_in_the_middle_delays_the_end_only sh -c "cat $RIG/middle.out; test $rc = 0"
check grub_reads_what_was_written slot_holds B "$RIG/image"
pace
is_complete

# --- it refuses, fails or answers nothing ----------------------------------------------------------------------------
behind=/usr/lib/rig-fault.so:$raw
patience 5
in_reseald() { # NAME REASON RULES
        restart_with "$behind" no "$3"
        again refuses "in_reseald_$1_is_refused_as" "$2" "$url"
        whole_after "$1_in_reseald"
}
in_writer() {
        restart_with "$behind" no '' "$3"
        again refuses "in_the_writer_$1_is_refused_as" "$2" "$url"
        whole_after "$1_in_the_writer"
}
in_reseald a_lockout TpmLocked 'Sign:1-99:rc=0x921'
in_reseald no_room_for_objects TpmFull 'Load:1-99:rc=0x902'
in_reseald a_failing_chip Tpm '*:1-9999:rc=0x101'
in_reseald an_unwrap_that_fails Tpm 'ECDH_ZGen:1-99:rc=0x101'
in_reseald an_unwrap_key_locked TpmLocked 'ECDH_ZGen:1-99:rc=0x921'
in_reseald a_command_that_never_arrives TpmGone 'ECDH_ZGen:1-99:drop'
in_writer no_room_for_sessions TpmFull 'StartAuthSession:1-99:rc=0x903'
in_writer a_lockout TpmLocked 'NV_Read:1-99:rc=0x921'
in_writer a_failing_chip Tpm '*:1-9999:rc=0x101'
in_writer a_key_that_cannot_be_sealed TpmFull 'Create:1-99:rc=0x902'

patience 600
before=$(accept_counter)
restart_with "$behind" no '' 'NV_Increment:1:lose,NV_Write:1:lose'
again installs a_lost_answer_while_the_record_is_written_is_survived "$url"
check the_counter_rose_at_most_once test $((0x$(accept_counter) - 0x$before)) -le 1
restart_with "$behind" no '' 'NV_Increment:1:drop,Create:1:lose'
forget
rig_install "$url" >/dev/null 2>&1 || true
restart_with "$raw" no
again installs after_all_that_a_well_tpm_is_all_it_takes "$url"
check grub_reads_the_image slot_holds B "$RIG/image"
is_complete

# --- behind a resource manager: shared = yes, connections stay open, nobody takes the lock or flushes what is not his --------
cat >"$RIG/root/etc/systemd/system/rig-abrmd.service" <<U
[Unit]
Requires=rig-tpm.service
After=rig-tpm.service
[Service]
Type=dbus
BusName=com.intel.tss2.Tabrmd
User=tss
ExecStart=/usr/sbin/tpm2-abrmd --tcti=$raw --flush-all
Restart=always
RestartSec=100ms
U
# Configured as it is on a device, tabrmd is loaded before the sandbox closes; behind the one that injects faults it is not.
for unit in reseald reseal-writer; do
        mkdir -p "$RIG/root/etc/systemd/system/$unit.service.d"
        printf '[Service]\nEnvironment=LD_PRELOAD=libtss2-tcti-tabrmd.so.0\n' >"$RIG/root/etc/systemd/system/$unit.service.d/60-tabrmd.conf"
done
begin_shared() { # RULES FOR RESEALD, FOR THE WRITER
        restart_with "${behind%%:*}:tabrmd:bus_type=system" yes "${1:-}" "${2:-}"
}
in_device systemctl stop reseald.service reseal-writer.service
in_device systemctl daemon-reload
in_device systemctl start rig-abrmd.service
before=$(in_device stat -c %Y.%Z /run/reseal/tpm.lock)
begin_shared
raw=tabrmd:bus_type=system
again installs both_services_share_a_resource_manager "$url"
check nobody_took_the_lock_file test "$before" = "$(in_device stat -c %Y.%Z /run/reseal/tpm.lock)"
check a_third_program_is_served_meanwhile tpm2 getrandom --hex 8
is_complete
begin_shared 'Load:1-99:rc=0x902'
again refuses behind_the_manager_no_room_is_refused_as TpmFull "$url"
begin_shared 'ECDH_ZGen:1-99:rc=0xb0902'
again refuses the_managers_own_want_of_room_is_refused_as TpmFull "$url"
whole_after a_full_resource_manager
begin_shared
in_device systemctl kill -s KILL rig-abrmd.service
sleep 1
again installs a_resource_manager_that_restarted_between_two_jobs_is_found_again "$url"
is_complete
in_device systemctl stop rig-abrmd.service
patience 3
again refuses a_resource_manager_that_is_gone_is_refused_as TpmGone "$url"
whole_after a_missing_resource_manager
patience 600
in_device systemctl start rig-abrmd.service
begin_slowly
in_device systemctl kill -s KILL rig-abrmd.service
rc=0
wait $middle || rc=$?
pace
[ $rc = 0 ] || installs it_goes_on_after_the_manager_died_in_the_middle "$url"
check grub_reads_what_came_through_the_manager slot_holds B "$RIG/image"
e2e_end
