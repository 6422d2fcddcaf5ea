#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tsa.py SOCKET CONFIG: a time-stamp authority (RFC 3161): answers POST by `openssl ts -reply`; TLS is what stands before it."""
import http.server
import os
import socketserver
import subprocess
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.0'

    def address_string(self):  # a socket in the file system has none
        return 'peer'

    def do_POST(self):
        size = int(self.headers.get('Content-Length', 0))
        if self.headers.get('Content-Type') != 'application/timestamp-query' or not 0 < size < 4096:
            self.send_error(400)
            return
        with open('query', 'wb') as f:
            f.write(self.rfile.read(size))
        done = subprocess.run(['openssl', 'ts', '-reply', '-config', sys.argv[2], '-queryfile', 'query'],
                              stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            self.send_error(500)
            return
        self.send_response(200)
        self.send_header('Content-Type', 'application/timestamp-reply')
        self.send_header('Content-Length', str(len(done.stdout)))
        self.end_headers()
        self.wfile.write(done.stdout)


os.chdir(os.path.dirname(os.path.abspath(sys.argv[1])))
if not os.path.exists('serial'):
    with open('serial', 'w', encoding='ascii') as f:
        f.write('01\n')
socketserver.UnixStreamServer(sys.argv[1], Handler).serve_forever()
