# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# all - the whole rig; what each part offers stands at its top.
_rig=$(dirname "${BASH_SOURCE[0]}")
for _part in base disk device image source provision check; do
        # shellcheck disable=SC1090
        . "$_rig/$_part.sh"
done
