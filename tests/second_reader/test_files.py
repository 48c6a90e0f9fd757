"""Rules of the format's own files: what JSON means, which keyring counts, what evidence permits.

    python -m unittest test_files
"""

import base64
import json
import os
import struct
import unittest
from dataclasses import replace

import envelope
import evidence
import header as headers
import keyring
import made
import recipient
import strict
from basics import EnvelopeError, from_base64, to_base64
from rules import Rules, master


class Json(Rules):
    def parses(self, text, known=frozenset({"version", "critical", "id"})):
        return strict.parse(text if isinstance(text, bytes) else text.encode(), known)

    def test_good(self):
        deep = "[" * 31 + "]" * 31
        fields = ['"a": 9007199254740991', '"a": [0, "\\ud83d\\ude00", null, true, {"b": {}}]', f'"a": {deep}', '"critical": ["id"]', '"": ""']
        for more in fields:
            self.parses('{"version": 1, %s}' % more)
        self.parses(' {"version":1}\n')

    def test_bad(self):
        deep = "[" * 32 + "]" * 32
        self.fails("malformed/json", self.parses, '{"version": 1, "a": %s}' % deep)
        wrong = ["-1", "-0", "1.0", "1e2", "9007199254740992", "1" * 5000, "NaN", "01", '"\\ud83d"', '"\\ude00\\ud83d"', "{]", "'a'"]
        for value in wrong:
            with self.subTest(value=value[:40]):
                self.fails("malformed/json", self.parses, '{"version": 1, "a": [%s]}' % value)
        documents = [
            '{"version": 1, "a": 1, "a": 1}',
            '{"version": 1, "a": 1, "\\u0061": 2}',
            '{"version": 1, "a": {"b": 1, "b": 1}}',
            '{"version": 1, "\\ud83d": 1}',
            '\ufeff{"version": 1}',
            "[1]",
            "1",
            "",
            "{}",
            '{"version": "1"}',
            '{"version": 1.0}',
            '{"version": null}',
            '{"version": 1} x',
            '{"version": 1,}',
            '{"version": 1, "critical": "id"}',
            '{"version": 1, "critical": [1]}',
            b'{"version": 1, "a": "\xff"}',
            '{"version": 1, "a": "\n"}',
        ]
        for document in documents:
            with self.subTest(document=document):
                self.fails("malformed/json", self.parses, document)

    def test_newer(self):
        documents = [
            '{"version": 2}',
            '{"version": 2, "a": -1.5, "b": [[], {"c": 1, "c": 1}]}',
            '{"version": 0}',
            '{"version": 1, "critical": ["lease", "x"]}',
        ]
        for document in documents:
            self.fails("newer-version", self.parses, document)


def keys(*states):
    out = []
    for state in states:
        key = None if state == "destroyed" else to_base64(os.urandom(32))
        id = to_base64(os.urandom(16))
        out.append({"id": id, "label": state, "state": state, "created": 5, "changed": 5, "key": key})
    return out


