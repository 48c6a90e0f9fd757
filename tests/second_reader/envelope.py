"""A second reader and writer of the envelope format, version 1, written from its specification alone (FORMAT, as the comments call it).

It shares no line with the crate. Here are the header, the keys, records and the keyring's file; streams are in `stream.py`. It wants two
packages: `cryptography` for AES-256-GCM and `argon2-cffi` for the keys of passphrases.
"""

import base64
import hmac
import json
import os
import struct
from dataclasses import dataclass, field

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORD, INLINE, DETACHED = 1, 2, 3
KEYRING, PASSPHRASE, EXTERNAL = 0x01, 0x02, 0xF0
STATES = {"active", "deactivated", "suspended", "compromised", "destroyed"}
MAGIC = b"PHIE"
HEADER_LIMIT, PAGE, BLOCK_LIMIT = 16384, 4096, 65536
PASSPHRASE_CEILING_KIB = 256 * 1024  # a ceiling of this reader's own (FORMAT §4)


class EnvelopeError(Exception):
    """Its text is the stable name of an error, `group` or `group/detail`."""


def demand(condition, name):
    if not condition:
        raise EnvelopeError(name)


# --- Derivations (FORMAT §5, §6) -----------------------------------------------------------------------------------------------


def expand256(key, label, context):
    return hmac.digest(key, label.encode() + b"\0" + context + b"\1", "sha256")


def open_aead(aead, iv, sealed, aad, name):
    try:
        return aead.decrypt(iv, sealed, aad)
    except InvalidTag:
        raise EnvelopeError(name) from None


# --- Labels and bindings (FORMAT §3) -------------------------------------------------------------------------------------------


def encode_pairs(pairs):
    encoded = b""
    for key, value in sorted((k.encode(), v.encode()) for k, v in pairs.items()):
        encoded += bytes([len(key)]) + key + struct.pack(">H", len(value)) + value
    return encoded


def decode_labels(data):
    labels, at, previous = {}, 0, None

    def take(count):
        nonlocal at
        demand(at + count <= len(data), "malformed/label-overrun")
        at += count
        return data[at - count : at]

    while at < len(data):
        demand(len(labels) < 32, "malformed/too-many-labels")
        size = take(1)[0]
        demand(1 <= size <= 64, "malformed/label-key-length")
        key = take(size)
        size = int.from_bytes(take(2), "big")
        demand(1 <= size <= 256, "malformed/label-value-length")
        value = take(size)
        demand(previous is None or previous < key, "malformed/label-order")
        previous = key
        try:
            labels[key.decode()] = value.decode()
        except UnicodeDecodeError:
            raise EnvelopeError("malformed/label-utf8") from None
    return labels


# --- The header (FORMAT §3) ----------------------------------------------------------------------------------------------------


