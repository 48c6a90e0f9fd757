"""The header (FORMAT §§1 to 3, 5)."""

import struct
from dataclasses import dataclass, field

import slots
from basics import decode_labels, demand, encode_pairs, expand256
from slots import Slot

RECORD, INLINE, DETACHED = 1, 2, 3
KEYRING_FILE, EVIDENCE, IDENTITY, COMPARTMENT_ROOT, COMPARTMENT_ENTRY = 4, 5, 6, 7, 8
SHRED_RECEIPT, AUDIT_HEAD, COMPACT = 9, 10, 11
KINDS = {
    RECORD: "record",
    INLINE: "stream",
    DETACHED: "header of a detached stream",
    KEYRING_FILE: "keyring",
    EVIDENCE: "evidence",
    IDENTITY: "identity",
    COMPARTMENT_ROOT: "compartment root",
    COMPARTMENT_ENTRY: "compartment entry",
    SHRED_RECEIPT: "shred receipt",
    AUDIT_HEAD: "head of an audit segment",
}
BOUND = (COMPARTMENT_ENTRY, AUDIT_HEAD)  # files of the format's own that have bindings
MAGIC = b"PHIE"
HEADER_LIMIT, PAGE, BLOCK_LIMIT = 16384, 4096, 65536


def own(kind):
    """Whether it is a file of the format's own."""
    return KEYRING_FILE <= kind <= AUDIT_HEAD


@dataclass
class Header:
    kind: int
    data_key_id: bytes
    message_id: bytes = b""  # none: the data key serves this envelope alone
    labels: dict = field(default_factory=dict)
    bindings_tag: bytes = b""  # none: no bindings
    slots: list = field(default_factory=list)
    generation: int = 0
    block_length: int = 0
    tag: bytes = b""

    @property
    def flags(self):
        return (1 if self.bindings_tag else 0) | (2 if self.message_id else 0)

    @property
    def id(self):
        """The message id, in the wider sense of FORMAT §3."""
        return self.message_id or self.data_key_id

    def _labels(self):
        encoded = encode_pairs(self.labels)
        return struct.pack(">H", len(encoded)) + encoded

    def before_tag(self):
        fixed = struct.pack(">BBBBII", 1, self.kind, self.flags, len(self.slots), self.generation, self.block_length)
        out = MAGIC + fixed + self.data_key_id + self.message_id + self._labels() + self.bindings_tag
        return out + b"".join(slot.encode() for slot in self.slots)

    def encode(self):
        return self.before_tag() + self.tag

    def immutable(self):
        payload_type = INLINE if self.kind == DETACHED else self.kind
        start = bytes([1, payload_type, self.flags])
        return start + self.data_key_id + self.message_id + self._labels() + self.bindings_tag

    def wrap_aad(self):
        label = b"phi-envelope/1 wrap file\0" + bytes([self.kind]) if own(self.kind) else b"phi-envelope/1 wrap\0"
        return label + self.data_key_id + self._labels()

    def tag_under(self, data_key):
        return expand256(data_key, "phi-envelope/1 header", self.before_tag())

    def bindings_tag_under(self, data_key, bindings):
        return expand256(data_key, "phi-envelope/1 bindings", self.id + encode_pairs(bindings))

    def payload_key(self, data_key):
        return expand256(data_key, "phi-envelope/1 payload", self.immutable())


def parse_header(data):
    """The header at the front of `data`; what follows it is not looked at."""
    at = 0

    def take(count):
        nonlocal at
        demand(at + count <= HEADER_LIMIT, "malformed/header-length")
        demand(at + count <= len(data), "truncated")
        at += count
        return data[at - count : at]

    demand(data and data[:4] == MAGIC[: len(data)], "not-an-envelope")
    take(4)
    version = take(1)[0]
    demand(version != 0, "malformed/version")
    demand(version == 1, "newer-version")
    kind = take(1)[0]
    demand(kind in KINDS, "malformed/kind")
    flags, count, generation, block_length = struct.unpack(">BBII", take(10))
    demand(flags & ~3 == 0, "malformed/flags")
    demand(not own(kind) or flags == (1 if kind in BOUND else 0), "malformed/flags")
    demand(count >= 1, "malformed/no-slot")
    demand(count <= 32, "malformed/too-many-slots")
    if kind == INLINE:
        demand(block_length % PAGE == 0 and PAGE <= block_length <= BLOCK_LIMIT, "malformed/block-length")
    else:
        demand(block_length == 0, "malformed/block-length")
    header = Header(kind, take(16), take(16) if flags & 2 else b"", generation=generation, block_length=block_length)
    size = int.from_bytes(take(2), "big")
    demand(size == 0 or not own(kind), "malformed/labels-of-own-file")
    demand(size <= 4096, "malformed/labels-length")
    header.labels = decode_labels(take(size))
    header.bindings_tag = take(32) if flags & 1 else b""
    for _ in range(count):
        scheme, size = struct.unpack(">BH", take(3))
        demand(scheme != 0, "malformed/scheme-zero")
        demand(1 <= size <= 512, "malformed/key-id-length")
        key_id = take(size)
        size = int.from_bytes(take(2), "big")
        demand(1 <= size <= 4096, "malformed/wrapped-key-length")
        slot = Slot(scheme, key_id, take(size))
        slot.check()
        header.slots.append(slot)
        slots.check_all(header.slots, kind)
    header.tag = take(32)
    return header
