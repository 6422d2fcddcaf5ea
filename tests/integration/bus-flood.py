#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many calls of the manager at once, over many connections, each with descriptors that nobody asked for.

bus-flood.py UID SOCKET CONNECTIONS CALLS DESCRIPTORS GetChain|Check

As UID sends CALLS over each of CONNECTIONS, prints "sent", then the name of each error ("ok" for a reply), until the input ends.
sd-bus does not send what the signature does not name; so this speaks the protocol itself.
"""
import array
import os
import re
import select
import socket
import struct
import sys

uid, path, member = int(sys.argv[1]), sys.argv[2], sys.argv[6]
n_connections, n_calls, n_fds = (int(a) for a in sys.argv[3:6])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
null = os.open("/dev/null", os.O_RDONLY)


def pad(data, to):
    return data + b"\0" * (-len(data) % to)


def text(value):
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def field(code, signature, value):
    return struct.pack("<BB", code, len(signature)) + signature.encode() + b"\0" + value


def message(serial, destination, object_path, interface, name, signature="", body=b"", fds=0):
    fields = b""
    for code, kind, value in ((1, "o", object_path), (2, "s", interface), (3, "s", name), (6, "s", destination)):
        fields = pad(fields, 8) + pad(field(code, kind, b""), 4) + text(value)
    if signature:
        fields = pad(fields, 8) + field(8, "g", struct.pack("<B", len(signature)) + signature.encode() + b"\0")
    if fds:
        fields = pad(fields, 8) + pad(field(9, "u", b""), 4) + struct.pack("<I", fds)
    # 4: interactive authorization is welcome
    return pad(struct.pack("<BBBBIII", ord("l"), 1, 4, 1, len(body), serial, len(fields)) + fields, 8) + body


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
    seen = b""
    while b"AGREE_UNIX_FD" not in seen:
        seen += s.recv(4096)
    s.sendall(message(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"))
    return s


signature, body = "", b""
if member == "Check":
    signature, body = "sa{sv}", pad(pad(text("https://localhost:1/x.rsb"), 4) + struct.pack("<I", 0), 8)
connections = [connect() for _ in range(n_connections)]
for serial in range(2, 2 + n_calls):
    for s in connections:
        data = message(serial, "org.reseal1", "/org/reseal1", "org.reseal1.Manager", member, signature, body, n_fds)
        fds = array.array("i", [null] * n_fds)
        s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if n_fds else [])
print("sent", flush=True)
while True:
    ready = select.select(connections + [sys.stdin], [], [])[0]
    if sys.stdin in ready:
        break
    for s in ready:
        data = s.recv(65536)
        if not data:
            connections.remove(s)
        # one error has one name; a reply of the method carries a dictionary or nothing of a name
        for name in re.findall(rb"org\.(?:reseal1|freedesktop\.DBus)\.Error\.(\w+)", data):
            print(name.decode(), flush=True)
