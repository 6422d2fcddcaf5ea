# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# source - the other side: three PKIs, bundles, and a static nginx that asks for client certificates.
#
#   rig_pki                        PKI=$RIG/pki, see tests/fixtures/make-pki.sh
#   rig_bundle FILE RELEASE IMAGE [reseal-bundle build options]
#                                  builds and encrypts; the signer gets its place in the chain (tests/fixtures/release.sh), or
#                                  RIG_SIGNER names one without a place
#   rig_publish FILE               bundle and ticket for this device into what nginx serves
#   rig_source_config              writes nginx.conf (from conf/nginx/reseal.conf) and the document root; before rig_device_start
#   rig_sign FILE                  what rig_bundle does last
#   rig_tsa_url                    where the device has its time proven
#   rig_url NAME                   where the device finds NAME

# shellcheck source=tests/fixtures/release.sh
. "$SOURCE_ROOT/tests/fixtures/release.sh"

RIG_PORT=8443
RIG_LINE=demo-gateway
RIG_COMPATIBLE=demo-board

rig_pki() {
        PKI=$RIG/pki
        quiet "$SOURCE_ROOT/tests/fixtures/make-pki.sh" "$PKI"
}

# A program as it is installed on the device, run here (the release engineer's and the source's side).
rig_program() {
        local program=$1
        shift
        "$RIG/ov/dest/usr/bin/$program" "$@"
}

rig_bundle() {
        local file=$1 release=$2 image=$3 envelope=() signing=(--no-sign)
        shift 3
        [[ " $* " = *" --no-encrypt "* ]] || envelope=(--transport-cert "$PKI/source/transport.pem")
        [ -z "${RIG_SIGNER:-}" ] || signing=(--cert "$PKI/$RIG_SIGNER.pem" --key "$PKI/$RIG_SIGNER.key" --chain "$PKI/firmware/chain.pem")
        rig_program reseal-bundle build --line "$RIG_LINE" --compatible "$RIG_COMPATIBLE" --release "$release" \
                --version "1.$release" --image "rootfs=$image" "${signing[@]}" "${envelope[@]}" --level "${RIG_LEVEL:-3}" \
                --output "$file" "$@" || return 1
        [ -n "${RIG_SIGNER:-}" ] || rig_sign "$file"
}

rig_sign() { # FILE, built with --no-sign
        RESEAL_BUNDLE=$RIG/ov/dest/usr/bin/reseal-bundle
        release_sign "$PKI" "$1"
}

rig_publish() { # FILE [reseal-source options]
        local file=$1
        shift
        quiet rig_program reseal-source publish --bundle "$file" --www "$RIG/srv/www/bundles" \
                --transport-key "$PKI/source/transport.key" --transport-cert "$PKI/source/transport.pem" \
                --ticket-key "$PKI/source/ticket.key" --ticket-cert "$PKI/source/ticket.pem" \
                --firmware-root "$PKI/firmware/root.pem" --device-ca "$PKI/device/ca.pem" \
                --source-root "$PKI/source/root.pem" "$@" --device "$RIG/unwrap.pem"
}

rig_source_config() {
        local srv=$RIG/srv
        mkdir -p "$srv/www/bundles"
        cp "$PKI/source/server.pem" "$srv/server.pem"
        cp "$PKI/device/ca.pem" "$srv/device-ca.pem"
        install -m 640 -g "$(_rig_id group www-data)" "$PKI/source/server.key" "$srv/server.key"
        sed -e "s,listen 443 ssl,listen 127.0.0.1:$RIG_PORT ssl," -e 's,server_name .*,server_name localhost;,' \
                -e 's,/etc/reseal-source/,/srv/source/,' -e 's,root /srv/reseal;,root /srv/source/www;,' \
                -e 's,^        location / {,        location = /tsa { proxy_pass http://unix:/run/rig-tsa/sock; }\n&,' \
                "$SOURCE_ROOT/conf/nginx/reseal.conf" >"$srv/reseal.conf"
        {
                echo 'pid /run/rig-source/pid; error_log stderr warn; worker_processes 1; events { worker_connections 64; }'
                echo 'http { access_log off; sendfile on;'
                for part in client_body proxy fastcgi uwsgi scgi; do echo "${part}_temp_path /run/rig-source/$part;"; done
                echo 'include /srv/source/reseal.conf; }'
        } >"$srv/nginx.conf"
        _rig_tsa_config
}

# The time-stamp authority: openssl ts behind nginx, with the same certificates as the source.
_rig_tsa_config() {
        local tsa=$RIG/srv/tsa
        mkdir -p "$tsa"
        cp "$SOURCE_ROOT/tests/rig/tsa.py" "$PKI/time/tsa.pem" "$PKI/time/root.pem" "$tsa/"
        install -m 640 -g "$(_rig_id group www-data)" "$PKI/time/tsa.key" "$tsa/tsa.key"
        sed -e "s,$PKI/time/tsa.serial,/run/rig-tsa/serial," -e "s,$PKI/time/,/srv/source/tsa/,"  "$PKI/time/tsa.cnf" >"$tsa/tsa.cnf"
}

rig_tsa_url() {
        echo "https://localhost:$RIG_PORT/tsa"
}

rig_url() {
        echo "https://localhost:$RIG_PORT/bundles/$1"
}
