#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second reader of bundles, written from docs/format-bundle.md and docs/format-chain.md alone; shares no line with src/.

    bundle-reader.py DIR [CONTENT-KEY-FILE] <bundle

Reads standard input strictly forward (a pipe will do), checks every digest, tag and root and writes DIR/manifest.cms,
DIR/manifest.json and DIR/CLASS.img, and of optional sections DIR/links.json and DIR/N.crl.  Judges no signature: openssl does that on manifest.cms.
"""

import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
import zlib

CHUNK = 524288
BLOCK = 4096


def sha256(data):
    return hashlib.sha256(data).digest()


def take(size):
    data = sys.stdin.buffer.read(size)
    assert len(data) == size, 'the bundle ends early'
    return data


def hkdf(key, salt, info):
    prk = hmac.new(salt, key, hashlib.sha256).digest()
    return hmac.new(prk, info + b'\1', hashlib.sha256).digest()


def gcm_open(key, nonce, sealed, aad):
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    return AESGCM(key).decrypt(nonce, sealed, aad)


def header():
    fixed = take(32)
    magic, version, flags, n_sections, size, file_size = struct.unpack('>8sIIIIQ', fixed)
    assert (magic, version, size) == (b'RESEALB1', 1, 32 + 24 * n_sections) and flags in (0, 1)
    sections = [struct.unpack('>IIQQ', take(24)) for _ in range(n_sections)]
    at = size
    for _, _, offset, length in sections:
        assert offset == at
        at += length
    assert at == file_size
    return bool(flags), sections


def content_of(cms):
    """The content of a SignedData, by openssl, signature not judged."""
    return subprocess.run(['openssl', 'cms', '-verify', '-noverify', '-nosigs', '-inform', 'DER'], input=cms, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def chunk_digest(salt, data):
    leaves = b''.join(sha256(salt + data[i:i + BLOCK]) for i in range(0, len(data), BLOCK))
    return sha256(salt + leaves.ljust(BLOCK, b'\0'))


def root_of(salt, digests):
    while len(digests) > 1:
        digests = [sha256(salt + b''.join(digests[i:i + 128]).ljust(BLOCK, b'\0')) for i in range(0, len(digests), 128)]
    return digests[0]


def read_table(image, data):
    magic, version, frame_chunks, n_frames, n_chunks, zero = struct.unpack('>4sIIIQQ', data[:32])
    assert (magic, version, zero) == (b'RSTB', 1, 0)
    assert (frame_chunks, n_chunks) == (image['frame_chunks'], image['chunks'])
    assert n_frames == -(-n_chunks // frame_chunks) and len(data) == 32 + 48 * n_frames + 32 * n_chunks
    frames = [struct.unpack('>IIQ32s', data[32 + 48 * i:80 + 48 * i]) for i in range(n_frames)]
    digests = [data[32 + 48 * n_frames + 32 * i:][:32] for i in range(n_chunks)]
    return frames, digests


def read_image(number, image, bundle_id, key, out):
    salt = bytes.fromhex(image['salt'])
    number_bytes = struct.pack('>I', number)
    table = take(image['table_size'] + (16 if key else 0))
    if key:
        table = gcm_open(hkdf(key, bundle_id, b'reseal table' + number_bytes), bytes(12), table, bundle_id + number_bytes)
        key = hkdf(key, bundle_id, b'reseal frames' + number_bytes)
    assert hashlib.sha256(table).hexdigest() == image['table_sha256']
    frames, digests = read_table(image, table)
    assert root_of(salt, digests).hex() == image['root']

    frame_size = image['frame_chunks'] * CHUNK
    for f, (kind, length, dup_of, digest) in enumerate(frames):
        size = min(frame_size, image['size'] - f * frame_size)
        if kind == 1:
            plain = bytes(size)
        elif kind == 2:
            assert dup_of < f and frames[dup_of][0] in (3, 4)
            out.seek(dup_of * frame_size)
            plain = out.read(size)
        else:
            payload = take(length + (16 if key else 0))
            if key:
                payload = gcm_open(key, struct.pack('>IQ', 0, f), payload,
                                   bundle_id + number_bytes + struct.pack('>QI', f, length))
            assert sha256(payload) == digest
            plain = payload
            if kind == 4:
                plain = subprocess.run(['zstd', '-dcq', '-M1MiB'], input=payload, check=True, stdout=subprocess.PIPE).stdout
        assert len(plain) == size
        for i in range(0, size, CHUNK):
            assert chunk_digest(salt, plain[i:i + CHUNK]) == digests[(f * frame_size + i) // CHUNK]
        out.seek(f * frame_size)
        out.write(plain)


def read_link(data):
    magic, kind, zero, size = struct.unpack('>8sB3sI', data[:16])
    assert (magic, zero, size) == (b'RESEALK1', bytes(3), len(data)) and kind in (1, 2, 3) and data[210:212] == bytes(2)
    record, fields, at = data[16:176], [], 212
    (rec, version, flags, zero2, tag, epoch, zero4, index, spki, digest, _, zero20, crc) = struct.unpack(
        '>4sBB2s16sI4sQ32s32s32s20sI', record)
    assert (rec, version, zero2, zero4, zero20) == (b'RSL1', 1, bytes(2), bytes(4), bytes(20))
    assert crc == zlib.crc32(record[:156]) and flags == (kind == 2)
    for _ in range(7):
        length, = struct.unpack('>H', data[at:at + 2])
        fields.append(data[at + 2:at + 2 + length])
        at += 2 + length
    assert at == len(data)
    assert [bool(f) for f in fields[:5]] == [True, True, kind != 3, kind == 2, kind != 3] and fields[5] and fields[6]
    return {'kind': kind, 'index': index, 'epoch': epoch, 'tag': tag.hex(), 'signer': spki.hex(), 'manifest': digest.hex()}


def read_links(data):
    links, at = [], 4
    for _ in range(struct.unpack('>I', data[:4])[0]):
        size, = struct.unpack('>I', data[at + 12:at + 16])
        links.append(read_link(data[at:at + size]))
        at += size
    assert at == len(data) and links == sorted(links, key=lambda link: link['index'])
    return links


def read_crls(data):
    crls, at = [], 4
    for _ in range(struct.unpack('>I', data[:4])[0]):
        size, = struct.unpack('>I', data[at:at + 4])
        crls.append(data[at + 4:at + 4 + size])
        at += 4 + size
    assert at == len(data)
    return crls


def read_optional(directory, sections, encrypted):
    """What may stand between MANIFEST and the images: types in rising order."""
    types = [s[0] for s in sections[1:] if s[0] < 16]
    assert types == sorted(set(types)) and set(types) <= {2, 3, 4} and (4 in types) == encrypted
    for kind, _, _, length in sections[1:1 + len(types)]:
        data = take(length)
        if kind == 2:
            with open(os.path.join(directory, 'links.json'), 'w', encoding='utf-8') as f:
                json.dump(read_links(data), f)
        if kind == 3:
            for n, crl in enumerate(read_crls(data)):
                with open(os.path.join(directory, f'{n}.crl'), 'wb') as f:
                    f.write(crl)


def main():
    directory = sys.argv[1]
    key = open(sys.argv[2], 'rb').read() if len(sys.argv) > 2 else None
    encrypted, sections = header()
    assert encrypted == bool(key)
    cms = take(sections[0][3])
    content = content_of(cms)
    for name, data in (('manifest.cms', cms), ('manifest.json', content)):
        with open(os.path.join(directory, name), 'wb') as f:
            f.write(data)
    manifest = json.loads(content)
    assert content == json.dumps(manifest, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode()
    read_optional(directory, sections, encrypted)
    for number, image in enumerate(manifest['images']):
        with open(os.path.join(directory, image['class'] + '.img'), 'w+b') as out:
            read_image(number, image, sha256(content), key, out)
    assert not sys.stdin.buffer.read(1), 'bytes behind the last section'


main()
