"""Rules of envelopes that no single one shows: slots and kinds, who is asked and how often, which header block counts.

    python -m unittest test_envelopes
"""

import io
import os
import struct
import unittest
from dataclasses import replace

import envelope
import header as headers
import made
import stream
from basics import EnvelopeError
from keys import CompartmentKey, MasterKey, Passphrase, Service, unlock
from rules import CHEAP, Rules, master
from slots import Slot


class Slots(Rules):
    def test_every_length(self):
        control, latin = "a\x7fb".encode(), b"caf\xe9"
        nel = "a\x85b".encode()
        arn = b"arn:aws:kms:eu-west-1:1:key/1"
        transit = lambda version, realm, mount, name: struct.pack(">IB", version, len(realm)) + realm + bytes([len(mount)]) + mount + name
        label = lambda label, id: bytes([len(label)]) + label + id
        of_kem = lambda kem, size: struct.pack(">H", kem) + bytes(size)
        good = [
            (0x03, of_kem(0x647A, 32), 1168),
            (0x03, of_kem(0x0051, 32), 1713),
            (0x03, of_kem(0x1234, 1), 1),
            (0x04, arn[:20], 1),
            (0x04, b"a" * 512, 4096),
            (0x04, "schlüssel-schlüssel".encode(), 1),
            (0x05, transit(1, b"", b"m", b"n"), 60),
            (0x05, transit(2**32 - 1, b"r" * 63, b"m" * 191, b"n" * 200), 60),
            (0x06, label(b"l", b"\0"), 60),
            (0x06, label("ß".encode() * 16, bytes(64)), 60),
            (0x07, b"n", 1),
            (0x08, b"n" * 512, 4096),
            (0x09, control, 1),
            (0x0A, bytes(19) + b"\1", 60),
            (0x0B, b"\0", 1),
            (0xEF, b"\0", 1),
            (0xF0, label(b"!", b"\0"), 1),
            (0xF0, label(b"~" * 255, b"\0"), 1),
            (0xF1, b"\0", 1),
        ]
        for scheme, key_id, wrapped in good:
            Slot(scheme, key_id, bytes(wrapped)).check()
        bad = [
            (0x00, b"\0", 1),
            (0x03, b"\x64\x7a", 1168),
            (0x03, of_kem(0x647A, 31), 1168),
            (0x03, of_kem(0x647A, 33), 1168),
            (0x03, of_kem(0x647A, 32), 1713),
            (0x03, of_kem(0x0051, 32), 1168),
            (0x04, arn[:19], 1),
            (0x04, arn + control, 1),
            (0x04, arn + latin, 1),
            (0x05, transit(0, b"", b"m", b"n"), 60),
            (0x05, transit(1, b"r" * 64, b"m", b"n"), 60),
            (0x05, transit(1, b"", b"", b"n"), 60),
            (0x05, transit(1, b"", b"m" * 192, b"n"), 60),
            (0x05, transit(1, b"", b"m", b""), 60),
            (0x05, transit(1, b"", b"m", b"n" * 201), 60),
            (0x05, transit(1, control, b"m", b"n"), 60),
            (0x05, transit(1, b"", latin, b"n"), 60),
            (0x05, transit(1, b"", b"m", nel), 60),
            (0x05, transit(1, b"", b"m", b"n"), 59),
            (0x05, transit(1, b"", b"m", b"n"), 61),
            (0x05, transit(1, b"", b"m", b"n")[:5], 60),
            (0x05, b"\0\0\0", 60),
            (0x06, label(b"", b"\0"), 60),
            (0x06, label(b"l" * 33, b"\0"), 60),
            (0x06, label(b"l", b""), 60),
            (0x06, label(b"l", bytes(65)), 60),
            (0x06, label(latin, b"\0"), 60),
            (0x06, label(nel, b"\0"), 60),
            (0x06, label(b"l", b"\0"), 61),
            (0x07, control, 1),
            (0x08, latin, 1),
            (0x0A, bytes(20), 60),
            (0x0A, bytes(18) + b"\1", 60),
            (0x0A, bytes(19) + b"\1", 61),
            (0xF0, label(b"", b"\0"), 1),
            (0xF0, label(b"n", b""), 1),
            (0xF0, label(b"a b", b"\0"), 1),
            (0xF0, label(b"a\x7f", b"\0"), 1),
            (0xF0, b"\2n", 1),
        ]
        for scheme, key_id, wrapped in bad:
            with self.subTest(scheme=scheme, key_id=key_id), self.assertRaisesRegex(EnvelopeError, "^malformed/"):
                Slot(scheme, key_id, bytes(wrapped)).check()

    def test_costs(self):
        costs = lambda m, t, p: Slot(0x02, bytes(16), struct.pack(">III", m, t, p) + bytes(92)).check()
        for good in ((8, 1, 1), (128, 16, 16), (1 << 20, 1, 1), (1 << 16, 16, 16)):
            costs(*good)
        for bad in ((7, 1, 1), (127, 1, 16), (8, 0, 1), (8, 1, 0), (8, 17, 1), (136, 1, 17), ((1 << 20) + 1, 1, 1), ((1 << 16) + 1, 16, 1)):
            self.fails("malformed/passphrase-costs", costs, *bad)

    def test_slots_together(self):
        one = master()
        words, pbkdf2 = Passphrase("x", CHEAP), made.Stranger(0x09, b"salt", b"?")
        seal = envelope.seal_record
        self.fails("malformed/two-passphrase-slots", seal, b"", [words, pbkdf2])
        self.fails("malformed/two-passphrase-slots", seal, b"", [words, words])
        other = made.Stranger(0x09, b"tlas", b"?")
        self.fails("malformed/two-passphrase-slots", seal, b"", [one, pbkdf2, other])
        patient = CompartmentKey(os.urandom(16), 1, os.urandom(32))
        self.assertEqual(envelope.open_record(seal(b"alone", [patient]), [patient]), b"alone")
        self.fails("malformed/compartment-slot", seal, b"", [patient, one])
        self.fails("malformed/compartment-slot", seal, b"", [one, patient])
        self.fails("malformed/compartment-slot", envelope.seal_own, headers.EVIDENCE, b"{}", [patient])

    def test_labels_of_the_format(self):
        for key in ("phi-envelope", "PHI-Envelope", "phi-envelope:wrap", "phi-ENVELOPEs"):
            self.fails("malformed/label-reserved", envelope.seal_record, b"", [master()], {key: "x"})
        envelope.seal_record(b"", [master()], {"phi-envelop": "x", "a-phi-envelope": "x"})


