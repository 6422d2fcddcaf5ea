#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What of the machine reaches a library: the rows of that table in docs/dependencies.md, each set as badly as it can be, at once.
# Tests that exist run on that machine and must pass as they are; a trace of every program of ours then says which files were
# looked for.  The tools beside them (openssl, nginx, swtpm ...) get a machine in order.  Mounts in a namespace of its own.
set -euo pipefail
if [ "${1:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || { echo "skipped: mounting needs root"; exit 77; }
        exec unshare -m --propagation private -- "$0" inside
fi
for tool in strace openssl swtpm nginx cryptsetup python3; do
        command -v $tool >/dev/null || { echo "skipped: $tool is missing"; exit 77; }
done
here=$(dirname "$(readlink -f "$0")")
d=$(mktemp -d /tmp/reseal-machine.XXXXXX)
trap 'rm -rf "$d"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
mkdir "$d/bin" "$d/user" "$d/written"

# -- the tools beside ours ---------------------------------------------------------------------------------------------------
: >"$d/clean.cnf"
named=(OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE https_proxy ALL_PROXY NETRC RES_OPTIONS
        LOCALDOMAIN HOSTALIASES TSS2_LOG TSS2_LOGFILE DM_DEV_DIR BLKID_FILE LIBBLKID_DEBUG SYSTEMD_LOG_LEVEL SYSTEMD_BUS_TIMEOUT)
for tool in openssl nginx swtpm swtpm_setup python3 curl busctl $(compgen -c tpm2_ | sort -u); do
        path=$(command -v "$tool") || continue
        printf '#!/bin/sh\nexec env %s OPENSSL_CONF=%s %s "$@"\n' "${named[*]/#/-u }" "$d/clean.cnf" "$path" >"$d/bin/$tool"
        chmod 755 "$d/bin/$tool"
done

# -- a bad machine -----------------------------------------------------------------------------------------------------------
# the commonest mistake: another provider activated, and with it the default one gone
other=legacy
[ ! -e "$(openssl version -m | cut -d'"' -f2)/tpm2.so" ] || other=tpm2
cat >"$d/bad.cnf" <<C
openssl_conf = top
[top]
providers = providers
alg_section = algorithms
ssl_conf = tls
[providers]
$other = on
[on]
activate = 1
[algorithms]
default_properties = fips=yes
[tls]
system_default = floor
[floor]
MaxProtocol = TLSv1.2
CipherString = DEFAULT:@SECLEVEL=5
C
mount --bind "$d/bad.cnf" "$(readlink -f "$(openssl version -d | cut -d'"' -f2)/openssl.cnf")"
printf 'machine localhost login other password other\n' >"$d/user/.netrc"
export PATH=$d/bin:$PATH HOME=$d/user OPENSSL_CONF=$d/bad.cnf OPENSSL_MODULES=$d/user OPENSSL_ENGINES=$d/user \
        SSL_CERT_FILE=$d/user/ca.pem SSL_CERT_DIR=$d/user SSLKEYLOGFILE=$d/written/tls-secrets \
        https_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 NETRC=$d/user/.netrc \
        RES_OPTIONS=attempts:0 LOCALDOMAIN=other HOSTALIASES=$d/user/aliases \
        TSS2_LOG=all+TRACE TSS2_LOGFILE=$d/written/tss.log DM_DEV_DIR=$d/user BLKID_FILE=$d/written/blkid LIBBLKID_DEBUG=all \
        SYSTEMD_LOG_LEVEL=debug SYSTEMD_BUS_TIMEOUT=1us
if [ "$(env -u OPENSSL_CONF "$(command -v -p openssl)" dgst -sha256 /dev/null 2>/dev/null)" ]; then
        fail "this openssl.cnf does nothing: stock openssl still works"
fi

# -- what exists, there ------------------------------------------------------------------------------------------------------
# TLS with the device's key in the TPM, as reseald fetches: curl, libssl, our provider and ESYS in one process
cat >"$d/tls.sh" <<'T'
#!/bin/bash
set -euo pipefail
. "$SOURCE_ROOT/tests/tpm/swtpm.sh"
w=$(mktemp -d)
trap 'swtpm_down "$w/tpm"; kill "$(cat "$w/nginx.pid")" 2>/dev/null || true; rm -rf "$w"' EXIT
mkdir "$w/tpm" "$w/csr" "$w/www"
chmod 755 "$w"
swtpm_up "$w/tpm"
printf '[daemon]\ncompatible = x\n[tpm]\ntcti = swtpm:path=%s\nshared = no\nlock = %s/lock\n' "$w/tpm/s" "$w" >"$w/conf"
chmod 644 "$w/conf"
"$BUILD_ROOT/src/provision/reseal-provision" init --config "$w/conf" --state-dir "$w/state" --writer-state-dir "$w/writer" \
        --device-serial T --csr-out "$w/csr" --escrow "$w/escrow" 2>"$w/err" || fail "provision: $(cat "$w/err")"
"$SOURCE_ROOT/tests/fixtures/make-pki.sh" "$w/pki" >/dev/null
"$SOURCE_ROOT/tests/fixtures/make-pki.sh" sign-device "$w/pki" identity "$w/csr/identity.csr" "$w/identity.pem"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$w/nginx.conf" <<END
pid $w/nginx.pid; error_log $w/error.log; events { worker_connections 16; }
http { access_log off; client_body_temp_path $w/1; proxy_temp_path $w/2; fastcgi_temp_path $w/3; uwsgi_temp_path $w/4; scgi_temp_path $w/5;
server { listen 127.0.0.1:$port ssl; root $w/www; ssl_protocols TLSv1.3; ssl_certificate $w/pki/source/server-chain.pem;
ssl_certificate_key $w/pki/source/server.key; ssl_client_certificate $w/pki/device/ca.pem; ssl_verify_client on; } }
END
[ -e "$w/pki/source/server-chain.pem" ] || sed -i s/server-chain/server/ "$w/nginx.conf"
seq 1 999 >"$w/www/file"
nginx -c "$w/nginx.conf" 2>/dev/null
cp "$w/state/keys/identity.tpm" "$w/state/keys/srk.name" "$w/"
"$BUILD_ROOT/tests/integration/fetch" --anchors "$w/pki/source/root.pem" --cert "$w/identity.pem" --key "tpm:swtpm:path=$w/tpm/s:$w" \
        get "https://localhost:$port/file" >"$w/out" || fail "TLS: $(cat "$w/out")"
grep -q '^ok' "$w/out"
T
chmod 755 "$d/tls.sh"

run() { # NAME SCRIPT
        local code=0
        timeout 240 strace -f --decode-pids=comm --seccomp-bpf -e trace=open,openat -o "$d/trace.$1" "$2" >"$d/out.$1" 2>&1 || code=$?
        case $code in
        0) echo "ok       $1" ;;
        77) echo "skipped  $1: $(tail -1 "$d/out.$1")" ;;
        *) tail -20 "$d/out.$1"; failed=1; echo "FAILED   $1 ($code)" ;;
        esac
}
failed=0
run tls "$d/tls.sh"
run bundle-sign "$here/bundle-sign.sh"
run source-tickets "$here/source-tickets.sh"
run certstore "$here/certstore.sh"
run policy-shown "$here/policy-shown.sh"
run token "$here/../tpm/token.sh"

