#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Room source against a real nginx and against a server that misbehaves on purpose (T3 to T6, S36).
set -euo pipefail

root=${SOURCE_ROOT:-$(dirname "$(readlink -f "$0")")/../..}
build=${BUILD_ROOT:-$root/build}
fetch=$build/tests/integration/fetch
here=$root/tests/integration
work=$(mktemp -d /tmp/reseal-source.XXXXXX)
pids=()
clean() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for tool in nginx openssl python3; do
    command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 77; }
done

n_passed=0 n_failed=0
# expect NAME WANT ARGUMENTS...: WANT is "ok" (the whole file arrived) or a reason, perhaps with words of its text
expect() {
    local name=$1 want=$2 out
    shift 2
    out=$("$fetch" --retries 2 --retry-ms 20 "${trust[@]}" "$@" 2>"$work/stderr") || true
    [ "$want" != ok ] || want="ok $size $sha"
    case $out in
        "$want"*) n_passed=$((n_passed + 1)) ;;
        *) n_failed=$((n_failed + 1)); echo "FAILED: $name: expected '$want', got '$out'"; cat "$work/stderr" ;;
    esac
}

"$root/tests/fixtures/make-pki.sh" "$work/pki" >/dev/null
pki=$work/pki
head -c 700001 /dev/urandom >"$work/file.rsb"
size=$(stat -c %s "$work/file.rsb") sha=$(sha256sum "$work/file.rsb" | cut -d' ' -f1)
trust=(--anchors "$pki/source/root.pem" --cert "$pki/device/one-identity.pem" --key "$pki/device/one-identity.key")

# -- nginx ------------------------------------------------------------------------------------------------------------

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# nginx_up NAME CERT: serves $work/www with this certificate and sets url
nginx_up() {
    local name=$1 cert=$2 port i
    port=$(port)
    mkdir -p "$work/$name" "$work/www"
    cat >"$work/$name.conf" <<END
daemon off; pid $work/$name/pid; error_log $work/$name/error.log; worker_processes 1;
events { worker_connections 64; }
http {
    access_log $work/$name/access.log; client_body_temp_path $work/$name/1; proxy_temp_path $work/$name/2;
    fastcgi_temp_path $work/$name/3; uwsgi_temp_path $work/$name/4; scgi_temp_path $work/$name/5;
    server {
        listen 127.0.0.1:$port ssl; root $work/www; ssl_protocols TLSv1.3;
        ssl_certificate $cert.pem; ssl_certificate_key $cert.key;
        ssl_client_certificate $pki/device/ca.pem; ssl_verify_client on;
        location /forbidden/ { return 403; }
    }
}
END
    [ "$(id -u)" != 0 ] || sed -i '1i user root;' "$work/$name.conf"
    nginx -c "$work/$name.conf" -p "$work/$name" 2>"$work/$name/stderr" &
    pids+=($!)
    for i in $(seq 1200); do
        [ -s "$work/$name/pid" ] && break
        sleep 0.05
    done
    url=https://localhost:$port
}

mkdir -p "$work/www"
cp "$work/file.rsb" "$work/www/"
: >"$work/www/empty"
nginx_up good "$pki/source/server"
good=$url
expect 'a file over mutual TLS arrives whole' ok open "$url/file.rsb"
expect 'a listed host may be asked' ok --host localhost open "$url/file.rsb"
expect 'what is not there is NotFound' 'NotFound' open "$url/nothing"
expect 'what is not permitted is Entitle' 'Entitle' open "$url/forbidden/x"
expect 'a file larger than its cap is TooMuch' 'TooMuch' get "$url/file.rsb"
expect 'an empty file is no bundle' 'Http' open "$url/empty"
expect 'a host that is not listed is refused' 'Policy' --host elsewhere.example open "$url/file.rsb"
touch -d '2 days ago' "$work/www/file.rsb"
expect 'a file replaced after the first request is SourceChanged' 'SourceChanged' \
    --pause-after-open "head -c 700001 /dev/zero >$work/www/file.rsb" open "$url/file.rsb"
cp "$work/file.rsb" "$work/www/"
expect 'plain http is refused without a connection' 'Scheme' open "http://localhost:1/file.rsb"
expect 'another scheme is refused' 'Scheme' open "file:///etc/passwd"
expect 'a user name in the address is refused' 'InvalidArgument' open "https://me@localhost/file.rsb"
expect 'nobody at the other end is Connect' 'Connect' open "https://localhost:1/file.rsb"
http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 \
    expect 'proxy variables are not looked at' ok open "$url/file.rsb"

trust=(--anchors "$pki/source/root.pem")
expect 'without a client certificate the server refuses' 'AuthDevice' open "$good/file.rsb"
for bad in client-expired client-other; do
    trust=(--anchors "$pki/source/root.pem" --cert "$pki/bad/$bad.pem" --key "$pki/bad/$bad.key")
    expect "the server refuses $bad" 'AuthDevice' open "$good/file.rsb"
done
trust=(--anchors "$pki/source/root.pem" --cert "$pki/device/one-identity.pem" --key "$pki/device/two-identity.key")
expect 'a certificate of another key is NotProvisioned' 'NotProvisioned' open "$good/file.rsb"