class Keyrings(Rules):
    def setUp(self):
        self.one = master()

    def opened(self, document, **more):
        return keyring.open_keyring(keyring.seal_keyring(document, [self.one])[0], [self.one], **more)

    def sealed_as(self, document, made_at, recipients=None):
        """Whatever the document says."""
        id = struct.pack(">Q", made_at) + os.urandom(8)
        return envelope.seal_own(headers.KEYRING_FILE, json.dumps(document).encode(), recipients or [self.one], data_key_id=id)

    def test_fields(self):
        good = keyring.first_document(keys("active", "destroyed"))
        self.opened(good)
        self.opened(good | {"lease": 1, "lease_changed": 7, "critical": ["lease"], "recipients": [], "index_keys": []})
        self.opened(good | {"unknown": {"key": "x"}})
        self.opened(good | {"lease": 86_400})
        index = {**keys("active")[0], "number": 255}
        self.opened(good | {"index_keys": [index]})
        active, destroyed = good["keys"]
        wrong = [
            ("malformed/keyring/json", {"id": to_base64(bytes(15))}),
            ("malformed/keyring/json", {"id": "AAAAAAAAAAAAAAAAAAAAAB=="}),
            ("malformed/keyring/json", {"revision": "1"}),
            ("malformed/keyring/before", {"revision": 0}),
            ("malformed/keyring/lease", {"lease": 0}),
            ("malformed/keyring/lease", {"lease": 86_401}),
            ("malformed/keyring/json", {"lease_changed": "x"}),
            ("malformed/keyring/before", {"before": [to_base64(bytes(32))]}),
            ("malformed/keyring/before", {"revision": 2}),
            ("malformed/keyring/json", {"keys": {}}),
            ("malformed/keyring/active-keys", {"keys": []}),
            ("malformed/keyring/active-keys", {"keys": [active, *keys("active")]}),
            ("malformed/keyring/duplicate-id", {"keys": [active, destroyed | {"id": active["id"]}]}),
            ("malformed/keyring/material", {"keys": [active, destroyed | {"key": active["key"]}]}),
            ("malformed/keyring/material", {"keys": [active | {"key": None}]}),
            ("malformed/keyring/json", {"keys": [{n: v for n, v in active.items() if n != "key"}]}),
            ("malformed/keyring/json", {"keys": [active | {"state": "lost"}]}),
            ("malformed/keyring/json", {"keys": [active | {"label": None}]}),
            ("malformed/master-key-text", {"keys": [active | {"key": to_base64(bytes(31))}]}),
            ("malformed/keyring/material", {"keys": [active | {"evidence": to_base64(bytes(32))}]}),
            ("malformed/keyring/json", {"keys": [active, destroyed | {"evidence": to_base64(bytes(16))}]}),
            ("malformed/keyring/version", {"critical": ["order"]}),
            ("malformed/keyring/version", {"recipients": ["phi-recipient:mlkem9:AAAA"]}),
            ("malformed/keyring/recipients", {"recipients": ["age1qqqq"]}),
            ("malformed/keyring/index-keys", {"index_keys": [index | {"number": 0}]}),
            ("malformed/keyring/index-keys", {"index_keys": [index | {"number": 256}]}),
            ("malformed/keyring/index-keys", {"index_keys": [index, {**keys("previous")[0], "number": 255}]}),
            ("malformed/keyring/index-keys", {"index_keys": [index, {**keys("active")[0], "number": 2}]}),
            ("malformed/keyring/version", {"version": 2, "keys": -1}),
        ]
        for name, changes in wrong:
            with self.subTest(changes=changes):
                sealed = self.sealed_as(good | changes, 1)
                self.fails(name, keyring.open_keyring, sealed, [self.one])
        evidence_of = keys("destroyed")[0] | {"evidence": to_base64(bytes(32))}
        self.opened(good | {"keys": [active, evidence_of]})

    def test_the_data_key_id(self):
        document = keyring.first_document(keys("active"))
        later = document | {"revision": 3, "before": [to_base64(bytes(32))] * 2}
        for made_at in (1, 2, 3):
            opened = keyring.open_keyring(self.sealed_as(later, made_at), [self.one])
            self.assertEqual(opened.made_at, made_at)
        for made_at in (0, 4, 2**63):
            self.fails("malformed/keyring/data-key-revision", keyring.open_keyring, self.sealed_as(later, made_at), [self.one])

    def test_recipients_are_those_of_the_slots(self):
        public = public_key()
        id = recipient.public_key_id(0x647A, public)
        text = recipient.public_text(0x647A, public)
        slot = made.Stranger(0x03, id, bytes(1168))
        document = keyring.first_document(keys("active"))
        both = document | {"recipients": [text]}
        keyring.open_keyring(self.sealed_as(both, 1, [self.one, slot]), [self.one])
        name = "malformed/keyring/recipients"
        differ = f"{name}-differ"
        self.fails(differ, keyring.open_keyring, self.sealed_as(document, 1, [self.one, slot]), [self.one])
        self.fails(differ, keyring.open_keyring, self.sealed_as(both, 1), [self.one])
        twice = document | {"recipients": [text, text]}
        self.fails(name, keyring.open_keyring, self.sealed_as(twice, 1, [self.one, slot]), [self.one])

    def test_a_text_of_a_public_key(self):
        public = public_key()
        text = recipient.public_text(0x647A, public)
        self.assertEqual(recipient.parse_public_text(text), recipient.public_key_id(0x647A, public))
        wrong = [
            text[:-1],
            text + "A",
            text.replace("mlkem768-x25519", "mlkem1024-p384"),
            recipient.public_text(0x647A, public[:-32] + bytes(32)),
            recipient.public_text(0x647A, b"\xff\xff\xff" + public[3:]),
            recipient.public_text(0x0051, b"\1" * 1568 + b"\4" + bytes(96)),
        ]
        for text in wrong:
            with self.assertRaisesRegex(EnvelopeError, "^malformed/"):
                recipient.parse_public_text(text)

    def test_rolled_back(self):
        history, document = [], keyring.first_document(keys("active"))
        for _ in range(70):
            sealed, plaintext = keyring.seal_keyring(document, [self.one])
            history.append(keyring.open_keyring(sealed, [self.one]))
            document = keyring.next_document(document, plaintext)

        def allows(seen, opened):
            try:
                history[seen - 1].seen().check(opened if isinstance(opened, keyring.Opened) else history[opened - 1])
                return True
            except EnvelopeError as error:
                self.assertEqual(error.group, "rolled-back")
                return False

        self.assertTrue(allows(1, 1) and allows(1, 2) and allows(1, 65) and allows(6, 70) and allows(69, 70))
        self.assertFalse(allows(1, 66) or allows(2, 1) or allows(70, 69))
        fork = keyring.Opened(history[4].document | {"lease": 1}, 5, b"?" * 32)
        self.assertFalse(allows(5, fork) or allows(4, replace(fork, document=fork.document | {"before": [to_base64(bytes(32))] * 4})))
        self.assertTrue(allows(4, fork))  # another child of one parent
        self.assertFalse(allows(5, replace(history[4], made_at=4)))
        self.assertFalse(allows(5, replace(history[5], made_at=4)))
        self.assertTrue(allows(5, replace(history[5], made_at=5)))
        self.assertFalse(allows(5, replace(history[5], document=history[5].document | {"id": to_base64(bytes(16))})))
        self.opened(history[4].document, least=(5, 5))
        for least, name in (((6, 1), "revision"), ((1, 6), "data-key")):
            self.fails(f"rolled-back/{name}", self.opened, history[4].document, least=least)
        self.fails("rolled-back/revision", self.opened, history[4].document, seen=history[5].seen())


