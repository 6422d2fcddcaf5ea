#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make-cms-seeds - makes tests/fuzz/seeds/cms/ and cms-keys.h anew, with throw-away keys from make-pki.sh.  Both are
# checked in, so that a seed means the same on every machine; run this only to change what they hold.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$here/../fixtures/make-pki.sh" "$dir"
mkdir -p "$here/seeds/cms"
cd "$dir"
out=$here/seeds/cms

sign() { # sign NAME SIGNER [options]
    local name=$1 signer=$2
    shift 2
    printf 'signed content' | openssl cms -sign -binary -outform DER -out "$out/$name.der" -signer "$signer.pem" \
        -inkey "$signer.key" "$@"
}

sign good firmware/signer -nodetach -certfile firmware/chain.pem
sign no-certificates firmware/signer -nodetach -nocerts
sign other-type firmware/signer -nodetach -certfile firmware/chain.pem -econtent_type 1.2.3.4
head -c 32 /dev/zero | openssl cms -encrypt -binary -outform DER -out "$out/envelope.der" -aes-256-gcm \
    -recip source/transport.pem -keyopt ecdh_kdf_md:sha256
head -c 32 /dev/zero | openssl cms -encrypt -binary -outform DER -out "$out/envelope-cbc.der" -aes-256-cbc \
    -recip source/transport.pem -keyopt ecdh_kdf_md:sha256

quote() { # quote NAME FILE
    printf 'static const char %s[] =\n' "$1"
    sed 's/.*/        "&\\n"/; $s/$/;/' "$2"
}
{
    printf '/* SPDX-License-Identifier: LGPL-2.1-or-later */\n#pragma once\n'
    printf '/* Made by make-cms-seeds.sh together with seeds/cms/: throw-away keys that guard nothing. */\n'
    quote firmware_root_pem firmware/root.pem
    quote transport_cert_pem source/transport.pem
    quote transport_key_pem source/transport.key
} >"$here/cms-keys.h"