@dataclass
class Slot:
    scheme: int
    key_id: bytes
    wrapped: bytes

    def check(self):
        """What a scheme that is known here demands of its slots (FORMAT §4)."""
        size = len(self.key_id)
        if self.scheme in (KEYRING, PASSPHRASE):
            demand(size == 16, "malformed/key-id-length")
            demand(len(self.wrapped) == (60 if self.scheme == KEYRING else 104), "malformed/wrapped-key-length")
        if self.scheme == PASSPHRASE:
            m, t, p = struct.unpack_from(">III", self.wrapped)
            good = 8 * p <= m <= 1 << 20 and 1 <= t <= 16 and 1 <= p <= 16 and m * t <= 1 << 22
            demand(good, "malformed/passphrase-costs")
        if self.scheme == EXTERNAL:
            name = self.key_id[1 : 1 + self.key_id[0]]
            demand(name and name.isascii() and size > 1 + self.key_id[0], "malformed/external-key-id")


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

    def _labels(self):
        encoded = encode_pairs(self.labels)
        return struct.pack(">H", len(encoded)) + encoded

    def before_tag(self):
        fixed = struct.pack(">BBBBII", 1, self.kind, self.flags, len(self.slots), self.generation, self.block_length)
        out = MAGIC + fixed + self.data_key_id + self.message_id + self._labels() + self.bindings_tag
        for slot in self.slots:
            out += struct.pack(">BH", slot.scheme, len(slot.key_id)) + slot.key_id
            out += struct.pack(">H", len(slot.wrapped)) + slot.wrapped
        return out

    def encode(self):
        return self.before_tag() + self.tag

    def immutable(self):
        payload_type = 1 if self.kind == RECORD else 2
        start = bytes([1, payload_type, self.flags])
        return start + self.data_key_id + self.message_id + self._labels() + self.bindings_tag

    def wrap_aad(self):
        return b"phi-envelope/1 wrap\0" + self.data_key_id + self._labels()

    def tag_under(self, data_key):
        return expand256(data_key, "phi-envelope/1 header", self.before_tag())

    def bindings_tag_under(self, data_key, bindings):
        context = (self.message_id or self.data_key_id) + encode_pairs(bindings)
        return expand256(data_key, "phi-envelope/1 bindings", context)

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
    demand(version != 0, "not-an-envelope")
    demand(version == 1, "newer-version")
    kind, flags, slots, generation, block_length = struct.unpack(">BBBII", take(11))
    demand(kind in (RECORD, INLINE, DETACHED), "malformed/kind")
    demand(flags & ~3 == 0, "malformed/flags")
    demand(slots >= 1, "malformed/no-slot")
    demand(slots <= 32, "malformed/too-many-slots")
    if kind == INLINE:
        demand(block_length % PAGE == 0 and PAGE <= block_length <= BLOCK_LIMIT, "malformed/block-length")
    else:
        demand(block_length == 0, "malformed/block-length")
    header = Header(kind, take(16), take(16) if flags & 2 else b"", generation=generation, block_length=block_length)
    size = int.from_bytes(take(2), "big")
    demand(size <= 4096, "malformed/labels-length")
    header.labels = decode_labels(take(size))
    header.bindings_tag = take(32) if flags & 1 else b""
    for _ in range(slots):
        scheme, size = struct.unpack(">BH", take(3))
        demand(scheme != 0, "malformed/scheme-zero")
        demand(1 <= size <= 512, "malformed/key-id-length")
        key_id = take(size)
        size = int.from_bytes(take(2), "big")
        demand(1 <= size <= 4096, "malformed/wrapped-key-length")
        slot = Slot(scheme, key_id, take(size))
        slot.check()
        same = any((other.scheme, other.key_id) == (scheme, key_id) for other in header.slots)
        demand(not same, "malformed/duplicate-slot")
        twice = scheme == PASSPHRASE and any(other.scheme == PASSPHRASE for other in header.slots)
        demand(not twice, "malformed/two-passphrase-slots")
        header.slots.append(slot)
    header.tag = take(32)
    return header


# --- Those who wrap the data key (FORMAT §4) -----------------------------------------------------------------------------------


@dataclass
class MasterKey:
    id: bytes
    key: bytes

    def knows(self, slot):
        return slot.scheme == KEYRING and slot.key_id == self.id

    def _aead(self, header):
        return AESGCM(expand256(self.key, "phi-envelope/1 wrap key", self.id + header.data_key_id))

    def unwrap_key(self, slot, header):
        aead, name = self._aead(header), "authentication-failed/wrapped-key"
        return open_aead(aead, slot.wrapped[:12], slot.wrapped[12:], header.wrap_aad(), name)

    def wrap_key(self, data_key, header):
        iv = os.urandom(12)
        sealed = self._aead(header).encrypt(iv, data_key, header.wrap_aad())
        return Slot(KEYRING, self.id, iv + sealed)


@dataclass
class Passphrase:
    text: str
    costs: tuple = (65536, 3, 4)  # m in KiB, t, p

    def knows(self, slot):
        return slot.scheme == PASSPHRASE

    def _derived(self, salt, costs):
        m, t, p = costs
        out = hash_secret_raw(self.text.encode(), salt, t, m, p, 64, Type.ID, version=0x13)
        return out[:32], out[32:]

    def unwrap_key(self, slot, header):
        costs, check = struct.unpack_from(">III", slot.wrapped), slot.wrapped[12:44]
        demand(costs[0] <= PASSPHRASE_CEILING_KIB, "limit-exceeded/passphrase-memory")
        kek, expected = self._derived(slot.key_id, costs)
        demand(hmac.compare_digest(check, expected), "wrong-passphrase")
        name = "authentication-failed/wrapped-key"
        return open_aead(AESGCM(kek), slot.wrapped[44:56], slot.wrapped[56:], header.wrap_aad(), name)

    def wrap_key(self, data_key, header):
        salt, iv = os.urandom(16), os.urandom(12)
        kek, check = self._derived(salt, self.costs)
        sealed = AESGCM(kek).encrypt(iv, data_key, header.wrap_aad())
        return Slot(PASSPHRASE, salt, struct.pack(">III", *self.costs) + check + iv + sealed)


def unlock(header, providers):
    """The data key, under which the header tag has verified."""
    failures = []
    for slot in header.slots:
        for provider in providers:
            if not provider.knows(slot):
                continue
            try:
                data_key = provider.unwrap_key(slot, header)
                demand(hmac.compare_digest(header.tag, header.tag_under(data_key)), "authentication-failed/header")
                return data_key
            except EnvelopeError as failure:
                failures.append(failure)
    raise failures[0] if failures else EnvelopeError("no-matching-key")


