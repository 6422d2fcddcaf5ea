# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# stage - how the demonstration looks: chapters, one line per act with its time, output of tools indented, a table at the end.
# Colour and redrawing only on a terminal (NO_COLOR is respected).

STAGE_TTY=''
[ ! -t 1 ] || STAGE_TTY=1
if [ -n "$STAGE_TTY" ] && [ -z "${NO_COLOR:-}" ]; then
        BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' RED=$'\e[31m' CYAN=$'\e[36m' PLAIN=$'\e[0m'
else
        BOLD='' DIM='' GREEN='' RED='' CYAN='' PLAIN=''
fi
STAGE_ROWS=()
LAST_MS=0

stage_begin() {
        STAGE_T0=$(now_ms)
        printf '%s%s%s\n' "$BOLD" "$1" "$PLAIN"
}

chapter() {
        printf '\n%s%s%s\n' "$BOLD$CYAN" "$1" "$PLAIN"
}

begin() {
        STAGE_ACT=$1 STAGE_ACT_T0=$(now_ms)
        [ -z "$STAGE_TTY" ] || printf '  %s...%s %s' "$DIM" "$PLAIN" "$1"
}

done_ok() {
        LAST_MS=$(($(now_ms) - STAGE_ACT_T0))
        [ -z "$STAGE_TTY" ] || printf '\r\e[K'
        printf '  %sok%s  %-62s %s%9s%s\n' "$GREEN" "$PLAIN" "$STAGE_ACT" "$DIM" "$(as_seconds "$LAST_MS")" "$PLAIN"
        STAGE_ROWS+=("$STAGE_ACT|$LAST_MS")
        STAGE_ACT=''
}

# act TEXT CMD...: one line; on failure the demonstration ends and says where
act() {
        begin "$1"
        shift
        "$@" || fail "$*"
        done_ok
}

note() {
        printf '      %s%s%s\n' "$DIM" "$*" "$PLAIN"
}

took() { # TEXT MS
        STAGE_ROWS+=("$1|$2")
}

fail() {
        [ -z "${STAGE_ACT:-}" ] || { [ -z "$STAGE_TTY" ] || printf '\r\e[K'; printf '  %s!!%s  %s\n' "$RED" "$PLAIN" "$STAGE_ACT"; }
        printf '\n%sfailed:%s %s\n' "$RED$BOLD" "$PLAIN" "$*" >&2
        if [ -n "${RIG_LEADER:-}" ]; then
                printf '\nthe last words of the services:\n' >&2
                rig_log | tail -40 >&2
        fi
        exit 1
}

# What a reader would type: our ways of getting there left out.
_shown_command() {
        case $1 in
        in_device | rig_program) shift ;;
        esac
        local word text=''
        for word; do text+=" ${word//$RIG\//}"; done
        printf '  %s$%s%s\n' "$BOLD" "$text" "$PLAIN"
}

# show CMD...: the command and what it prints
show() {
        _shown_command "$@"
        "$@" 2>&1 | sed 's/^/    /' || true
}

show_some() { # PATTERN CMD...
        local pattern=$1
        shift
        _shown_command "$@"
        "$@" 2>&1 | grep -E "$pattern" | sed 's/^[[:space:]]*/    /' || true
}

# A terminal goes to the command itself (progress bars); anything else gets its words indented.
_run() {
        if [ -n "$STAGE_TTY" ]; then "$@"; else "$@" 2>&1 | sed 's/^/    /'; fi
}

# run_shown CMD...: as show, and the exit status matters
run_shown() {
        local t0 rc=0
        _shown_command "$@"
        t0=$(now_ms)
        _run "$@" || rc=$?
        LAST_MS=$(($(now_ms) - t0))
        [ $rc -ne 0 ] || printf '  %sok%s  %-62s %s%9s%s\n' "$GREEN" "$PLAIN" '' "$DIM" "$(as_seconds "$LAST_MS")" "$PLAIN"
        return $rc
}

# run_refused TEXT REASON CMD...: it must be refused (exit status 1), and the journal must say why
run_refused() {
        local text=$1 reason=$2 t0 rc=0
        shift 2
        _shown_command "$@"
        t0=$(now_ms)
        _run "$@" || rc=$?
        LAST_MS=$(($(now_ms) - t0))
        [ $rc -eq 1 ] || fail "exit status $rc; a refusal (1) was expected"
        rig_log reseald | tail -4 | grep -E "(^|[^A-Za-z])($reason)([^A-Za-z]|$)" >/dev/null || fail "refused, but not as $reason"
        printf '  %sok%s  %-62s %s%9s%s\n' "$GREEN" "$PLAIN" "$text" "$DIM" "$(as_seconds "$LAST_MS")" "$PLAIN"
        took "$text" "$LAST_MS"
}

stage_table() {
        local row text
        chapter 'What happened'
        for row in "${STAGE_ROWS[@]}"; do
                text=${row%|*}
                printf '    %-62s %s%9s%s\n' "$text" "$DIM" "$(as_seconds "${row##*|}")" "$PLAIN"
        done
        printf '    %s%-62s %9s%s\n' "$BOLD" all "$(as_seconds $(($(now_ms) - STAGE_T0)))" "$PLAIN"
}

stage_end() {
        printf '\n%sLeft behind:%s %s (build), %s (root file system). Nothing else.\n' "$BOLD" "$PLAIN" "$BUILD_ROOT" "$RIG_CACHE"
}
