#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a reseald that was taken over can do to the writer's socket without a release: fill the places, break the protocol,
leave answers behind.  Until it is ended.

flood.py VERSION [SOCKET]
"""
import os
import signal
import socket
import struct
import sys
import time

VERSION = sys.argv[1].encode().ljust(32, b"\0")
PATH = sys.argv[2] if len(sys.argv) > 2 else "/run/reseal/writer.sock"
HELLO, OFFER, FRAME, STATE, POLICY, UNKNOWN = 2, 8, 14, 6, 32, 9998


def say(s, kind, payload=b""):
    s.send(struct.pack(">IIII", kind, 1, len(payload), 0) + payload)


def greet():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(2)
    s.connect(PATH)
    say(s, HELLO, VERSION)
    if not s.recv(70000):
        raise OSError("no place")
    return s


def places():
    held = []
    while True:
        held.append(greet())


def breaking():
    for kind in (FRAME, UNKNOWN, OFFER):
        s = greet()
        say(s, kind, b"x")
        s.recv(70000)


def unread():
    s = greet()
    while True:
        say(s, POLICY)


def asking():
    s = greet()
    while True:
        say(s, OFFER, bytes(60000))
        s.recv(70000)
        say(s, STATE)
        s.recv(70000)


# All end with the one who started them.
os.setpgid(0, 0)
signal.signal(signal.SIGTERM, lambda *_: (signal.signal(signal.SIGTERM, signal.SIG_IGN), os.killpg(0, signal.SIGKILL)))
for way in (places, breaking, unread, asking):
    if os.fork() == 0:
        while True:
            try:
                way()
            except OSError:
                time.sleep(0.002)
signal.alarm(600)
while True:
    signal.pause()