def check_presence(header, bindings):
    """Before any key work: bindings are presented where the header has a tag of them, and only there."""
    demand(bindings or not header.bindings_tag, "context-mismatch/bindings-missing")
    demand(not bindings or header.bindings_tag, "context-mismatch/bindings-unexpected")


def check_context(header, data_key, labels, bindings):
    """After the header tag has verified."""
    if header.bindings_tag:
        expected = header.bindings_tag_under(data_key, bindings)
        demand(hmac.compare_digest(header.bindings_tag, expected), "context-mismatch/bindings-differ")
    for key, value in labels.items():
        demand(header.labels.get(key) == value, "context-mismatch/labels-differ")


def seal_header(kind, recipients, labels, bindings, data_key, message_id, block_length=0):
    header = Header(kind, os.urandom(16), message_id, dict(labels), block_length=block_length)
    if bindings:
        header.bindings_tag = header.bindings_tag_under(data_key, bindings)
    header.slots = [recipient.wrap_key(data_key, header) for recipient in recipients]
    header.tag = header.tag_under(data_key)
    parse_header(header.encode())  # nothing leaves that a reader would refuse
    return header


# --- Records (FORMAT §2, §5) and their text (§8) -------------------------------------------------------------------------------


def open_record(data, providers, labels={}, bindings={}):
    header = parse_header(data)
    demand(header.kind == RECORD, "malformed/other-kind")
    payload = data[len(header.encode()) :]
    demand(len(payload) >= 28, "truncated")
    check_presence(header, bindings)
    data_key = unlock(header, providers)
    check_context(header, data_key, labels, bindings)
    aead = AESGCM(header.payload_key(data_key))
    return open_aead(aead, payload[:12], payload[12:], b"", "authentication-failed/record")


def seal_record(plaintext, recipients, labels={}, bindings={}, shared_key=False):
    data_key, iv = os.urandom(32), os.urandom(12)
    header = seal_header(RECORD, recipients, labels, bindings, data_key, os.urandom(16) if shared_key else b"")
    return header.encode() + iv + AESGCM(header.payload_key(data_key)).encrypt(iv, plaintext, b"")


def from_text(text):
    alphabet = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    raw = text.encode()
    demand(alphabet.issuperset(raw), "malformed/text-alphabet")
    demand(len(raw) % 4 != 1, "malformed/text-length")
    data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    demand(to_text(data) == text, "malformed/text-trailing-bits")
    return data


def to_text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- The keyring's file (FORMAT §9) --------------------------------------------------------------------------------------------

KEYRING_LABELS = {"phi-envelope": "keyring/1"}


def check_keyring(document):
    def exact(text, size):
        data = base64.b64decode(text, validate=True)
        demand(len(data) == size and base64.b64encode(data).decode() == text, "malformed/master-key-text")

    demand(document["version"] == 1, "malformed/keyring/version")
    keys = document["keys"]
    for key in keys:
        exact(key["id"], 16)
        demand(key["state"] in STATES, "malformed/keyring/json")
        demand(isinstance(key["label"], str) and type(key["created"]) is type(key["changed"]) is int, "malformed/keyring/json")
        demand((key["key"] is None) == (key["state"] == "destroyed"), "malformed/keyring/material")
        if key["key"] is not None:
            exact(key["key"], 32)
    demand([key["state"] for key in keys].count("active") == 1, "malformed/keyring/active-keys")
    demand(len({key["id"] for key in keys}) == len(keys), "malformed/keyring/duplicate-id")
    return keys


def open_keyring(data, providers):
    """The keys as the file lists them."""
    header = parse_header(data)
    demand(not header.bindings_tag, "malformed/keyring/label")
    plaintext = open_record(data, providers)  # before the labels decide anything
    demand(header.labels == KEYRING_LABELS, "malformed/keyring/label")
    try:
        return check_keyring(json.loads(plaintext.decode()))
    except (ValueError, TypeError, KeyError):
        raise EnvelopeError("malformed/keyring/json") from None


def seal_keyring(keys, recipients):
    check_keyring(document := {"version": 1, "keys": keys})
    return seal_record(json.dumps(document).encode(), recipients, KEYRING_LABELS)


def master_keys(keys):
    """What a reader may open envelopes with."""
    usable = (key for key in keys if key["state"] in ("active", "deactivated"))
    return [MasterKey(base64.b64decode(key["id"]), base64.b64decode(key["key"])) for key in usable]
