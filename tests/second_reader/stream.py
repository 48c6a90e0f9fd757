"""Streams: FLOE messages of any length, read segment by segment, under a header of their own or under two header blocks."""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from basics import EnvelopeError, demand, open_aead
from envelope import check_context, check_presence, seal_header
from header import BLOCK_LIMIT, DETACHED, HEADER_LIMIT, INLINE, PAGE, parse_header
from keys import Unverified, unlock

FLOE_HEADER, NOT_LAST = 74, 0xFFFFFFFF
PAYLOAD_MAGIC, PAYLOAD_HEAD = b"PHIP", 24

# --- FLOE (FORMAT §6) -------------------------------------------------------------------------------------------------


class Floe:
    def __init__(self, key, aad, params, iv):
        self._suffix, self._head = aad + b"\1", params + iv
        self.tag = self._kdf(key, b"HEADER_TAG:", 32)
        self._message_key = self._kdf(key, b"MESSAGE_KEY:", 48)

    def _kdf(self, key, purpose, size):
        return hmac.digest(key, self._head + purpose + self._suffix, "sha384")[:size]

    def header(self):
        return self._head + self.tag

    def segment(self, position, last):
        """The AEAD of a segment and its additional data."""
        purpose = b"DEK:" + struct.pack(">Q", position & ~0xFFFFF)
        return AESGCM(self._kdf(self._message_key, purpose, 32)), struct.pack(">QB", position, last)


def floe_params(segment_length):
    return struct.pack(">BBII", 0, 0, segment_length, 32)


def open_floe(key, aad, source):
    """Yields the plaintext of each segment of the FLOE message that a source holds from where it stands to its end."""

    def take(count):
        data = source.read(count)
        demand(len(data) == count, "truncated")
        return data

    head = take(FLOE_HEADER)
    length = int.from_bytes(head[2:6], "big")
    demand(head[:10] == floe_params(length), "malformed/stream-parameters")
    demand(4096 <= length <= 1 << 24, "malformed/segment-length")
    floe = Floe(key, aad, head[:10], head[10:42])
    demand(hmac.compare_digest(head[42:], floe.tag), "authentication-failed/stream-header")
    last, position = False, 0
    while not last:
        demand(position < 1 << 40, "limit-exceeded/segments")
        word = int.from_bytes(take(4), "big")
        last = word != NOT_LAST
        demand(not last or 32 <= word <= length, "malformed/segment-length-word")
        segment = take((word if last else length) - 4)
        demand(not last or not source.read(1), "malformed/trailing-bytes")
        aead, additional = floe.segment(position, last)
        yield open_aead(aead, segment[:12], segment[12:], additional, "authentication-failed/segment")
        position += 1


