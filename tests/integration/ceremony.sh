#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A release by steps on machines that share nothing but the files that are carried: each is a directory, each step runs
# with its machine's key only.  docs/keys.md gives these commands; a wrong key and a used key are refused at every step.
. "$(dirname "$0")/bundle-fixture.sh"
need jq openssl

for m in build authority signer-1 signer-2 signer-3 recovery-1 recovery-2; do mkdir "$dir/$m"; done
carry() { # FROM TO FILE...: what the person takes along
        local from=$1 to=$2 f
        shift 2
        for f; do cp "$dir/$from/$f" "$dir/$to/$f"; done
}
on() { # MACHINE COMMAND...: with nothing but that machine's directory
        local machine=$1
        shift
        (cd "$dir/$machine" && "$@") || return
}
step() { expect 0 on "$1" "$bundle" ceremony "${@:2}"; }
denied() { # REASON MACHINE STEP...
        local reason=$1 machine=$2
        shift 2
        refused "$reason" on "$machine" "$bundle" ceremony "$@"
}
shows() { grep -Eq "^$1" "$dir/out" || fail "not shown: $1: $(cat "$dir/out")"; }
new_signer() { # N: the key never leaves its machine
        on "signer-$1" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
        on "signer-$1" openssl pkey -in "$1.key" -pubout -out "$1.pub"
}
new_bundle() { # N [EPOCH]
        expect 0 on build "$bundle" build --quiet --no-sign --no-encrypt --line gw --compatible gw-3a --release "$1" \
                --epoch "${2:-0}" --version "$1" --image "rootfs=$dir/boot.img" -o "gw-$1.rsb"
}
finish() { # N LINK...: signed on the signer's machine, links attached where it was built
        local n=$1
        shift
        carry build "signer-$n" "gw-$n.rsb"
        carry authority "signer-$n" authority.pem
        expect 0 on "signer-$n" "$bundle" sign --cert "$n.pem" --key "$n.key" --chain authority.pem "gw-$n.rsb"
        carry "signer-$n" build "gw-$n.rsb"
        expect 0 on build "$bundle" attach "${@/#/--link=}" "gw-$n.rsb"
}
cp "$pki"/firmware/authority.{pem,key} "$dir/authority"
for i in 1 2; do cp "$pki/recovery/r$i.key" "$dir/recovery-$i/r.key"; done
cp "$pki"/recovery/{r1,r2,r3,recovery}.pem "$dir/build"
cp "$root" "$dir/build/root.pem"
certify=(certify --authority authority.pem --key authority.key --line gw)
draft=(draft --authority authority.pem)

# -- release 1: genesis ----------------------------------------------------------------------------------------------
new_bundle 1
new_signer 1
carry signer-1 authority 1.pub
step authority "${certify[@]}" --public 1.pub --release 1 -o 1.pem
carry authority build 1.pem authority.pem
step build "${draft[@]}" --kind genesis --signer 1.pem --bundle gw-1.rsb -o 1.rsl
denied Chain build endorse --key "$dir/authority/authority.key" 1.rsl
carry build authority 1.rsl
denied Chain authority approve --key "$dir/signer-1/1.key" 1.rsl
denied Chain authority possess --key "$dir/signer-1/1.key" 1.rsl
step authority approve --key authority.key 1.rsl
carry authority signer-1 1.rsl 1.pem
denied Chain signer-1 possess --key "$dir/authority/authority.key" 1.rsl
step signer-1 possess --key 1.key 1.rsl
carry signer-1 build 1.rsl
finish 1 1.rsl
expect 0 "$bundle" verify --root "$root" --from factory "$dir/build/gw-1.rsb"

# by hand, with the command of docs/format-bundle.md section 2 (S57); openssl alone does not know the place in the chain
expect 0 "$bundle" extract --manifest "$dir/1.cms" --json "$dir/1.json" "$dir/build/gw-1.rsb"
by_hand=(openssl cms -verify -inform DER -in "$dir/1.cms" -CAfile "$root" -purpose any)
grep -qF -- '-purpose any -ignore_critical' "$SOURCE_ROOT/docs/format-bundle.md" || fail "another command is documented"
expect 0 "${by_hand[@]}" -ignore_critical -out "$dir/by-hand.json"
cmp "$dir/1.json" "$dir/by-hand.json" || fail "openssl sees another content"
! "${by_hand[@]}" >/dev/null 2>"$dir/log" || fail "openssl takes the critical extension for known"
grep -q 'unhandled critical extension' "$dir/log" || fail "openssl refuses for another cause: $(cat "$dir/log")"