class Kinds(Rules):
    def test_flags_and_labels(self):
        one = master()
        for kind in filter(headers.own, headers.KINDS):
            for flags in range(4):
                header = headers.Header(kind, os.urandom(16))
                header.bindings_tag = bytes(32) if flags & 1 else b""
                header.message_id = bytes(16) if flags & 2 else b""
                header.slots, header.tag = [one.wrap_key(bytes(32), header)], bytes(32)
                if flags == (1 if kind in (0x08, 0x0A) else 0):
                    headers.parse_header(header.encode())
                    header.labels = {"tenant": "x"}
                    self.fails("malformed/labels-of-own-file", headers.parse_header, header.encode())
                else:
                    self.fails("malformed/flags", headers.parse_header, header.encode())

    def test_kind_bytes(self):
        sealed = envelope.seal_record(b"", [master()])
        for kind in (0x00, 0x0B, 0x0C, 0xFF):
            self.fails("malformed/kind", headers.parse_header, sealed[:5] + bytes([kind]) + b"\xff" * 10)

    def test_no_slot_serves_another_kind(self):
        one = master()
        kinds = [headers.RECORD, *filter(headers.own, headers.KINDS)]
        aads = set()
        for kind in kinds:
            header = headers.Header(kind, bytes(16))
            aads.add(header.wrap_aad())
            slot = one.wrap_key(bytes(32), header)
            for other in kinds:
                if other != kind:
                    changed = replace(header, kind=other)
                    self.fails("authentication-failed/wrapped-key", one.unwrap_key, slot, changed)
        self.assertEqual(len(aads), len(kinds))

    def test_length(self):
        one = master()
        for kind, limit in ((headers.EVIDENCE, 16 << 20), (headers.COMPARTMENT_ENTRY, 64 << 10)):
            bindings = {"store": "x"} if kind in headers.BOUND else {}
            overhead = len(envelope.seal_own(kind, b"", [one], bindings))
            sealed = envelope.seal_own(kind, bytes(limit - overhead), [one], bindings)
            envelope.open_whole(sealed, kind, [one], {}, bindings)
            self.fails("limit-exceeded/own-file", envelope.open_whole, sealed + b"\0", kind, [one], {}, bindings)
            self.fails("limit-exceeded/own-file", envelope.seal_own, kind, bytes(limit - overhead + 1), [one], bindings)

    def test_who_made_it(self):
        one, kind = master(), headers.EVIDENCE
        sealed = envelope.seal_own(kind, b"{}", [one])
        self.assertEqual(envelope.open_whole(sealed, kind, [one])[1], b"{}")
        unheard, heard = Service("org.example.kms"), Service("org.example.kms", authenticates=True)
        self.fails("maker-unknown", envelope.seal_own, kind, b"{}", [unheard])
        sealed = envelope.seal_own(kind, b"{}", [heard])
        self.assertEqual(envelope.open_whole(sealed, kind, [heard])[1], b"{}")
        self.fails("maker-unknown", envelope.open_whole, sealed, kind, [unheard])
        self.assertEqual(unheard.asked, 0)
        self.fails("no-matching-key", envelope.open_whole, sealed, kind, [one])
        public = made.OTHERS[1]
        self.fails("maker-unknown", envelope.seal_own, kind, b"{}", [one, public])
        envelope.seal_own(headers.KEYRING_FILE, b"{}", [one, public])


