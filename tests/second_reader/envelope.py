"""A second reader and writer of the envelope format, version 1, written from its specification alone (FORMAT, as the comments call it).

It shares no line with the crate. Here are records, their text, and the files of the format's own as bytes. It wants two packages:
`cryptography` for AES-256-GCM and `argon2-cffi` for the keys of passphrases.
"""

import hmac
import os
from collections import Counter

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from basics import demand, from_text, open_aead
from header import COMPARTMENT_ENTRY, KEYRING_FILE, RECORD, SHRED_RECEIPT, Header, own, parse_header
from keys import believed, unlock
from slots import AWS_KMS, AZURE, EXTERNAL, GOOGLE_KMS, PUBLIC_KEY, TRANSIT


def own_file_limit(kind):
    """The whole envelope counts (FORMAT §1)."""
    return 64 << 10 if kind == COMPARTMENT_ENTRY else 16 << 20


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


def check_writable(header, recipients):
    """What a writer refuses, and a reader does not (FORMAT §4)."""
    alike = Counter()
    for slot, recipient in zip(header.slots, recipients):
        if slot.scheme in (AWS_KMS, TRANSIT, GOOGLE_KMS, AZURE) or slot.scheme == EXTERNAL and recipient.asks_network:
            alike[slot.scheme, slot.external_name] += 1
        if KEYRING_FILE <= header.kind <= SHRED_RECEIPT:
            recovery = header.kind == KEYRING_FILE and slot.scheme == PUBLIC_KEY
            demand(recovery or believed(slot, recipient), "maker-unknown")
    demand(max(alike.values(), default=0) <= 4, "limit-exceeded/provider-calls")


def seal_header(kind, recipients, labels, bindings, data_key, message_id, block_length=0, data_key_id=None):
    header = Header(kind, data_key_id or os.urandom(16), message_id, dict(labels), block_length=block_length)
    if bindings:
        header.bindings_tag = header.bindings_tag_under(data_key, bindings)
    header.slots = [recipient.wrap_key(data_key, header) for recipient in recipients]
    header.tag = header.tag_under(data_key)
    parse_header(header.encode())  # nothing leaves that a reader would refuse
    check_writable(header, recipients)
    return header


# --- Records (FORMAT §2, §5) and their text (§8) -------------------------------------------------------------------------------


def open_record(data, providers, labels={}, bindings={}):
    return open_whole(data, RECORD, providers, labels, bindings)[1]


def open_whole(data, kind, providers, labels={}, bindings={}):
    """The header and the plaintext of an envelope of that kind, which stands in one piece of memory."""
    header = parse_header(data)
    demand(header.kind == kind, "malformed/other-kind")
    payload = data[len(header.encode()) :]
    demand(not own(kind) or len(data) <= own_file_limit(kind), "limit-exceeded/own-file")
    demand(len(payload) >= 28, "truncated")
    check_presence(header, bindings)
    data_key = unlock(header, providers, only_believed=own(kind))
    check_context(header, data_key, labels, bindings)
    aead = AESGCM(header.payload_key(data_key))
    return header, open_aead(aead, payload[:12], payload[12:], b"", "authentication-failed/record")


def seal_record(plaintext, recipients, labels={}, bindings={}, shared_key=False):
    data_key, message_id = os.urandom(32), os.urandom(16) if shared_key else b""
    header = seal_header(RECORD, recipients, labels, bindings, data_key, message_id)
    return header.encode() + seal_payload(header, data_key, plaintext)


def seal_own(kind, plaintext, recipients, bindings={}, data_key_id=None):
    """A file of the format's own."""
    data_key = os.urandom(32)
    header = seal_header(kind, recipients, {}, bindings, data_key, b"", data_key_id=data_key_id)
    sealed = header.encode() + seal_payload(header, data_key, plaintext)
    demand(len(sealed) <= own_file_limit(kind), "limit-exceeded/own-file")
    return sealed


def seal_payload(header, data_key, plaintext):
    iv = os.urandom(12)
    return iv + AESGCM(header.payload_key(data_key)).encrypt(iv, plaintext, b"")


def record_of_text(text):
    """The bytes of a record's text; whoever opens them sees to it that they are a record."""
    return from_text(text)