# -- what was looked for -----------------------------------------------------------------------------------------------------
python3 - "$d" <<'P' || failed=1
import glob
import re
import sys

d = sys.argv[1]
# comm has 15 characters
OURS = {'fetch', 'reseal-bundle', 'reseal-source', 'reseal-certstor', 'reseal-provisio', 'resealctl', 'reseald', 'reseal-writer'}
ROWS = {
    'OpenSSL: openssl.cnf': r'openssl\.cnf|/bad\.cnf',
    'OpenSSL: modules of providers and engines': r'/ossl-modules/(?!legacy\.so)|/engines-3/|/user/\w+\.so',
    'OpenSSL, curl: authorities of the system': r'/etc/ssl/certs|/usr/lib/ssl/cert|/user/ca\.pem',
    'curl: TLS secrets': r'/written/tls-secrets',
    'curl: .netrc': r'\.netrc|\.curlrc',
    'resolver: aliases': r'/user/aliases',
    'ESYS: log': r'/written/tss\.log',
    'ESYS: a TPM of its own choice': r'libtss2-tcti-default|fapi-(config|profiles)|/etc/tpm2-tss',
    'libcryptsetup: tokens': r'/cryptsetup/libcryptsetup-token',
    'libblkid, libdevmapper': r'/written/blkid|/etc/blkid\.conf|/user/(mapper|control)',
    'libubootenv: its own file': r'/etc/fw_env\.config',
    'locale': r'/usr/share/locale|/usr/lib/locale',
}
seen, bad = set(), 0
found = {row: set() for row in ROWS}
for path in glob.glob(d + '/trace.*'):
    for line in open(path, errors='replace'):
        m = re.match(r'\d+<([^>]*)> +open(?:at)?\((.*)', line)
        if not m or m.group(1) not in OURS:
            continue
        seen.add(m.group(1))
        for row, pattern in ROWS.items():
            if re.search(pattern, m.group(2)):
                found[row].add((m.group(1), m.group(2)[:100]))
for row, hits in found.items():
    print('FAILED  ' if hits else 'ok      ', row)
    for program, what in sorted(hits)[:4]:
        print(f'            {program}: {what}')
    bad += bool(hits)
if seen != OURS:
    print('FAILED   not traced:', ', '.join(sorted(OURS - seen)))
    bad += 1
sys.exit(1 if bad else 0)
P
[ -z "$(ls "$d/written")" ] || { failed=1; echo "FAILED   written: $(ls "$d/written")"; }
exit $failed