trust=(--anchors "$pki/firmware/root.pem" --cert "$pki/device/one-identity.pem" --key "$pki/device/one-identity.key")
expect 'a server under another root is AuthSource' 'AuthSource' open "$good/file.rsb"
# the system's store, as OpenSSL and curl would find it by environment: all of them trust the server's root
mkdir "$work/certs"
cp "$pki/source/root.pem" "$work/certs/$(openssl x509 -noout -hash -in "$pki/source/root.pem").0"
SSL_CERT_DIR=$work/certs SSL_CERT_FILE=$pki/source/root.pem CURL_CA_BUNDLE=$pki/source/root.pem \
    expect 'a server that only the system trusts is refused' 'AuthSource' open "$good/file.rsb"
trust=(--anchors "$pki/source/root.pem" --cert "$pki/device/one-identity.pem" --key "$pki/device/one-identity.key")
for bad in expired:Expired purpose:Purpose other:Certificate name: ; do
    nginx_up "server-${bad%%:*}" "$pki/bad/server-${bad%%:*}"
    expect "a server with certificate ${bad%%:*} is refused" "AuthSource ${bad#*:}" open "$url/file.rsb"
done
nginx_up ticket "$pki/source/ticket"
expect 'a ticket signer cannot pose as a server' 'AuthSource Purpose' open "$url/file.rsb"
[ "$(cat "$work"/server-*/access.log | wc -l)" = 0 ] || { echo "FAILED: a request was sent to a server that is not trusted"; n_failed=1; }

# -- hostile ----------------------------------------------------------------------------------------------------------

# hostile_up NAME [words of hostile-server.py]
hostile_up() {
    local name=$1 i
    shift
    python3 "$here/hostile-server.py" "$work/$name.port" "$work/file.rsb" "$pki/source/server.pem" "$pki/source/server.key" "$@" &
    pids+=($!)
    for i in $(seq 1200); do
        [ -s "$work/$name.port" ] && break
        sleep 0.05
    done
    url=https://localhost:$(cat "$work/$name.port")
}

hostile_up h "$pki/device/ca.pem"
expect 'the hostile server can be good' ok open "$url/good"
expect 'dropped connections are resumed' ok --retries 9 open "$url/die"
expect 'a server that always drops ends as Truncated' 'Truncated' open "$url/die-always"
expect 'a stall is Slow' 'Slow' --low-speed-ms 300 --retries 1 open "$url/stall"
expect 'a trickle is Slow' 'Slow' --low-speed-ms 400 --low-speed 1000 --retries 0 open "$url/trickle"
expect 'the deadline ends everything' 'Slow' --deadline-ms 500 open "$url/trickle"
expect 'a short body is Truncated' 'Truncated' open "$url/short"
expect 'a cut range is refused' 'Http' open "$url/cut-range"
expect 'a shifted range is refused' 'Http' open "$url/shift-range"
expect 'a server that ignores ranges is refused' 'Http the server ignores ranges' open "$url/ignore-range"
expect 'more bytes than announced by the range are refused' 'TooMuch' open "$url/too-long"
expect 'an endless body is cut off' 'TooMuch' open "$url/endless"
expect 'a file without validator is refused' 'Http' open "$url/no-validator"
expect 'a weak validator is none' 'Http' open "$url/weak"
expect 'content encoding is refused' 'Http' open "$url/gzip"
expect 'another version as 200 is SourceChanged' 'SourceChanged' open "$url/changes-200"
expect 'another version as 206 is SourceChanged' 'SourceChanged' open "$url/changes-206"
expect 'another size is SourceChanged' 'SourceChanged' open "$url/changes-size"
expect 'a file that shrinks is SourceChanged' 'SourceChanged' open "$url/shrinks"
expect 'two ranges in one answer are refused' 'Http' open "$url/two-ranges"
expect 'a head without end is cut off' 'TooMuch' open "$url/big-head"
expect 'bytes that are no HTTP are refused' 'Http' open "$url/not-http"
expect 'HTTP 0.9 is refused' 'Http' open "$url/http09"
expect 'nginx refusing the certificate is AuthDevice' 'AuthDevice' open "$url/refused"
for pair in 401:AuthDevice 403:Entitle 404:NotFound 410:NotFound 412:SourceChanged 500:Http 418:Http; do
    expect "status ${pair%:*} is ${pair#*:}" "${pair#*:} " open "$url/status-${pair%:*}"
done
expect 'a server that is busy once is asked again' ok open "$url/status-503-once"
expect 'a pause behind the deadline names what it was for' \
    'Slow the next attempt would come after the deadline; the last: Http: status 503' \
    --deadline-ms 2000 --retry-ms 20000 open "$url/status-503"
expect 'cancelled while waiting' 'Cancelled' --cancel-ms 200 open "$url/stall"
expect 'cancelled between two attempts' 'Cancelled' --cancel-ms 200 --retry-ms 20000 open "$url/status-503"

expect 'a redirect on the same host is followed' ok open "$url/redirect?/good"
expect 'a redirect to http is refused' 'Redirect' open "$url/redirect?http://localhost:1/good"
expect 'a redirect to another host is refused' 'Redirect to the host 127.0.0.1' \
    open "$url/redirect?https://127.0.0.1:${url##*:}/good"
expect 'a redirect to a listed host is followed' ok --host localhost --host 127.0.0.1 \
    open "$url/redirect?https://127.0.0.1:${url##*:}/good"
expect 'a redirect to a file is refused' 'Redirect' open "$url/redirect?file:///etc/passwd"
expect 'redirects without end are refused' 'Redirect' open "$url/loop"

hostile_up tls12 tls12
expect 'TLS 1.2 is refused' 'AuthSource' open "$url/good"
hostile_up plain plain
expect 'a server without TLS is refused' 'AuthSource' open "$url/good"

echo "$n_passed passed, $n_failed failed"
[ $n_failed = 0 ]
