"""Those who wrap the data key, and the order in which they are asked (FORMAT §4)."""

import hashlib
import hmac
import os
import struct
from collections import Counter
from dataclasses import dataclass

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from basics import EnvelopeError, demand, expand256, open_aead
from slots import AZURE, COMPARTMENT, EXTERNAL, KEYRING, PASSPHRASE, Slot

PASSPHRASE_CEILING_KIB = 256 * 1024  # a ceiling of this reader's own
CALLS_PER_BLOCK = 4
LOCAL, NETWORK, LAST = range(3)  # the three times that a reader goes through the slots


class Provider:
    """What is asked for a data key; `knows` says for which slots."""

    asks_network = False
    authenticates = False  # matters for external ones

    def turn(self, slot):
        if self.asks_network:
            return NETWORK
        return LAST if slot.scheme == PASSPHRASE else LOCAL


@dataclass
class MasterKey(Provider):
    id: bytes
    key: bytes
    state: str = "active"

    def knows(self, slot):
        return slot.scheme == KEYRING and slot.key_id == self.id

    def _aead(self, header):
        return AESGCM(expand256(self.key, "phi-envelope/1 wrap key", self.id + header.data_key_id))

    def unwrap_key(self, slot, header):
        demand(self.state in ("active", "deactivated"), "key-not-usable")
        aead, name = self._aead(header), "authentication-failed/wrapped-key"
        return open_aead(aead, slot.wrapped[:12], slot.wrapped[12:], header.wrap_aad(), name)

    def wrap_key(self, data_key, header):
        iv = os.urandom(12)
        sealed = self._aead(header).encrypt(iv, data_key, header.wrap_aad())
        return Slot(KEYRING, self.id, iv + sealed)


@dataclass
class CompartmentKey(Provider):
    compartment: bytes
    number: int
    key: bytes

    @property
    def key_id(self):
        return self.compartment + struct.pack(">I", self.number)

    def knows(self, slot):
        return slot.scheme == COMPARTMENT and slot.key_id == self.key_id

    def _aead(self, header):
        return AESGCM(expand256(self.key, "phi-envelope/1 compartment wrap key", self.key_id + header.data_key_id))

    def unwrap_key(self, slot, header):
        aead, name = self._aead(header), "authentication-failed/wrapped-key"
        return open_aead(aead, slot.wrapped[:12], slot.wrapped[12:], header.wrap_aad(), name)

    def wrap_key(self, data_key, header):
        iv = os.urandom(12)
        sealed = self._aead(header).encrypt(iv, data_key, header.wrap_aad())
        return Slot(COMPARTMENT, self.key_id, iv + sealed)


@dataclass
class Passphrase(Provider):
    text: str
    costs: tuple = (65536, 3, 4)  # m in KiB, t, p

    def knows(self, slot):
        return slot.scheme == PASSPHRASE

    def _derived(self, salt, costs):
        m, t, p = costs
        out = hash_secret_raw(self.text.encode(), salt, t, m, p, 64, Type.ID, version=0x13)
        return out[:32], out[32:]

    def _check_ceilings(self, costs):
        demand(costs[0] <= PASSPHRASE_CEILING_KIB, "limit-exceeded/passphrase-memory")
        work = max(786_432, 4 * self.costs[0] * self.costs[1])
        demand(costs[0] * costs[1] <= work, "limit-exceeded/passphrase-work")

    def unwrap_key(self, slot, header):
        costs, check = struct.unpack_from(">III", slot.wrapped), slot.wrapped[12:44]
        self._check_ceilings(costs)
        kek, expected = self._derived(slot.key_id, costs)
        demand(hmac.compare_digest(check, expected), "wrong-passphrase")
        name = "authentication-failed/wrapped-key"
        return open_aead(AESGCM(kek), slot.wrapped[44:56], slot.wrapped[56:], header.wrap_aad(), name)

    def wrap_key(self, data_key, header):
        salt, iv = os.urandom(16), os.urandom(12)
        kek, check = self._derived(salt, self.costs)
        sealed = AESGCM(kek).encrypt(iv, data_key, header.wrap_aad())
        return Slot(PASSPHRASE, salt, struct.pack(">III", *self.costs) + check + iv + sealed)