# -- release 2: a link, endorsed by the signer of release 1 ----------------------------------------------------------
new_bundle 2
new_signer 2
carry signer-2 authority 2.pub
step authority "${certify[@]}" --public 2.pub --release 2 --previous 1.pem --earlier 1.rsl -o 2.pem
carry authority build 2.pem
link=("${draft[@]}" --signer 2.pem --bundle gw-2.rsb --after 1.rsl --endorser 1.pem)
step build "${link[@]}" -o 2.rsl
expect 0 on build "$bundle" ceremony show 2.rsl
shows 'kind +link$'
shows 'release +2, epoch 0, line gw$'
shows "manifest +$("$bundle" info --json "$dir/build/gw-2.rsb" | jq -r .id)\$"
shows "endorser +$(openssl pkey -pubin -in "$dir/signer-1/1.pub" -outform DER | sha256sum | cut -d' ' -f1)\$"
shows 'endorsement +open$'
cp "$dir/out" "$dir/screen"
carry build signer-1 2.rsl
denied Chain signer-1 endorse --key "$dir/signer-2/2.key" 2.rsl
step signer-1 endorse --key 1.key 2.rsl
cmp "$dir/screen" "$dir/out" || fail "the signer is shown something else than what was drafted"
rm "$dir/signer-1/1.key" # its work is done
carry signer-1 authority 2.rsl
denied Chain authority approve --key "$dir/recovery-1/r.key" 2.rsl
step authority approve --key authority.key 2.rsl
carry authority signer-2 2.rsl 2.pem
step signer-2 possess --key 2.key 2.rsl
carry signer-2 build 2.rsl
finish 2 1.rsl 2.rsl
expect 0 on build "$bundle" ceremony show 2.rsl
for s in endorsement approval possession; do shows "$s +signed\$"; done
expect 0 "$bundle" verify --root "$root" --from "$dir/build/1.rsl" "$dir/build/gw-2.rsb"
expect 0 "$bundle" verify --root "$root" --from factory "$dir/build/gw-2.rsb"
refused Rollback "$bundle" verify --root "$root" --from "$dir/build/2.rsl" "$dir/build/gw-1.rsb"

# signed again is to be possessed again: the last signature covers the others
cp "$dir/build/2.rsl" "$dir/authority/again.rsl"
step authority approve --key authority.key again.rsl
expect 0 on authority "$bundle" ceremony show again.rsl
shows 'possession +open$'

# -- a used key, another release, another predecessor ----------------------------------------------------------------
carry signer-2 authority 2.pub
carry signer-1 authority 1.pub
carry build authority 2.rsl
denied ChainReuse authority "${certify[@]}" --public 2.pub --release 3 --previous 2.pem -o x.pem
denied ChainReuse authority "${certify[@]}" --public 1.pub --release 3 --previous 2.pem --earlier 2.rsl --earlier 1.rsl -o x.pem
denied Certificate authority certify --authority authority.pem --key "$dir/recovery-1/r.key" --line gw --public 1.pub --release 3 -o x.pem
[ ! -e "$dir/authority/x.pem" ] || fail "a refused certificate was written"
new_bundle 3
new_bundle 4
# an authority that did not look: the draft is refused, too
step authority "${certify[@]}" --public 2.pub --release 3 -o 3-with-2.pem
step authority "${certify[@]}" --public 1.pub --release 3 --previous 2.pem -o 3-with-1.pem
carry authority build 3-with-2.pem 3-with-1.pem
denied ChainReuse build "${draft[@]}" --signer 3-with-2.pem --bundle gw-3.rsb --after 2.rsl --endorser 2.pem -o x.rsl
denied ChainReuse build "${draft[@]}" --signer 3-with-1.pem --bundle gw-3.rsb --after 2.rsl --endorser 2.pem --earlier 1.rsl -o x.rsl
new_signer 3
carry signer-3 authority 3.pub
step authority "${certify[@]}" --public 3.pub --release 3 --previous 2.pem --earlier 1.rsl --earlier 2.rsl -o 3.pem
carry authority build 3.pem
denied Chain build "${draft[@]}" --signer 3.pem --bundle gw-4.rsb --after 2.rsl --endorser 2.pem -o x.rsl
denied Chain build "${draft[@]}" --signer 3.pem --bundle gw-3.rsb --after 1.rsl --endorser 2.pem -o x.rsl
denied Chain build "${draft[@]}" --signer 3.pem --bundle gw-3.rsb --after 2.rsl --endorser 1.pem -o x.rsl
denied InvalidArgument build "${draft[@]}" --signer 3.pem --bundle gw-3.rsb --endorser 2.pem -o x.rsl
[ ! -e "$dir/build/x.rsl" ] || fail "a refused draft was written"

