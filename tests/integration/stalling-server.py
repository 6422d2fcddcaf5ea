#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server that lets its client wait, in the phase that its argument names: stalling-server.py PORT-FILE CERT KEY PHASE

handshake  takes the connection and says nothing     head      takes the request and says nothing
interim    1xx answers without end                   slow-head a byte of the head every 50 ms
body       a head, then nothing                      trailers  a chunked body, then trailers without end
later      503, Retry-After: 3600
te-500     an error page in gzip in gzip in gzip around empty blocks: small, and long to unpack
te-206     a range in gzip: bytes that are none of the file's
"""

import gzip
import os
import socket
import ssl
import sys
import threading
import time
import zlib

PHASE = sys.argv[4]


def bomb():
    """Empty stored blocks (5 bytes each) do not end a stream and give nothing; they pack very well."""
    raw = zlib.compressobj(9, zlib.DEFLATED, 31)
    inner = b'\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff' + b'\x00\x00\x00\xff\xff' * 8_000_000
    return gzip.compress(raw.compress(inner) + raw.flush(), 9)


def forever(connection, text):
    while True:
        connection.sendall(text)
        time.sleep(0.05)


def answer(connection):
    while b'\r\n\r\n' not in connection.recv(65536):
        pass
    if PHASE == 'interim':
        forever(connection, b'HTTP/1.1 100 Continue\r\n\r\n')
    elif PHASE == 'slow-head':
        connection.sendall(b'HTTP/1.1 200 OK\r\nX-Filler: ')
        forever(connection, b'y')
    elif PHASE == 'body':
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx')
    elif PHASE == 'trailers':
        connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n')
        forever(connection, b'X-Filler: y\r\n')
    elif PHASE == 'later':
        connection.sendall(b'HTTP/1.1 503 Later\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n')
    elif PHASE == 'te-500':
        connection.sendall(b'HTTP/1.1 500 No\r\nTransfer-Encoding: gzip, gzip, gzip\r\n\r\n' + BOMB)
        return
    elif PHASE == 'te-206':
        body = gzip.compress(b'x' * 65536)
        connection.sendall(b'HTTP/1.1 206 Partial Content\r\nETag: "a"\r\nContent-Range: bytes 0-65535/65536\r\n'
                           b'Transfer-Encoding: gzip\r\n\r\n' + body)
        return
    time.sleep(60)


def serve(context, raw):
    try:
        if PHASE == 'handshake':
            time.sleep(60)
        with context.wrap_socket(raw, server_side=True) as connection:
            answer(connection)
    except OSError:
        pass  # the client hangs up: that is what is tested


BOMB = gzip.compress(bomb(), 9) if PHASE == 'te-500' else b''


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    listener = socket.create_server(('127.0.0.1', 0))
    with open(sys.argv[1] + '.new', 'w', encoding='ascii') as f:
        f.write(str(listener.getsockname()[1]))
    os.rename(sys.argv[1] + '.new', sys.argv[1])
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(context, raw), daemon=True).start()


main()