class Order(Rules):
    """FORMAT §4: a reader goes through the slots three times."""

    def record(self, recipients):
        return envelope.seal_record(b"BP", recipients)

    def test_memory_first_then_network_then_passphrase(self):
        asked = []

        class Watched(Service):
            def unwrap_key(self, slot, header):
                asked.append(self.name)
                return super().unwrap_key(slot, header)

        class WatchedWords(Passphrase):
            def unwrap_key(self, slot, header):
                asked.append("passphrase")
                return super().unwrap_key(slot, header)

        words, far = WatchedWords("x", CHEAP), Watched("far", fails="provider/unreachable")
        near = Watched("near", asks_network=False, fails="provider/unreachable")
        sealed = self.record([words, far, near])
        self.assertEqual(envelope.open_record(sealed, [words, far, near]), b"BP")
        self.assertEqual(asked, ["near", "far", "passphrase"])

    def test_a_keyring_that_asks_a_network(self):
        one, words = master(), Passphrase("y", CHEAP)
        sealed = self.record([one, words])
        one.asks_network = True
        calls = []
        one.unwrap_key = lambda slot, header: calls.append(slot) or MasterKey.unwrap_key(one, slot, header)
        self.assertEqual(envelope.open_record(sealed, [one, words]), b"BP")
        self.assertEqual(len(calls), 1)

    def test_four_calls_of_each_provider(self):
        service, other = Service("a"), Service("b")
        wrong = [made.Stranger(0xF0, b"\1a" + bytes([n]), os.urandom(60)) for n in range(9)]
        sealed = self.record([*wrong, service])
        self.fails("limit-exceeded/provider-calls", envelope.open_record, sealed, [service])
        self.assertEqual(service.asked, 4)
        words = Passphrase("x", CHEAP)
        sealed = self.record([*wrong, other, words])
        self.assertEqual(envelope.open_record(sealed, [service, other]), b"BP")
        self.assertEqual((service.asked, other.asked), (8, 1))
        self.assertEqual(envelope.open_record(sealed, [service, words]), b"BP")
        near = Service("a", asks_network=False)
        sealed = self.record([*wrong, near])
        self.assertEqual(envelope.open_record(sealed, [near]), b"BP")
        self.assertEqual(near.asked, 10)

    def test_no_more_after_a_wrong_tag_behind_an_authenticated_unwrap(self):
        one, service, words = master(), Service("a"), Passphrase("x", CHEAP)
        sealed = bytearray(self.record([one, service, words]))
        sealed[8] ^= 1  # the generation, which the tag covers
        self.fails("authentication-failed/header", envelope.open_record, bytes(sealed), [one, service, words])
        self.assertEqual(service.asked, 0)
        # Others of the first pass are tried, and one that is not authenticated stops nothing.
        near = Service("near", asks_network=False)
        sealed = bytearray(self.record([one, service, near]))
        sealed[8] ^= 1
        self.fails("authentication-failed/header", envelope.open_record, bytes(sealed), [one, service, near])
        self.assertEqual((service.asked, near.asked), (0, 1))
        self.fails("authentication-failed/header", envelope.open_record, bytes(sealed), [service, near])
        self.assertEqual((service.asked, near.asked), (1, 2))

    def test_the_failure_that_is_reported(self):
        one, down, words = master(), Service("a", fails="provider/unreachable"), Passphrase("x", CHEAP)
        sealed = self.record([one, Service("a"), words])
        other = MasterKey(one.id, bytes(32))
        self.fails("provider/unreachable", envelope.open_record, sealed, [other, down, Passphrase("y", CHEAP)])
        self.fails("wrong-passphrase", envelope.open_record, sealed, [other, Passphrase("y", CHEAP)])
        self.fails("authentication-failed/wrapped-key", envelope.open_record, sealed, [other])
        self.fails("no-matching-key", envelope.open_record, sealed, [master()])
        self.fails("key-not-usable", envelope.open_record, sealed, [replace(one, state="suspended")])

    def test_a_fifth_slot_is_not_written(self):
        four = [Service("a", id=bytes([n])) for n in range(4)]
        self.record(four)
        self.fails("limit-exceeded/provider-calls", self.record, [*four, Service("a")])
        self.record([*four, Service("b")])
        near = [Service("a", id=bytes([n]), asks_network=False) for n in range(9)]
        self.record(near)
        kms = [made.Stranger(0x04, b"arn:aws:kms:e:1:key/" + bytes([65 + n]), b"?") for n in range(5)]
        self.record(kms[:4])
        self.fails("limit-exceeded/provider-calls", self.record, kms)

    def test_ceilings(self):
        def slot(m, t):
            return [made.Stranger(0x02, bytes(16), struct.pack(">III", m, t, 1) + bytes(92))]

        for costs, name in (((262_145, 1), "memory"), ((65_536, 13), "work"), ((262_144, 4), "work")):
            self.fails(f"limit-exceeded/passphrase-{name}", envelope.open_record, self.record(slot(*costs)), [Passphrase("x", CHEAP)])
        dear = Passphrase("x", (65_536, 4, 1))  # its own ceiling is above that of others
        dear._check_ceilings((65_536, 16, 1))
        Passphrase("x", CHEAP)._check_ceilings((65_536, 12, 1))