class Service(Provider):
    """A key service outside the format, played: every slot of its name is its own; it counts how often it is asked.

    tests/vectors/README.md says how it wraps. One that fails answers everything with that error.
    """

    def __init__(self, name, asks_network=True, authenticates=False, fails=None, id=b"key-1"):
        self.name, self.asks_network, self.authenticates = name, asks_network, authenticates
        self.fails, self.id, self.asked = fails, id, 0

    def knows(self, slot):
        return slot.external_name == self.name.encode()

    def _hashed(self, what, header, data_key=b""):
        aad = header.wrap_aad() if self.authenticates else b""
        return hashlib.sha256(self.name.encode() + what + aad + data_key).digest()

    def _masked(self, header, key):
        return bytes(a ^ b for a, b in zip(self._hashed(b"\0", header), key))

    def unwrap_key(self, slot, header):
        self.asked += 1
        demand(not self.fails, self.fails)
        data_key, tag = self._masked(header, slot.wrapped[:32]), slot.wrapped[32:]
        demand(tag == self._hashed(b"\1", header, data_key)[:16], "authentication-failed/wrapped-key")
        return data_key

    def wrap_key(self, data_key, header):
        name, tag = self.name.encode(), self._hashed(b"\1", header, data_key)[:16]
        return Slot(EXTERNAL, bytes([len(name)]) + name + self.id, self._masked(header, data_key) + tag)


# --- Asking them -----------------------------------------------------------------------------------------------------------------


class Unverified(EnvelopeError):
    """Every slot that the reader knows was tried, and each failed authentication: that speaks against the header (FORMAT §7)."""


def believed(slot, provider):
    """Whether a slot says who made a file of the format's own."""
    if slot.scheme == EXTERNAL:
        return provider.authenticates
    return slot.scheme in (0x01, 0x02, 0x04, 0x05, 0x06, 0x07)


def unlock(header, providers, answers=None, only_believed=False):
    """The data key, under which the header tag has verified.

    `answers` are those to the slots of another header, which are not asked for again.
    """
    answers = {} if answers is None else answers
    known = [(slot, provider) for slot in header.slots for provider in providers if provider.knows(slot)]
    demand(known, "no-matching-key")
    if only_believed:
        known = [(slot, provider) for slot, provider in known if believed(slot, provider)]
        demand(known, "maker-unknown")
    failures, calls, wrong_tag = [], Counter(), False
    for turn in (LOCAL, NETWORK, LAST):
        for slot, provider in known:
            if provider.turn(slot) != turn or wrong_tag and turn != LOCAL:
                continue
            try:
                data_key = ask(provider, slot, header, answers, calls)
                if hmac.compare_digest(header.tag, header.tag_under(data_key)):
                    return data_key
                wrong_tag |= slot.scheme not in (AZURE, EXTERNAL)
                raise EnvelopeError("authentication-failed/header")
            except EnvelopeError as failure:
                failures.append(failure)
    for failure in failures:
        if failure.group != "authentication-failed":
            raise failure
    raise Unverified(str(failures[0]))


def ask(provider, slot, header, answers, calls):
    question = id(provider), slot, header.wrap_aad()
    if question not in answers:
        if provider.asks_network:
            demand(calls[id(provider)] < CALLS_PER_BLOCK, "limit-exceeded/provider-calls")
            calls[id(provider)] += 1
        try:
            answers[question] = provider.unwrap_key(slot, header)
        except EnvelopeError as failure:
            answers[question] = failure
    if isinstance(answers[question], EnvelopeError):
        raise answers[question]
    return answers[question]
