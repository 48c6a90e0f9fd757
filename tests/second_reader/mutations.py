"""Envelopes with something else in them, so that two readers can be compared where nobody thought of a case."""

import os
import random
import re

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import stream
from basics import EnvelopeError, expand256
from envelope import open_whole, seal_payload
from header import PAGE, parse_header
from keys import unlock

NUMBERS = (0, 1, 2, 3, 4, 16, 32, 33, 64, 255)


def mutate(data, rnd):
    """Up to three changes, most of them in what might be a header, which in an inline stream stands twice."""
    data = bytearray(data)
    for _ in range(rnd.choice((1, 1, 1, 2, 3))):
        if not data:
            break
        at = rnd.randrange(len(data))
        if rnd.random() < 0.6:
            at = min(rnd.choice((0, PAGE)) + rnd.randrange(220), len(data) - 1)
        change = rnd.choice(("flip", "flip", "set", "set", "cut", "remove", "insert", "copy"))
        if change == "flip":
            data[at] ^= 1 << rnd.randrange(8)
        elif change == "set":
            data[at] = rnd.choice(NUMBERS)
        elif change == "cut":
            del data[at:]
        elif change == "remove":
            del data[at : at + rnd.randrange(1, 40)]
        elif change == "insert":
            data[at:at] = rnd.randbytes(rnd.randrange(1, 40))
        else:
            start = rnd.randrange(len(data))
            data[at:at] = data[start : start + rnd.randrange(1, 200)]
    return bytes(data)


def mutate_blocks(data, rnd):
    """An inline stream, most often with right digests."""
    data = bytearray(mutate(data, rnd))
    if rnd.random() < 0.8:
        for at in (0, PAGE):
            block = bytes(data[at : at + PAGE])
            if len(block) == PAGE:
                data[at : at + PAGE] = block[:-8] + stream.digest(block)
    return bytes(data)


def mutate_sealed(head, seal, providers, bindings, rnd):
    """A header with a change under a right tag, and a payload for it; `seal` seals one under a payload key and that header."""
    original = parse_header(head)
    data_key = unlock(original, providers)
    before_tag = mutate(original.before_tag(), rnd)
    changed = before_tag + expand256(data_key, "phi-envelope/1 header", before_tag)
    header = original
    try:
        header = parse_header(changed)
        if header.bindings_tag and rnd.random() < 0.7:
            header.bindings_tag = header.bindings_tag_under(data_key, bindings)
            header.tag = header.tag_under(data_key)
            changed = header.encode()
    except EnvelopeError:
        pass
    return changed, seal(header.payload_key(data_key), header)


# What may stand where a value stands, and in front of a document's first member.
VALUES = (
    b"-1", b"-0", b"0", b"1", b"1.0", b"1e2", b"01", b"256", b"86401", b"9007199254740991", b"9007199254740992", b"99999999999999999999999",
    b"null", b"true", b'""', b'"1"', b"[]", b"{}", b"[1,]", b'"\\ud83d"', b'"\\ud83d\\ude00"', b'"\xff"', b'"AA=="', b'"AB=="', b"[" * 40 + b"]" * 40,
)  # fmt: skip
NAMES = ("version", "id", "revision", "lease", "before", "critical", "keys", "keyring", "key", "in_use", "places", "previous", "x", "\\u0078")


def mutate_document(data, kind, providers, rnd):
    """A file of the format's own whose JSON has a change, under right tags."""
    header, plaintext = open_whole(data, kind, providers)
    for _ in range(rnd.choice((1, 1, 2))):
        values = [(m.start(1), m.end(1)) for m in re.finditer(rb':\s*("[^"]*"|[0-9]+|null)', plaintext)]
        start, end = rnd.choice(values) if values else (0, 0)
        change = rnd.choice(("value", "value", "member", "drop", "bytes"))
        if change == "value":
            plaintext = plaintext[:start] + rnd.choice(VALUES) + plaintext[end:]
        elif change == "member":
            member = b'"%s":%s,' % (rnd.choice(NAMES).encode(), rnd.choice(VALUES))
            at = rnd.choice([m.end() for m in re.finditer(rb"{", plaintext)] or [0])
            plaintext = plaintext[:at] + member + plaintext[at:]
        elif change == "drop":
            plaintext = re.sub(rb'"%s":("[^"]*"|[0-9]+|null|\[\]),?' % re.escape(rnd.choice(NAMES).encode()), b"", plaintext, count=1)
        else:
            plaintext = mutate(plaintext, rnd)
    return header.encode() + seal_payload(header, unlock(header, providers), plaintext)


def seal_record_payload(key, header):
    iv = os.urandom(12)
    return iv + AESGCM(key).encrypt(iv, b"BP 120/80", b"")


def seal_stream_payload(key, header):
    return stream.payload_head(header) + stream.seal_floe(key, header.immutable(), b"BP 120/80", 4096)
