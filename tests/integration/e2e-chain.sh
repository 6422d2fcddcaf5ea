#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The signer chain on a whole device: releases left out and caught up over links of the source, a source that hides the latest
# release, a signer that is revoked before its release comes, and the bridge that leads on.
set -euo pipefail
. "$(dirname "$0")/../rig/all.sh"
rig_namespace "$@"
rig_begin e2e-chain
e2e_ready 8
www=$RIG/srv/www/bundles
chain=$PKI/chain/$RIG_LINE
mkdir -p "$www/chain"

offer() { # NAME RELEASE; sets url
        rig_bundle "$RIG/$1.rsb" "$2" "$RIG_IMAGE" --quiet && rig_publish "$RIG/$1.rsb"
        url=$(rig_url "$1.rsb")
}
chain_says() { # PATTERN
        in_device resealctl chain | tee /dev/stderr | grep -E "$1"
}
statement() { # LATEST NUMBER
        quiet rig_program reseal-source statement --line "$RIG_LINE" --latest "$1" --seq "$2" --days 7 \
                --cert "$PKI/source/freshness.pem" --key "$PKI/source/freshness.key" -o "$www/latest.rsf"
}
crls() { # NUMBER CERT...: what lies beside the bundles
        "$SOURCE_ROOT/tests/fixtures/make-pki.sh" crl "$PKI" firmware/authority "$@"
        python3 -c 'import struct, sys
der = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(struct.pack(">II", 1, len(der)) + der)' "$PKI/firmware/authority.crl" "$www/crls"
}

check a_new_device_has_accepted_nothing chain_says 'nothing yet'
offer one 1
installs release_one_begins_the_chain "$url"
check it_is_remembered chain_says 'release 1,'

# --- three releases later; the bundle has the last link only ------------------------------------------------------------
RELEASE_LINKS=1 offer four 4
refuses without_the_links_between_it_is_refused ChainGap "$url"
cp "$chain"/[234].rsl "$www/chain/"
installs with_links_of_the_source_it_catches_up "$url"
check and_has_walked_to_four chain_says 'release 4,'
url=$(rig_url one.rsb)
refuses release_one_does_not_come_back Rollback "$url"

# --- a genuine signer of the past, whose key was stolen -------------------------------------------------------------------
rig_program reseal-bundle build --line "$RIG_LINE" --compatible "$RIG_COMPATIBLE" --release 5 --version stolen --quiet --level 1 \
        --image "rootfs=$RIG_IMAGE" --no-sign --transport-cert "$PKI/source/transport.pem" --output "$RIG/stolen.rsb"
quiet rig_program reseal-bundle sign --cert "$chain/4.pem" --key "$chain/4.key" --chain "$PKI/firmware/chain.pem" "$RIG/stolen.rsb"
cp "$RIG/stolen.rsb" "$www/"
refuses a_signer_of_the_past_signs_nothing_else 'ChainGap|ChainReuse|Chain' "$(rig_url stolen.rsb)"

# --- a source that knows of six and offers five ------------------------------------------------------------------------------
statement 6 1
offer five 5
refuses what_is_not_the_latest_is_refused Freeze "$url"
statement 5 2
installs once_it_is_the_latest_it_is_installed "$url"
check the_statement_is_told chain_says 'latest +release 5'

# --- the signer of six is revoked before six comes; recovery keys lead to seven ---------------------------------------------
offer six 6
statement 6 3
crls 2 "$chain/6.pem"
refuses a_revoked_signer_is_refused Revoked "$url"
RELEASE_KIND=bridge RELEASE_LINKS=1 offer seven 7
statement 7 4
installs a_bridge_leads_over_it "$url"
check and_it_is_told chain_says 'release 7,.*over a bridge'
e2e_end