def seal_floe(key, aad, plaintext, segment_length):
    floe = Floe(key, aad, floe_params(segment_length), os.urandom(32))
    out, piece = floe.header(), segment_length - 32
    count = max(1, -(-len(plaintext) // piece))
    for position in range(count):
        data, last, iv = plaintext[position * piece : (position + 1) * piece], position == count - 1, os.urandom(12)
        aead, additional = floe.segment(position, last)
        out += struct.pack(">I", len(data) + 32 if last else NOT_LAST) + iv + aead.encrypt(iv, data, additional)
    return out


# --- The head of a detached payload (FORMAT §2) ------------------------------------------------------------------------


def payload_head(header):
    return PAYLOAD_MAGIC + bytes([1, DETACHED, 0, 0]) + header.id


def check_payload_head(source, header):
    """Before any key work."""
    head = source.read(PAYLOAD_HEAD)
    demand(head[:4] == PAYLOAD_MAGIC[: len(head)], "malformed/not-a-payload")
    demand(len(head) < 5 or head[4] != 0, "malformed/payload-head")
    demand(len(head) < 5 or head[4] == 1, "newer-version")
    demand(len(head) == PAYLOAD_HEAD, "truncated")
    demand(head[5:8] == bytes([DETACHED, 0, 0]), "malformed/payload-head")
    demand(head[8:] == header.id, "authentication-failed/payload-of-another-header")


def pairs_with(header, data_key, payload):
    """Whether a payload belongs to a header: the ids agree, and FLOE's header tag verifies (for evidence)."""
    check_payload_head(payload, header)
    head = payload.read(FLOE_HEADER)
    floe = Floe(header.payload_key(data_key), header.immutable(), head[:10], head[10:42])
    return hmac.compare_digest(head[42:], floe.tag)


# --- The headers (FORMAT §§2, 7) ---------------------------------------------------------------------------------------


def digest(block):
    return hashlib.sha256(block[:-8]).digest()[:8]


def block_of(header):
    block = header.encode().ljust(header.block_length, b"\0")
    demand(len(header.encode()) <= header.block_length - 8, "limit-exceeded/block-length")
    return block[:-8] + digest(block)


def read_at(source, offset, length):
    source.seek(offset)
    return source.read(length)


def candidate(source, offset, length):
    """The header of a block of `length` bytes, or none; any damage makes it none."""
    block = read_at(source, offset, length)
    try:
        header = parse_header(block)
        good = header.kind == INLINE and header.block_length == length and block_of(header) == block
    except EnvelopeError:
        return None
    return header if good else None


def lengths():
    return range(PAGE, BLOCK_LIMIT + 1, PAGE)


def whole_newer_block(source, offset, length):
    """Whether a block of a newer version stands there, undamaged."""
    block = read_at(source, offset, length)
    return len(block) == length and block[:4] == b"PHIE" and block[4] > 1 and block[-8:] == digest(block)


def find_blocks(source):
    """The candidates A and B, of which at most one is none, and where the payload begins."""
    failure = "malformed/no-header-block"
    head = read_at(source, 0, HEADER_LIMIT)
    try:
        parsed = parse_header(head)
        demand(parsed.kind == INLINE, "malformed/other-kind")
    except EnvelopeError as error:
        if str(error) == "malformed/other-kind" or head[:4] == b"PHIP" or head[:6] == b"PHIE\x01\x0b":
            raise
        parsed, failure = None, str(error)
    demand(not any(whole_newer_block(source, 0, length) for length in lengths()), "newer-version")
    if parsed:
        length = parsed.block_length
        first = candidate(source, 0, length)
        if first:
            demand(not any(whole_newer_block(source, length, other) for other in lengths()), "newer-version")
            return first, candidate(source, length, length), 2 * length
        if source.seek(0, os.SEEK_END) < length:
            failure = "truncated"
    demand(not any(whole_newer_block(source, length, length) for length in lengths()), "newer-version")
    for length in lengths():
        second = candidate(source, length, length)
        if second:
            return None, second, 2 * length
    raise EnvelopeError(failure)


def current(first, second, providers, bindings):
    """The header that counts, its data key, and what is damaged."""
    damage = "first-block" if not first else "second-block" if not second else None
    if first and second and first != second:
        damage = "differ"
    found = [header for header in (first, second) if header]
    found.sort(key=lambda header: -header.generation)  # a stable sort: of equal generations, A
    if first == second:
        found.pop()
    answers, unverified = {}, None
    for header in found:
        try:
            check_presence(header, bindings)
            return header, unlock(header, providers, answers), damage
        except Unverified as failure:  # all else stops the reader
            unverified = unverified or failure
            damage = "first-block" if header is first else "second-block"
    raise unverified


def open_inline(source, providers, labels={}, bindings={}):
    """The damage of the header blocks, if any, and the segments' plaintext."""
    first, second, start = find_blocks(source)
    header, data_key, damage = current(first, second, providers, bindings)
    check_context(header, data_key, labels, bindings)
    source.seek(start)
    return damage, open_floe(header.payload_key(data_key), header.immutable(), source)


def open_detached(head, source, providers, labels={}, bindings={}):
    header = parse_header(head)
    demand(header.kind == DETACHED, "malformed/other-kind")
    demand(len(head) == len(header.encode()), "malformed/trailing-bytes")
    check_presence(header, bindings)
    check_payload_head(source, header)
    data_key = unlock(header, providers)
    check_context(header, data_key, labels, bindings)
    return open_floe(header.payload_key(data_key), header.immutable(), source)


def seal_stream(kind, plaintext, recipients, labels={}, bindings={}, segment_length=65536, block_length=PAGE):
    """The header part, two blocks or the header alone, and the payload."""
    data_key = os.urandom(32)
    header = seal_header(kind, recipients, labels, bindings, data_key, b"", block_length if kind == INLINE else 0)
    floe = seal_floe(header.payload_key(data_key), header.immutable(), plaintext, segment_length)
    return (2 * block_of(header), floe) if kind == INLINE else (header.encode(), payload_head(header) + floe)
