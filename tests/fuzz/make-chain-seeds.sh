#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make-chain-seeds - makes tests/fuzz/seeds/{crl,timestamp}/ and chain-keys.h anew, with throw-away keys from make-pki.sh.
# All are checked in, so that a seed means the same on every machine; run this only to change what they hold.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
BUILD_ROOT='' "$here/../fixtures/make-pki.sh" "$dir"
mkdir -p "$here/seeds/crl" "$here/seeds/timestamp"
cd "$dir"

cp firmware/root.crl "$here/seeds/crl/good-root.der"
"$here/../fixtures/make-pki.sh" crl "$dir" firmware/authority 300 firmware/signer-1.pem firmware/signer-2.pem
cp firmware/authority.crl "$here/seeds/crl/good-authority.der"
cp source/root.crl "$here/seeds/crl/stranger.der"

bytes() { # bytes HEX: as they are
    # shellcheck disable=SC2059,SC2001
    printf "$(sed 's/../\\x&/g' <<<"$1")"
}
# TimeStampReq for the nonce of 32 bytes 0x11: imprint, nonce field of 16 of them, certReq
nonce=$(printf '11%.0s' {1..32})
imprint=$(bytes "$nonce" | sha256sum | cut -d' ' -f1)
bytes "304b0201013031300d06096086480165030402010500""0420$imprint""0210${nonce:0:32}""0101ff" >query
openssl ts -reply -config time/tsa.cnf -queryfile query -out "$here/seeds/timestamp/good.tsr" 2>log
openssl ts -query -data query -sha512 -out other 2>log
openssl ts -reply -config time/tsa.cnf -queryfile other -out "$here/seeds/timestamp/refused.tsr" 2>log || true

quote() { # quote NAME FILE
    printf 'static const char %s[] __attribute__((unused)) =\n' "$1"
    sed 's/.*/        "&\\n"/; $s/$/;/' "$2"
}
{
    printf '/* SPDX-License-Identifier: LGPL-2.1-or-later */\n#pragma once\n'
    printf '/* Made by make-chain-seeds.sh together with seeds/crl and seeds/timestamp: throw-away keys that guard nothing. */\n'
    quote chain_root_pem firmware/root.pem
    quote chain_authority_pem firmware/authority.pem
    quote time_root_pem time/root.pem
} >"$here/chain-keys.h"