class Blocks(Rules):
    """FORMAT §7: what speaks against a block, and what stops the reader."""

    def setUp(self):
        self.one, self.service = master(), Service("a")
        self.blocks, self.floe = stream.seal_stream(headers.INLINE, b"text", [self.one])
        self.data_key = unlock(headers.parse_header(self.blocks), [self.one])

    def newer(self, recipients, good=True):
        header = headers.parse_header(self.blocks)
        header.generation = 1
        header.slots = [recipient.wrap_key(self.data_key, header) for recipient in recipients]
        header.tag = header.tag_under(self.data_key) if good else bytes(32)
        return stream.block_of(header)

    def opened(self, first, second, providers):
        damage, segments = stream.open_inline(io.BytesIO(first + second + self.floe), providers)
        return damage, b"".join(segments)

    def test_failed_authentication_falls_back(self):
        block = self.newer([self.one], good=False)
        self.assertEqual(self.opened(block, self.blocks[4096:], [self.one]), ("first-block", b"text"))
        self.assertEqual(self.opened(self.blocks[:4096], block, [self.one]), ("second-block", b"text"))
        other = MasterKey(self.one.id, bytes(32))
        block = self.newer([other])
        self.assertEqual(self.opened(block, self.blocks[4096:], [self.one]), ("first-block", b"text"))

    def test_all_else_stops(self):
        old = self.blocks[4096:]
        words, two = Passphrase("x", CHEAP), master()
        block = self.newer([two])
        self.fails("no-matching-key", self.opened, block, old, [self.one])
        suspended = replace(two, state="suspended")
        self.fails("key-not-usable", self.opened, block, old, [self.one, suspended])
        block = self.newer([words])
        self.fails("wrong-passphrase", self.opened, block, old, [self.one, Passphrase("y", CHEAP)])
        block = self.newer([self.service])
        down = Service("a", fails="provider/unreachable")
        self.fails("provider/unreachable", self.opened, block, old, [self.one, down])
        wrong = [made.Stranger(0xF0, b"\1a" + bytes([n]), os.urandom(60)) for n in range(5)]
        block = self.newer(wrong)
        self.fails("limit-exceeded/provider-calls", self.opened, block, old, [self.one, self.service])
        block = self.newer(wrong[:4])
        self.assertEqual(self.opened(block, old, [self.one, self.service]), ("first-block", b"text"))
        # One failed authentication and one refusal: the refusal stops.
        block = self.newer([MasterKey(self.one.id, bytes(32)), two])
        self.fails("key-not-usable", self.opened, block, old, [self.one, suspended])

    def test_an_answer_is_used_in_both_blocks(self):
        slots = [made.Stranger(0xF0, b"\1a" + bytes([n]), os.urandom(60)) for n in range(3)]
        blocks = self.newer(slots), self.newer(slots, good=False)
        self.fails("authentication-failed/wrapped-key", self.opened, *blocks, [self.service])
        self.assertEqual(self.service.asked, 3)

    def test_a_payload_pairs_with_its_header_alone(self):
        head, payload = stream.seal_stream(headers.DETACHED, b"text", [self.one])
        header = headers.parse_header(head)
        data_key = unlock(header, [self.one])
        self.assertTrue(stream.pairs_with(header, data_key, io.BytesIO(payload)))
        forged = payload[:34] + os.urandom(32) + payload[66:]  # the id is right, and FLOE's tag is not
        self.assertFalse(stream.pairs_with(header, data_key, io.BytesIO(forged)))

    def test_the_same_block_is_tried_once(self):
        calls = []
        other = MasterKey(self.one.id, bytes(32))
        other.unwrap_key = lambda slot, header: calls.append(slot) or MasterKey.unwrap_key(other, slot, header)
        self.fails("authentication-failed/wrapped-key", self.opened, self.blocks[:4096], self.blocks[4096:], [other])
        self.assertEqual(len(calls), 1)


if __name__ == "__main__":
    unittest.main()