# -- release 3: a bridge, because the key of release 2 is lost -------------------------------------------------------
step authority "${certify[@]}" --public 3.pub --release 3 --earlier 1.rsl --earlier 2.rsl -o 3.pem
carry authority build 3.pem
bridge=("${draft[@]}" --kind bridge --signer 3.pem --bundle gw-3.rsb --after 2.rsl)
denied Chain build "${bridge[@]}" --endorser r2.pem --endorser2 r2.pem -o x.rsl
denied Chain build "${bridge[@]}" --endorser r2.pem -o x.rsl
step build "${bridge[@]}" --endorser r2.pem --endorser2 r1.pem -o 3.bridge.rsl
carry build recovery-2 3.bridge.rsl
denied Chain recovery-2 approve --key r.key 3.bridge.rsl
step recovery-2 endorse --key r.key 3.bridge.rsl
carry recovery-2 recovery-1 3.bridge.rsl
denied Chain recovery-1 endorse --key r.key 3.bridge.rsl
step recovery-1 approve --key r.key 3.bridge.rsl
carry recovery-1 signer-3 3.bridge.rsl
carry authority signer-3 3.pem
step signer-3 possess --key 3.key 3.bridge.rsl
carry signer-3 build 3.bridge.rsl
finish 3 3.bridge.rsl
for from in 1.rsl 2.rsl; do
        expect 0 "$bundle" verify --root "$root" --recovery "$dir/build/recovery.pem" --from "$dir/build/$from" "$dir/build/gw-3.rsb"
done
refused Chain "$bundle" verify --root "$root" --from "$dir/build/2.rsl" "$dir/build/gw-3.rsb"

# the wrong order of the recovery keys is a bridge that no device takes
step build "${bridge[@]}" --endorser r1.pem --endorser2 r2.pem -o 3.wrong.rsl
carry build recovery-1 3.wrong.rsl
step recovery-1 endorse --key r.key 3.wrong.rsl
carry recovery-1 recovery-2 3.wrong.rsl
step recovery-2 approve --key r.key 3.wrong.rsl
carry recovery-2 signer-3 3.wrong.rsl
step signer-3 possess --key 3.key 3.wrong.rsl
expect 0 "$bundle" attach --link "$dir/signer-3/3.wrong.rsl" -o "$dir/wrong.rsb" "$dir/build/gw-3.rsb"
refused Chain "$bundle" verify --root "$root" --recovery "$dir/build/recovery.pem" --from "$dir/build/2.rsl" "$dir/wrong.rsb"

# -- level 2: the Name of the index is in the link -------------------------------------------------------------------
denied InvalidArgument build "${bridge[@]}" --endorser r2.pem --endorser2 r1.pem --level2 -o x.rsl
step build "${bridge[@]}" --endorser r2.pem --endorser2 r1.pem --level2 --recovery recovery.pem -o l2.rsl
[ "$(dd if="$dir/build/l2.rsl" bs=1 skip=176 count=34 status=none | tr -d '\0' | wc -c)" -gt 20 ] || fail "no Name in an L2 link"

# -- a trust set by two roots, each on its machine -------------------------------------------------------------------
mkdir "$dir/root-1" "$dir/root-2"
cp "$pki"/firmware/root.{pem,key} "$dir/root-1"
cp "$pki"/firmware/root2.{pem,key} "$dir/root-2"
cp "$pki"/firmware/roots.pem "$pki"/source/root.pem "$dir/build"
cp "$pki"/firmware/roots.pem "$pki"/recovery/recovery.pem "$dir/root-1"
set=(trust-set --line gw --set-version 1 --quorum 2 --firmware roots.pem --recovery recovery.pem --cert root.pem)
denied 'InvalidArgument|Certificate|Signature|Config' root-1 "${set[@]}" --key "$dir/root-2/root2.key" -o x.rts
step root-1 "${set[@]}" --key root.key -o v1.rts
carry root-1 root-2 v1.rts
denied 'InvalidArgument|Certificate|Signature|Config' root-2 countersign --cert root2.pem --key "$dir/root-1/root.key" v1.rts
denied InvalidArgument root-2 countersign --cert "$dir/root-1/root.pem" --key "$dir/root-1/root.key" v1.rts
step root-2 countersign --cert root2.pem --key root2.key v1.rts
shows 'trust set +version 1, line gw, quorum 2$'
expect 0 on root-2 "$bundle" ceremony show v1.rts
openssl cms -verify -inform DER -in "$dir/root-2/v1.rts" -CAfile "$pki/firmware/roots.pem" -purpose any -out "$dir/set.json" \
        2>"$dir/log" || fail "openssl refuses the trust set: $(cat "$dir/log")"
[ "$(jq -r '[.version, .quorum, (.firmware | length), (.recovery | length)] | join(" ")' "$dir/set.json")" = '1 2 3 3' ] ||
        fail "trust set: $(cat "$dir/set.json")"

# -- files that are none, options that are wrong ---------------------------------------------------------------------
denied Chain build show root.pem
denied Io build show nothing.rsl
denied Config authority "${certify[@]}" --public authority.key --release 3 -o x.pem
denied Config signer-3 possess --key nothing.key 3.wrong.rsl
expect 2 "$bundle" ceremony
expect 2 "$bundle" ceremony pray
expect 2 "$bundle" ceremony certify --release 3
expect 2 "$bundle" ceremony show --release 3 x
expect 2 "$bundle" ceremony show
expect 2 "$bundle" ceremony certify --release none
expect 0 "$bundle" ceremony --help
expect 0 "$bundle" ceremony draft --help
