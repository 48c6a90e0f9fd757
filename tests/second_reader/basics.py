"""What every part of the second reader uses: its error, the one derivation, pairs of text, base64."""

import base64
import binascii
import hmac
import struct

from cryptography.exceptions import InvalidTag


class EnvelopeError(Exception):
    """Its text is the stable name of an error, `group` or `group/detail`."""

    @property
    def group(self):
        return str(self).partition("/")[0]


def demand(condition, name):
    if not condition:
        raise EnvelopeError(name)


# --- Derivation and AEAD (FORMAT, notation) --------------------------------------------------------------------------------------


def expand256(key, label, context):
    return hmac.digest(key, label.encode() + b"\0" + context + b"\1", "sha256")


def open_aead(aead, iv, sealed, aad, name):
    try:
        return aead.decrypt(iv, sealed, aad)
    except InvalidTag:
        raise EnvelopeError(name) from None


# --- Pairs (FORMAT §§1, 3) -------------------------------------------------------------------------------------------------------


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
        demand(not key.lower().startswith(b"phi-envelope"), "malformed/label-reserved")
        try:
            labels[key.decode()] = value.decode()
        except UnicodeDecodeError:
            raise EnvelopeError("malformed/label-utf8") from None
    return labels


# --- Base64 (FORMAT §§8, 9.1) ----------------------------------------------------------------------------------------------------


def from_base64(text, size=None, name="malformed/base64"):
    """Standard alphabet, padded, zero trailing bits, and so one text for each string of bytes."""
    demand(isinstance(text, str), name)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError(name) from None
    demand(base64.b64encode(data).decode() == text, name)
    demand(size is None or len(data) == size, name)
    return data


def to_base64(data):
    return base64.b64encode(data).decode()


def from_text(text):
    """Base64url without padding."""
    alphabet = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    raw = text.encode()
    demand(alphabet.issuperset(raw), "malformed/text-alphabet")
    demand(len(raw) % 4 != 1, "malformed/text-length")
    data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    demand(to_text(data) == text, "malformed/text-trailing-bits")
    return data


def to_text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
