# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Sourced after bus.sh: a provisioned device with slots in files, and its source, as plain processes of this user.
# Quicker and smaller than tests/rig (no container, no units); what units and users add is tested there.

# shellcheck source=tests/fixtures/release.sh
. "$root/tests/fixtures/release.sh"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_path() { # until the file or socket is there
    local i
    for i in $(seq 1200); do
        [ -e "$1" ] && return 0
        sleep 0.05
    done
    echo "$1 does not appear"
    return 1
}

tpm_up() { # $tpm is its pid
    local d=$work/dev
    rm -f "$d/tpm/s" "$d/tpm/s.ctrl"
    swtpm socket --tpm2 --tpmstate dir="$d/tpm" --server type=unixio,path="$d/tpm/s" \
        --ctrl type=unixio,path="$d/tpm/s.ctrl" --flags not-need-init,startup-clear >/dev/null 2>&1 &
    tpm=$!
    pids+=("$tpm")
    wait_path "$d/tpm/s"
}
tpm_down() {
    kill "$tpm"
    wait "$tpm" 2>/dev/null || true
}

# device_up: $work/dev with TPM, keys, certificates, slots A (running) and B, writer and daemon configuration
device_up() {
    local d=$work/dev
    mkdir -p "$d/tpm" "$d/state" "$d/boot" "$d/csr"
    mkdir -m 700 "$d/writer"
    tpm_up
    printf '[tpm]\ntcti = swtpm:path=%s\nshared = no\nlock = %s\n' "$d/tpm/s" "$d/tpm.lock" >"$d/tpm.conf"
    {
        cat "$d/tpm.conf"
        printf '[source]\nanchors = %s\nretries = 3\n' "$work/pki/source/root.pem"
        printf '[writer]\nsocket = %s\n[daemon]\nstate-directory = %s\nkeys-directory = %s\nfirmware-anchors = %s\n' \
            "$d/writer.sock" "$d/state" "$d/state/keys" "$work/pki/firmware/root.pem"
    } >"$work/dev.conf"
    "${PROVISION:-$build/src/provision/reseal-provision}" init --config "$work/dev.conf" --state-dir "$d/state" \
        --writer-state-dir "$d/writer" --device-serial GW-1 --line gateway --csr-out "$d/csr" --escrow "$d/escrow" \
        --receipt "$d/receipt" "${provision_options[@]}" >"$d/provision.log" 2>&1 || { cat "$d/provision.log"; return 1; }
    local pki=$root/tests/fixtures/make-pki.sh
    "$pki" sign-device "$work/pki" identity "$d/csr/identity.csr" "$d/identity.pem" >/dev/null
    "$pki" sign-device "$work/pki" unwrap "$d/csr/unwrap.pub" "$d/unwrap.pem" GW-1 >/dev/null
    "${PROVISION:-$build/src/provision/reseal-provision}" certs --state-dir "$d/state" --identity "$d/identity.pem" \
        --unwrap "$d/unwrap.pem" >>"$d/provision.log" 2>&1 || { cat "$d/provision.log"; return 1; }

    truncate -s 64M "$d/slot-a" "$d/slot-b"
    printf 'slot=A\n' >"$d/booted"
    grub-editenv "$d/boot/grubenv" create
    grub-editenv "$d/boot/grubenv" set 'ORDER=A B' A_OK=1 A_TRY=0 B_OK=0 B_TRY=0
    cp "$d/boot/grubenv" "$d/boot/grubenv.good"
    {
        cat "$d/tpm.conf"
        printf '[device]\nline = gateway\ncompatible = board\n[trust]\nfirmware-root = %s\nsource-root = %s\n' \
            "$work/pki/firmware/root.pem" "$work/pki/source/root.pem"
        printf '[paths]\nstate = %s\nbooted = %s\n[server]\nclient-user = %s\n' "$d/writer" "$d/booted" "$(id -un)"
        printf '[boot]\nbackend = grub\npath = %s\ngood-path = %s\nnames = A B\n' "$d/boot/grubenv" "$d/boot/grubenv.good"
        for s in a b; do
            printf '[slot rootfs.%s]\nclass = rootfs\nboot-name = %s\ndevice = %s\ntype = luks2\n' $s ${s^} "$d/slot-$s"
        done
    } >"$d/writer.conf"
    chmod 644 "$work/dev.conf" "$d/writer.conf"
}

writer_up() {
    rm -f "$work/dev/writer.sock"
    # no leak check in a process that may not be traced
    systemd-socket-activate --seqpacket --listen="$work/dev/writer.sock" -E ASAN_OPTIONS=detect_leaks=0 \
        "$build/src/writer/reseal-writer" --config "$work/dev/writer.conf" 2>>"$work/writer.log" &
    writer=$!
    pids+=("$writer")
    wait_path "$work/dev/writer.sock"
}

# bundle NAME RELEASE IMAGE [options]: built, signed, encrypted, published with the device's ticket
bundle() {
    local name=$1 release=$2 image=$3 pki=$work/pki
    shift 3
    "$build/src/bundle/reseal-bundle" build --line gateway --compatible board --release "$release" --version "1.$release" \
        --image "rootfs=$image" --no-sign --transport-cert "$pki/source/transport.pem" --level 3 --quiet \
        --output "$work/$name" "$@"
    RESEAL_BUNDLE=$build/src/bundle/reseal-bundle release_sign "$pki" "$work/$name"
    "$build/src/source-server/reseal-source" publish --bundle "$work/$name" --www "$work/www" \
        --transport-key "$pki/source/transport.key" --transport-cert "$pki/source/transport.pem" \
        --ticket-key "$pki/${TICKET:-source/ticket}.key" --ticket-cert "$pki/${TICKET:-source/ticket}.pem" \
        --device-ca "$pki/device/ca.pem" --flat --device "$work/dev/unwrap.pem" >/dev/null
}

# source_up [DIRECTIVES]: nginx with client certificates required; sets $url; $SERVER names another certificate
source_up() {
    local port
    port=$(free_port)
    mkdir -p "$work/nginx" "$work/www"
    rm -f "$work/nginx/pid"
    cat >"$work/nginx.conf" <<END
daemon off; pid $work/nginx/pid; error_log $work/nginx/error.log; worker_processes 1;
events { worker_connections 64; }
http {
    access_log $work/nginx/access.log; client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2;
    fastcgi_temp_path $work/nginx/3; uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
    server {
        listen 127.0.0.1:$port ssl; root $work/www; ssl_protocols TLSv1.3;
        ssl_certificate $work/pki/${SERVER:-source/server}.pem; ssl_certificate_key $work/pki/${SERVER:-source/server}.key;
        ssl_client_certificate $work/pki/device/ca.pem; ssl_verify_client on; ${1:-}
        location /slow/ { alias $work/www/; limit_rate 2m; }
    }
}
END
    [ "$(id -u)" != 0 ] || sed -i '1i user root;' "$work/nginx.conf"
    nginx -c "$work/nginx.conf" -p "$work/nginx" 2>"$work/nginx/stderr" &
    nginx=$!
    pids+=("$nginx")
    wait_path "$work/nginx/pid"
    url=https://localhost:$port
}
source_down() {
    kill "$nginx"
    wait "$nginx" 2>/dev/null || true
}