def public_key():
    """Any bytes whose numbers of 12 bits are small."""
    return b"\1\2\3" * 384 + bytes(range(32)) + bytes(range(1, 33))


class Evidence(Rules):
    NOW = 1_000_000

    def setUp(self):
        self.key, self.active = keys("deactivated", "active")
        self.keyring = keyring.first_document([self.key, self.active]) | {"revision": 4}
        self.evidence = {
            "version": 1,
            "keyring": {"id": self.keyring["id"], "revision": 4},
            "key": {"scheme": 1, "id": self.key["id"]},
            "began": self.NOW - 50,
            "ended": self.NOW,
            "settled_since": self.NOW - 1_251,
            "places": [{"name": "/archive", "kind": "tree", "envelopes": 7, "bytes": 9}],
            "opened": 7,
            "in_use": 0,
            "findings": [],
            "accepted": [],
            "previous": None,
        }

    def why(self, changes={}, key=None, ring={}, now=NOW, **more):
        document = evidence.parse_evidence(json.dumps(self.evidence | changes).encode())
        listed = self.keyring["keys"] if key is None else [self.key | key, self.active]
        ring = self.keyring | {"keys": listed} | ring
        return evidence.forbids(document, ring, from_base64(self.key["id"]), now, **more)

    def test_it_permits(self):
        self.assertIsNone(self.why())
        self.assertIsNone(self.why({"ended": self.NOW + 300}))
        self.assertIsNone(self.why(key={"state": "compromised"}))
        self.assertIsNone(self.why(key={"state": "suspended"}))
        self.assertIsNone(self.why(ring={"revision": 5}))
        self.assertIsNone(self.why(now=self.NOW - 50 + 86_400))

    def test_it_does_not(self):
        now, began = self.NOW, self.NOW - 50
        refused = [
            ("other-key", {"changes": {"keyring": None}}),
            ("other-key", {"changes": {"key": {"scheme": 4, "id": self.key["id"]}}}),
            ("other-keyring", {"changes": {"keyring": {"id": to_base64(bytes(16)), "revision": 4}}}),
            ("older-keyring", {"ring": {"revision": 3}}),
            ("other-key", {"changes": {"key": {"scheme": 1, "id": self.active["id"]}}}),
            ("other-key", {"ring": {"keys": [self.active]}}),
            ("changed-since", {"key": {"state": "active"}}),
            ("changed-since", {"key": {"state": "destroyed"}}),
            ("changed-since", {"key": {"changed": now - 1_250}}),
            ("too-soon", {"changes": {"settled_since": began - 1_200}}),
            ("too-soon", {"changes": {"settled_since": began}}),
            ("too-soon", {"ring": {"lease": 901}}),
            ("too-soon", {"ring": {"lease_changed": began - 86_700}}),
            ("clock", {"changes": {"ended": began - 1}}),
            ("clock", {"changes": {"ended": now + 301}}),
            ("too-old", {"now": began + 86_401}),
            ("no-places", {"changes": {"places": []}}),
            ("in-use", {"changes": {"in_use": 1}}),
        ]
        for why, more in refused:
            with self.subTest(why=why, more=more):
                self.assertEqual(self.why(**more), why)
        self.assertIsNone(self.why(ring={"lease_changed": began - 86_701}))
        long = {"settled_since": began - 86_701}
        self.assertIsNone(self.why(long, ring={"lease_changed": began - 86_700}))
        self.assertEqual(self.why({"settled_since": began - 86_700}, ring={"lease": 1, "lease_changed": began}), "too-soon")

    def test_findings(self):
        found = {"findings": [finding("link-out"), finding("link-out"), finding("excluded")], "more": [counted("excluded", 3)]}
        accepted = [counted("link-out", 2), counted("excluded", 4)]
        self.assertIsNone(self.why(found | {"accepted": accepted}))
        self.assertIsNone(self.why(found | {"accepted": accepted[::-1]}))
        wrong = [
            [],
            accepted[:1],
            [*accepted, counted("moved", 0)],
            [*accepted, accepted[0]],
            [counted("link-out", 3), counted("excluded", 4)],
            [counted("link-out", 2), counted("excluded", 1)],
            [counted("link-out", 1), counted("link-out", 1), counted("excluded", 4)],
        ]
        for accepted in wrong:
            self.assertEqual(self.why(found | {"accepted": accepted}), "found")
        self.assertEqual(self.why({"accepted": [counted("moved", 1)]}), "found")

    def test_fields(self):
        for changes in (
            {"keyring": 1},
            {"key": {"scheme": 256, "id": ""}},
            {"findings": [finding("unheard-of")]},
            {"more": [counted("unheard-of", 1)]},
            {"places": [{"name": "x", "kind": "disk", "envelopes": 0, "bytes": 0}]},
            {"opened": None},
            {"previous": "AAAA"},
        ):
            with self.subTest(changes=changes), self.assertRaisesRegex(EnvelopeError, "^evidence/content"):
                self.why(changes)
        without = {name: value for name, value in self.evidence.items() if name != "previous"}
        self.fails("evidence/content", evidence.parse_evidence, json.dumps(without).encode())
        self.fails("evidence/newer", self.why, {"version": 2, "places": 0})
        path = base64.b64encode(b"\xff").decode()
        self.assertIsNone(self.why({"places": [{"name": "?", "path_base64": path, "kind": "objects", "envelopes": 0, "bytes": 0}]}))


def finding(kind):
    return {"class": kind, "path": "/x", "rule": "y"}


def counted(kind, count):
    return {"class": kind, "count": count}


if __name__ == "__main__":
    unittest.main()
