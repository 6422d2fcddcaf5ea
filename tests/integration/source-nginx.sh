#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# conf/nginx/reseal.conf as it is shipped, but for addresses and paths: who gets what.  The other device, certificates of
# other purposes, names that pretend (kind: the source asks nobody who he is).
. "$(dirname "$0")/bundle-fixture.sh"
need nginx openssl curl

nginx_pid=
trap '[ -z "$nginx_pid" ] || kill "$nginx_pid" || true; rm -rf "$dir"' EXIT
source=$BUILD_ROOT/src/source-server/reseal-source
device_id() { openssl x509 -in "$1" -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1; }

"$SOURCE_ROOT/tests/fixtures/make-pki.sh" signer "$pki" 7 2 gw -
build "$dir/gw-7.rsb" --cert "$pki/firmware/signer-7.pem" --key "$pki/firmware/signer-7.key" --chain "$pki/firmware/chain.pem" \
        "${encrypting[@]}"
expect 0 "$source" publish --bundle "$dir/gw-7.rsb" --www "$dir/www" "${opening[@]}" --ticket-key "$pki/source/ticket.key" \
        --ticket-cert "$pki/source/ticket.pem" --device-ca "$pki/device/ca.pem" --device "$pki"/device/{one,two}-unwrap.pem
id=$("$bundle" info "$dir/gw-7.rsb" | awk '$1 == "id" {print $2}')
one=$(device_id "$pki/device/one-unwrap.pem")
two=$(device_id "$pki/device/two-unwrap.pem")

# certificates that the device CA might have issued: with SUBJECT's name, for the key of device one
named() { # NAME SUBJECT KIND
        openssl x509 -in "$pki/device/one-$3.pem" -pubkey -noout >"$dir/public"
        SUBJECT=$2 "$SOURCE_ROOT/tests/fixtures/make-pki.sh" sign-device "$pki" "$3" "$dir/public" "$dir/$1.pem"
        cp "$pki/device/one-$3.key" "$dir/$1.key"
}
named nameless '/CN=two' identity
named comma '/CN=x,serialNumber=two' identity
named plus '/O=x+serialNumber=two,CN=y' identity
named inside '/CN=serialNumber=two' identity
named slash '/CN=x/serialNumber=two\/..' identity
named other '/CN=x/serialNumber=two' identity

# openssl's words for what is wrong with a socket in use: nginx binds, so let it choose among a few
www=$dir/www
mkdir "$dir/nginx"
chmod 755 "$dir"
for port in $(shuf -i 20000-29999 -n 20); do
        sed -e "s,listen 443 ssl,listen 127.0.0.1:$port ssl," -e "s,/etc/reseal-source/server,$pki/source/server," \
                -e "s,/etc/reseal-source/device-ca.pem,$pki/device/ca.pem," -e "s,root /srv/reseal;,root $www;," \
                "$SOURCE_ROOT/conf/nginx/reseal.conf" >"$dir/reseal.conf"
        {
                [ "$(id -u)" != 0 ] || echo 'user root;'
                echo "daemon off; pid $dir/nginx/pid; error_log $dir/nginx/error.log info; worker_processes 1; events { }"
                echo "http { access_log $dir/nginx/access.log;"
                for part in client_body proxy fastcgi uwsgi scgi; do echo "${part}_temp_path $dir/nginx/$part;"; done
                echo "include $dir/reseal.conf; }"
        } >"$dir/nginx.conf"
        nginx -c "$dir/nginx.conf" -p "$dir/nginx" 2>"$dir/nginx/stderr" &
        nginx_pid=$!
        for _ in $(seq 100); do
                [ ! -s "$dir/nginx/pid" ] && kill -0 "$nginx_pid" 2>/dev/null || break
                sleep 0.1
        done
        [ ! -s "$dir/nginx/pid" ] || break
        nginx_pid=
done
[ -n "$nginx_pid" ] || fail "nginx does not take the sample: $(cat "$dir/nginx/stderr")"

get() { # CERT PATH: the status, 000 when the handshake failed; the body in $dir/body
        rm -f "$dir/body"
        curl -s -o "$dir/body" -w '%{http_code}' --cacert "$pki/source/root.pem" --cert "$1.pem" --key "$1.key" \
                "https://localhost:$port$2" 2>"$dir/curl" || true
}
answers() { # STATUS CERT PATH WHAT
        local got
        got=$(get "$2" "$3")
        [ "$got" = "$1" ] || fail "$4: $got, not $1: $(cat "$dir/body" "$dir/nginx/error.log" 2>/dev/null)"
        echo "ok: $4: $got"
}

answers 200 "$pki/device/one-identity" /gw-7.rsb 'a device gets the bundle'
answers 200 "$pki/device/one-identity" "/tickets/$id/$one.rst" 'and its ticket'
cmp -s "$dir/body" "$www/tickets/$id/one.$one.rst" || fail "that is another file"
answers 404 "$pki/device/one-identity" "/tickets/$id/$two.rst" "not that of another device"
answers 404 "$pki/device/one-identity" "/tickets/$id/two.$two.rst" "nor by the name of the file"
answers 404 "$pki/device/one-identity" "/tickets/$id/one.$one.rst" "not even its own"
answers 200 "$pki/device/two-identity" "/tickets/$id/$two.rst" 'the other device gets its own'
answers 404 "$pki/device/two-identity" "/tickets/$id/$one.rst" 'and not that of the first'
for name in nameless comma plus inside slash; do
        answers 403 "$dir/$name" "/tickets/$id/$two.rst" "a subject that is no device ($name)"
done
answers 200 "$dir/other" "/tickets/$id/$two.rst" 'the same certificate with that serial number'
answers 404 "$pki/device/one-identity" "/tickets/$id/../$id/two.$two.rst" 'no way around'
answers 404 "$pki/device/one-identity" "/tickets/$id/" 'no directory'
for kind in attest unwrap; do
        answers 400 "$pki/device/one-$kind" /gw-7.rsb "the certificate of the $kind key is no client"
done
for bad in client-expired client-other; do
        answers 400 "$pki/bad/$bad" /gw-7.rsb "$bad"
done
echo "source-nginx: all good"
