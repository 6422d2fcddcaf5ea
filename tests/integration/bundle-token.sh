#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The signer's key lies in a token and is named by a URI: here a TPM, through Debian's tpm2-openssl, which is not ours.
# Possession of a link and the signature over the manifest are made by it; verification is stock openssl's and our own.
source "$(dirname "$0")/bundle-fixture.sh"
need swtpm tpm2_createprimary
[ -e "$(openssl version -m | cut -d'"' -f2)/tpm2.so" ] || { echo "skipped: tpm2-openssl is missing"; exit 77; }

token=$dir/token
mkdir "$token"
swtpm socket --tpm2 --tpmstate dir="$token" --server type=unixio,path="$token/s" --ctrl type=unixio,path="$token/s.ctrl" \
        --flags not-need-init,startup-clear >/dev/null 2>&1 &
swtpm=$!
trap 'kill $swtpm 2>/dev/null || true; rm -rf "$dir"' EXIT
for ((i = 0; i < 300; i++)); do
        [ -S "$token/s" ] && break
        sleep 0.1
done
export TPM2TOOLS_TCTI="swtpm:path=$token/s" TPM2OPENSSL_TCTI="swtpm:path=$token/s"
key() { # the signer of this release, which never leaves the token
        tpm2_createprimary -C o -c "$token/primary" -Q && tpm2_flushcontext -t
        tpm2_create -C "$token/primary" -G ecc256:ecdsa-sha256 -u "$token/pub" -r "$token/priv" -Q \
                -a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda' && tpm2_flushcontext -t
        tpm2_load -C "$token/primary" -u "$token/pub" -r "$token/priv" -c "$token/key" -Q && tpm2_flushcontext -t
        tpm2_evictcontrol -C o -c "$token/key" 0x81010001 -Q && tpm2_flushcontext -t
        tpm2_readpublic -c 0x81010001 -f pem -o "$token/key.pem" -Q
}
key || fail "the token makes no key"
# Signatures by the provider of the key, digests by OpenSSL's own (docs/keys.md)
cat >"$token/openssl.cnf" <<'C'
openssl_conf = top
[top]
providers = providers
alg_section = algorithms
[providers]
default = on
tpm2 = on
[on]
activate = 1
[algorithms]
default_properties = ?provider=tpm2,tpm2.digest!=yes
C
with_token() { "$1" --openssl-config "$token/openssl.cnf" "${@:2}"; }

build "$dir/t.rsb" --no-sign --no-encrypt
authority=(--authority "$pki/firmware/authority.pem")
expect 0 "$bundle" ceremony certify "${authority[@]}" --key "$pki/firmware/authority.key" --public "$token/key.pem" --line gw \
        --release 7 --epoch 2 -o "$token/signer.pem"
expect 0 "$bundle" ceremony draft --kind genesis "${authority[@]}" --signer "$token/signer.pem" --bundle "$dir/t.rsb" -o "$token/7.rsl"
expect 0 "$bundle" ceremony approve --key "$pki/firmware/authority.key" "$token/7.rsl"
expect 0 with_token "$bundle" ceremony possess --key handle:0x81010001 "$token/7.rsl"
expect 0 with_token "$bundle" sign --cert "$token/signer.pem" --key handle:0x81010001 --chain "$pki/firmware/chain.pem" "$dir/t.rsb"
expect 0 "$bundle" attach --link "$token/7.rsl" "$dir/t.rsb"
expect 0 "$bundle" verify --root "$root" "$dir/t.rsb"
expect 0 "$bundle" extract --manifest "$dir/t.cms" "$dir/t.rsb"
expect 0 openssl cms -verify -inform DER -in "$dir/t.cms" -CAfile "$root" -purpose any -ignore_critical -out /dev/null
# a variable of the environment is no way in: the provider is not there
OPENSSL_CONF=$token/openssl.cnf refused Config "$bundle" sign --cert "$token/signer.pem" --key handle:0x81010001 "$dir/t.rsb"
# a handle that holds no key is a reason, not a crash
refused 'Config|Signature' with_token "$bundle" sign --cert "$token/signer.pem" --key handle:0x81010099 "$dir/t.rsb"
refused Crypto "$bundle" --openssl-config "$token/none.cnf" info "$dir/t.rsb"
echo "signed by a key in a token"
