#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Engine and stock cryptsetup in one: what tests/attack/epoch.c installs is opened by cryptsetup with our token plugin, and
# not any more once a higher epoch is marked good.  In a private mount namespace (needs root).
set -euo pipefail
if [ "${1:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || { echo "skipped: mounting needs root"; exit 77; }
        exec unshare -m -- "$0" inside
fi
here=$(dirname "$(readlink -f "$0")")
. "$here/../tpm/plugin.sh"
d=$(mktemp -d /tmp/reseal-epoch.XXXXXX)
trap 'rm -rf "$d"' EXIT
plugin_here "$d"
"$BUILD_ROOT/tests/attack/epoch"
