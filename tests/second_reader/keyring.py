"""The keyring's file (FORMAT §§9.1, 9.2): its JSON, the data key's id, the chain, and what counts as rolled back."""

import hashlib
import json
import os
import struct
from dataclasses import dataclass

import strict
from basics import EnvelopeError, demand, from_base64, to_base64
from envelope import open_whole, seal_own
from header import KEYRING_FILE
from keys import MasterKey
from recipient import parse_public_text
from slots import PUBLIC_KEY

STATES = {"active", "deactivated", "suspended", "compromised", "destroyed"}
INDEX_STATES = {"active", "previous", "destroyed"}
TOP = {"version", "id", "revision", "lease", "lease_changed", "before", "critical", "keys", "recipients", "index_keys"}
OF_KEYS = {"id", "label", "state", "created", "changed", "key", "evidence", "number"}
CHAIN = 64


# A fault of the JSON, as a fault of a keyring's file.
NAMES = {
    "malformed/json": "malformed/keyring/json",
    "malformed/base64": "malformed/keyring/json",
    "malformed/recipient": "malformed/keyring/recipients",
    "newer-version": "malformed/keyring/version",
}


def parse_keyring(plaintext):
    """The document, all of whose rules hold but those that need the header."""
    try:
        return parse(plaintext)
    except EnvelopeError as error:
        raise EnvelopeError(NAMES.get(str(error), str(error))) from None


def parse(plaintext):
    document = strict.parse(plaintext, TOP | OF_KEYS)
    strict.base64_member(document, "id", 16)
    revision = strict.member(document, "revision", int)
    demand(revision >= 1, "malformed/keyring/before")
    lease = strict.member(document, "lease", int, optional=True)
    demand(lease is None or 1 <= lease <= 86_400, "malformed/keyring/lease")
    strict.member(document, "lease_changed", int, optional=True)
    before = strict.member(document, "before", list)
    demand(len(before) == min(CHAIN, revision - 1), "malformed/keyring/before")
    for digest in before:
        from_base64(digest, 32)
    keys = strict.objects(document, "keys")
    for key in keys:
        check_key(key, STATES)
    demand([key["state"] for key in keys].count("active") == 1, "malformed/keyring/active-keys")
    check_ids(keys)
    check_index_keys(strict.objects(document, "index_keys", optional=True))
    ids = [parse_public_text(text) for text in strict.member(document, "recipients", list, optional=True) or []]
    demand(len(set(ids)) == len(ids), "malformed/keyring/recipients")
    return document


def check_key(key, states):
    strict.base64_member(key, "id", 16)
    strict.member(key, "label", str)
    demand(strict.member(key, "state", str) in states, "malformed/json")
    strict.member(key, "created", int)
    strict.member(key, "changed", int)
    material = strict.or_null(key, "key", lambda key, name: from_base64(key[name], 32, "malformed/master-key-text"))
    destroyed = key["state"] == "destroyed"
    demand((material is None) == destroyed, "malformed/keyring/material")
    if "number" not in key:
        evidence = strict.base64_member(key, "evidence", 32, optional=True)
        demand(evidence is None or destroyed, "malformed/keyring/material")


def check_ids(keys):
    demand(len({key["id"] for key in keys}) == len(keys), "malformed/keyring/duplicate-id")


def check_index_keys(keys):
    """FORMAT §11: their numbers."""
    for key in keys:
        demand(1 <= strict.member(key, "number", int) <= 255, "malformed/keyring/index-keys")
        check_key(key, INDEX_STATES)
    demand([key["state"] for key in keys].count("active") <= 1, "malformed/keyring/index-keys")
    demand(len({key["number"] for key in keys}) == len(keys), "malformed/keyring/index-keys")
    check_ids(keys)


@dataclass
class Opened:
    """A keyring's file, opened."""

    document: dict
    made_at: int  # the revision at which the data key was made
    digest: bytes

    def seen(self):
        return Seen(self.document["id"], self.document["revision"], self.made_at, self.digest)

    def providers(self):
        """What a reader may open envelopes with."""
        with_material = (key for key in self.document["keys"] if key["key"] is not None)
        return [MasterKey(from_base64(k["id"]), from_base64(k["key"]), k["state"]) for k in with_material]


def open_keyring(data, providers, seen=None, least=None):
    """`seen` is what was read before; `least` are the least revision and the least revision of the data key."""
    header, plaintext = open_whole(data, KEYRING_FILE, providers)
    made_at = int.from_bytes(header.data_key_id[:8], "big")
    document = parse_keyring(plaintext)
    demand(1 <= made_at <= document["revision"], "malformed/keyring/data-key-revision")
    public = {slot.key_id for slot in header.slots if slot.scheme == PUBLIC_KEY}
    listed = {parse_public_text(text) for text in document.get("recipients") or []}
    demand(public == listed, "malformed/keyring/recipients-differ")
    opened = Opened(document, made_at, hashlib.sha256(plaintext).digest())
    if least:
        demand(document["revision"] >= least[0], "rolled-back/revision")
        demand(made_at >= least[1], "rolled-back/data-key")
    if seen:
        seen.check(opened)
    return opened


@dataclass
class Seen:
    """What a process, or whoever pins, remembers."""

    id: str
    revision: int
    made_at: int
    digest: bytes

    def check(self, opened):
        document, ahead = opened.document, opened.document["revision"] - self.revision
        demand(document["id"] == self.id, "rolled-back/other-keyring")
        demand(ahead >= 0, "rolled-back/revision")
        demand(opened.made_at >= self.made_at, "rolled-back/data-key")
        if ahead == 0:
            demand((opened.digest, opened.made_at) == (self.digest, self.made_at), "rolled-back/same-revision")
        else:
            demand(ahead <= CHAIN, "rolled-back/too-far")
            demand(from_base64(document["before"][ahead - 1]) == self.digest, "rolled-back/chain")


def first_document(keys, **more):
    return {"version": 1, "id": to_base64(os.urandom(16)), "revision": 1, "before": [], "keys": keys} | more


def next_document(document, plaintext, **changes):
    """The revision after one; unknown fields stay."""
    before = [to_base64(hashlib.sha256(plaintext).digest()), *document["before"]][:CHAIN]
    return document | changes | {"revision": document["revision"] + 1, "before": before}


def seal_keyring(document, recipients):
    """The file and its plaintext; each revision has a data key of its own."""
    plaintext = json.dumps(document).encode()
    parse_keyring(plaintext)
    data_key_id = struct.pack(">Q", document["revision"]) + os.urandom(8)
    return seal_own(KEYRING_FILE, plaintext, recipients, data_key_id=data_key_id), plaintext
