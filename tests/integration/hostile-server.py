#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An HTTPS server that misbehaves as its path says, on loopback, for tests of room source.

hostile-server.py PORT-FILE FILE CERT KEY [CLIENT-CA] [plain|tls12]   serves FILE, writes the port it got to PORT-FILE

FILE may be a directory: then /stall/NAME is its file NAME, given as below, and /NAME is /good/NAME.

/good            ranges, ETag, as it should be            /die           drops the connection every 100000 bytes
/die-always      never gives more than 1000 bytes         /stall         gives 70000 bytes, then nothing
/trickle         a byte every 100 ms                      /short         206 with fewer bytes than it announces
/cut-range       206 for half of what was asked           /shift-range   206 for another place
/ignore-range    200 with everything                      /too-long      206 announcing more than the range
/endless         206 without length, never ends           /no-validator  neither ETag nor Last-Modified
/weak            weak ETag and nothing else               /gzip          Content-Encoding: gzip
/changes-200     another ETag and 200 from the second request on
/changes-206     another ETag in a 206                    /shrinks       416 from the second request on
/changes-size    another total                            /two-ranges    Content-Range twice
/big-head        headers without end                      /not-http      bytes that are no HTTP
/http09          a body without a head                    /status-N      status N;  /status-N-once  the first time only
/redirect?URL    302 to URL                               /loop          302 to itself
/refused         400 with nginx's words about certificates
/log             what was asked so far, one line per request
"""

import http.server
import os
import ssl
import sys
import threading
import time

DIRECTORY = sys.argv[2] if os.path.isdir(sys.argv[2]) else None
CONTENT = b'' if DIRECTORY else open(sys.argv[2], 'rb').read()
seen = {}
log = []
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    content = CONTENT

    def log_message(self, *args):
        pass

    def asked(self):
        """(first, last) of the Range field, or None."""
        value = self.headers.get('Range', '')
        if not value.startswith('bytes='):
            return None
        first, last = value[6:].split('-')
        return int(first), min(int(last) if last else len(self.content) - 1, len(self.content) - 1)

    def answer(self, status, body, etag='"one"', total=None, place=None, length=None, extra=()):
        self.send_response(status)
        if etag:
            self.send_header('ETag', etag)
        if place:
            self.send_header('Content-Range', f'bytes {place[0]}-{place[1]}/{total or len(self.content)}')
        for name, value in extra:
            self.send_header(name, value)
        if length is not False:
            self.send_header('Content-Length', str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.close_connection = True
        self.wfile.flush()

    def do_GET(self):
        path, _, query = self.path.partition('?')
        if DIRECTORY:
            path, _, name = path.rpartition('/')
            path = path or '/good'
            try:
                self.content = open(os.path.join(DIRECTORY, name), 'rb').read()
            except OSError:
                return self.answer(404, b'no')
        with lock:
            n = seen[path] = seen.get(path, 0) + 1
            log.append(f'{self.path} {self.headers.get("Range", "-")} {self.headers.get("If-Range", "-")}')
        if path == '/log':
            return self.answer(200, ('\n'.join(log) + '\n').encode())
        if path == '/redirect':
            return self.answer(302, b'', extra=[('Location', query)])
        if path == '/loop':
            return self.answer(302, b'', extra=[('Location', '/loop')])
        if path == '/refused':
            return self.answer(400, b'<html>400 No required SSL certificate was sent</html>')
        if path.startswith('/status-'):
            status, _, once = path[8:].partition('-')
            if not once or n == 1:
                extra = [('Retry-After', '1')] if once else []
                return self.answer(int(status), b'no', extra=extra)
        asked = self.asked()
        if asked is None:
            return self.answer(200, self.content)
        name = path[1:].replace('-', '_')
        getattr(self, 'do_' + name, self.good)(asked, n)

    def good(self, asked, n):
        first, last = asked
        if first > last:
            return self.answer(416, b'')
        self.answer(206, self.content[first:last + 1], place=asked)

    def do_die(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1][:100000], place=asked, length=last - first + 1)
        self.drop()

    def do_die_always(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1][:1000] if n > 1 else self.content[first:last + 1], place=asked,
                    length=last - first + 1)
        if n > 1:
            self.drop()

    def do_stall(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1][:70000], place=asked, length=last - first + 1)
        time.sleep(30)
        self.drop()

    def do_trickle(self, asked, n):
        first, last = asked
        self.answer(206, b'', place=asked, length=last - first + 1)
        try:
            for b in range(300):
                self.wfile.write(self.content[first + b:first + b + 1])
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass
        self.drop()

    def do_short(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last], place=asked)

    def do_cut_range(self, asked, n):
        first, last = asked
        last = (first + last) // 2
        self.answer(206, self.content[first:last + 1], place=(first, last))

    def do_shift_range(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first + 1:last + 2], place=(first + 1, last + 1))

    def do_ignore_range(self, asked, n):
        self.answer(200, self.content)

    def do_too_long(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1] + b'more', place=asked)

    def do_endless(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, length=False, extra=[('Connection', 'close')])
        try:
            while True:
                self.wfile.write(b'x' * 65536)
        except OSError:
            self.close_connection = True

    def do_no_validator(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, etag=None)

    def do_weak(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, etag='W/"one"')

    def do_gzip(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, extra=[('Content-Encoding', 'gzip')])

    def do_changes_200(self, asked, n):
        if n == 1:
            return self.good(asked, n)
        self.answer(200, self.content, etag='"two"')

    def do_changes_206(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, etag='"one"' if n == 1 else '"two"')

    def do_changes_size(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, total=len(self.content) + (n > 1))

    def do_shrinks(self, asked, n):
        if n == 1:
            return self.good(asked, n)
        self.answer(416, b'')

    def do_two_ranges(self, asked, n):
        first, last = asked
        self.answer(206, self.content[first:last + 1], place=asked, extra=[('Content-Range', 'bytes 0-1/2')])

    def do_big_head(self, asked, n):
        self.wfile.write(b'HTTP/1.1 206 Partial Content\r\n')
        try:
            for i in range(5000):
                self.wfile.write(b'X-Filler: ' + b'y' * 100 + b'\r\n')
        except OSError:
            pass
        self.drop()

    def do_not_http(self, asked, n):
        self.wfile.write(b'\x00\x01\x02\x03 this is no HTTP\r\n\r\n')
        self.drop()

    def do_http09(self, asked, n):
        self.wfile.write(self.content[:1000])
        self.drop()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what these tests are about


def main():
    _, port_file, _, cert, key, *rest = sys.argv
    server = Server(('127.0.0.1', 0), Handler)
    if 'plain' not in rest:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if 'tls12' in rest:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(cert, key)
        ca = [r for r in rest if r not in ('tls12', 'plain')]
        if ca:
            context.load_verify_locations(ca[0])
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with open(port_file + '.new', 'w', encoding='ascii') as f:
        f.write(str(server.server_port))
    os.rename(port_file + '.new', port_file)
    server.serve_forever()


main()
