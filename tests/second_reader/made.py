"""Cases for another reader, of this writer's own making (the layout is that of tests/vectors)."""

import base64
import hashlib
import json
import os
import struct

import envelope
import keyring
import stream
from basics import to_text
from header import BOUND, DETACHED, EVIDENCE, INLINE, KEYRING_FILE, KINDS, own
from keys import MasterKey, Passphrase, Service
from slots import AWS_KMS, AZURE, EXTERNAL, GOOGLE_KMS, KEMS, PBKDF2, PKCS11, PUBLIC_KEY, TRANSIT, Slot


def described(plaintext):
    if len(plaintext) <= 1024:
        return {"plaintext": b64(plaintext)}
    return {"sha256": hashlib.sha256(plaintext).hexdigest(), "length": len(plaintext)}


class Stranger:
    """A recipient of whom the reader knows nothing."""

    asks_network = authenticates = False

    def __init__(self, scheme=EXTERNAL, key_id=b"\x0forg.example.kms" + b"key-7", wrapped=b"wrapped by a stranger"):
        self.slot = Slot(scheme, key_id, wrapped)

    def wrap_key(self, data_key, header):
        return self.slot


# A slot of every scheme that has a layout, and of some that have none.
OTHERS = [
    Stranger(),
    Stranger(PUBLIC_KEY, struct.pack(">H", 0x647A) + bytes(32), bytes(KEMS[0x647A])),
    Stranger(PUBLIC_KEY, struct.pack(">H", 0x0051) + bytes(32), bytes(KEMS[0x0051])),
    Stranger(PUBLIC_KEY, b"\0\1?", b"of a KEM that is not listed"),
    Stranger(AWS_KMS, b"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", bytes(184)),
    Stranger(TRANSIT, struct.pack(">I", 3) + b"\4east\x0bteam/secret" + b"phi-key_1.x", bytes(60)),
    Stranger(TRANSIT, struct.pack(">I", 1) + b"\0\1m" + b"n", bytes(60)),
    Stranger(PKCS11, b"\x06HSM \xc3\xa9" + b"\0\1", bytes(60)),
    Stranger(GOOGLE_KMS, b"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", bytes(113)),
    Stranger(AZURE, b"https://v.vault.azure.net/keys/phi/0123456789abcdef", bytes(256)),
    Stranger(0x0B, b"\0", b"\0"),
    Stranger(0xEF, bytes(512), b"\0"),
    Stranger(0xFF, b"\0", b"\0"),
]


LABELS = {"tenant": "clinic-7", "tenant-of": "región", "a": "x" * 256}
BINDINGS = {"patient": "MRN-0042", "record": "obs-7 ✓"}
CHEAP = (64, 2, 2)


def masters():
    return [MasterKey(os.urandom(16), os.urandom(32)) for _ in range(2)]


def case(about, call, sealed, readers, opens=None, fails=None, labels={}, bindings={}, **more):
    """One case in the layout of tests/vectors."""
    held = [{"id": r.id.hex(), "key": b64(r.key)} for r in readers if isinstance(r, MasterKey)]
    known = [r.text for r in readers if isinstance(r, Passphrase)]
    services = [service_fields(r) for r in readers if isinstance(r, Service)]
    fields = {"about": about, "call": call, "master_keys": held, "services": services, "passphrases": known}
    fields |= {"labels": labels, "bindings": bindings}
    fields |= {"envelope": [b64(sealed)]} if call != "text" else {}
    return fields | ({"fails": fails} if fails else {"opens": opens}) | more


def service_fields(service):
    return {
        "name": service.name,
        "asks_network": service.asks_network,
        "authenticates": service.authenticates,
        "fails": bool(service.fails),
    }


def b64(data):
    return base64.b64encode(data).decode()


def records():
    (first, second), words = masters(), Passphrase("correct horse, Umlaut ü", CHEAP)
    recipients = [Stranger(), first, words, second]
    for size in (0, 1, 15, 16, 1000, 100_000):
        plaintext = os.urandom(size)
        for shared_key in (False, True):
            sealed = envelope.seal_record(plaintext, recipients, LABELS, BINDINGS, shared_key)
            for reader in (first, words, second):
                yield case("A record.", "record", sealed, [reader], described(plaintext), labels={"a": "x" * 256}, bindings=BINDINGS)
    bare = envelope.seal_record(b"text", [first])
    yield case("Text.", "text", b"", [first], described(b"text"), text=to_text(bare))
    yield case("Another key.", "record", bare, [second], fails="no-matching-key")
    other = MasterKey(first.id, second.key)
    yield case("Another key of that id.", "record", bare, [other], fails="authentication-failed/wrapped-key")
    yield case("A last byte less.", "record", bare[:-1], [first], fails="authentication-failed/record")
    wrong = dict(BINDINGS, patient="MRN-0043")
    yield case("Other bindings.", "record", sealed, [first], fails="context-mismatch/bindings-differ", bindings=wrong)
    yield case("No bindings.", "record", sealed, [first], fails="context-mismatch/bindings-missing")
    far = {"tenant": "clinic-8"}
    yield case("Another label.", "record", sealed, [first], fails="context-mismatch/labels-differ", labels=far, bindings=BINDINGS)
    yield case("Another passphrase.", "record", sealed, [Passphrase("x")], fails="wrong-passphrase", bindings=BINDINGS)
    for other in OTHERS:
        sealed = envelope.seal_record(b"beside another", [other, first])
        yield case(f"Beside scheme {other.slot.scheme:#04x}.", "record", sealed, [first], described(b"beside another"))
    many = envelope.seal_record(b"beside all", [*OTHERS, first])
    yield case("Beside all of them.", "record", many, [first], described(b"beside all"))
    pbkdf2 = envelope.seal_record(b"beside 0x09", [Stranger(PBKDF2, b"salt", b"wrapped"), first])
    yield case("Beside scheme 0x09.", "record", pbkdf2, [first], described(b"beside 0x09"))


def own_files():
    """Each with the slots of a record; whoever opens records refuses it before any key work."""
    first = masters()[0]
    for kind in filter(own, KINDS):
        sealed = envelope.seal_own(kind, b"{}", [first], BINDINGS if kind in BOUND else {})
        yield case(f"A {KINDS[kind]}.", "record", sealed, [first], fails="malformed/other-kind", bindings=BINDINGS)
        if kind != KEYRING_FILE:
            yield case(f"A {KINDS[kind]}.", "keyring-file", sealed, [first], fails="malformed/other-kind")
    sealed = envelope.seal_record(b"{}", [first])
    yield case("A record.", "keyring-file", sealed, [first], fails="malformed/other-kind")


OTHER_HEADER = "authentication-failed/payload-of-another-header"


def streams():
    other_head = b"PHIP\1\3\0\0" + os.urandom(16)
    (first, second), words = masters(), Passphrase("correct horse", CHEAP)
    for size in (0, 1, 4064, 4065, 3 * 4064, 3 * 4064 + 1, 200_000):
        plaintext = os.urandom(size)
        for segment, block in ((4096, 4096), (65536, 8192)):
            to = [first, words], LABELS, BINDINGS, segment, block
            head, floe = stream.seal_stream(INLINE, plaintext, *to)
            for reader in (first, words):
                yield case("Inline.", "stream-inline", head + floe, [reader], described(plaintext), bindings=BINDINGS)
            torn, expected = bytes(8) + head[8:] + floe, described(plaintext)
            damaged = {"bindings": BINDINGS, "header_damage": "first-block"}
            yield case("A torn block.", "stream-inline", torn, [first], expected, **damaged)
            yield case("Cut.", "stream-inline", head + floe[:-1], [first], fails="truncated", bindings=BINDINGS)
            head, floe = stream.seal_stream(DETACHED, plaintext, *to)
            head = {"header": [b64(head)], "bindings": BINDINGS}
            yield case("Detached.", "stream-detached", floe, [words], expected, **head)
            flipped = floe[:-1] + bytes([floe[-1] ^ 1])
            yield case("Its head is another's.", "stream-detached", other_head + floe[24:], [first], fails=OTHER_HEADER, **head)
            yield case("Flipped.", "stream-detached", flipped, [first], fails="authentication-failed/segment", **head)


def heads():
    """The head of a detached payload, and blocks of a newer version."""
    first = masters()[0]
    head, payload = stream.seal_stream(DETACHED, b"text", [first])
    changes = [
        (0, b"phip", "malformed/not-a-payload"),
        (4, b"\0", "malformed/payload-head"),
        (4, b"\2", "newer-version"),
        (5, b"\2", "malformed/payload-head"),
        (6, b"\1", "malformed/payload-head"),
        (7, b"\x80", "malformed/payload-head"),
        (23, bytes([payload[23] ^ 1]), OTHER_HEADER),
    ]
    more = {"header": [b64(head)]}
    for at, data, fails in changes:
        changed = payload[:at] + data + payload[at + len(data) :]
        yield case(f"Byte {at} of the head.", "stream-detached", changed, [first], fails=fails, **more)
    for size in (4, 5, 23, 24, 97):
        yield case("Cut.", "stream-detached", payload[:size], [first], fails="truncated", **more)
    yield case("No head.", "stream-detached", payload[24:], [first], fails="malformed/not-a-payload", **more)
    yield case("Two heads.", "stream-detached", payload[:24] + payload, [first], fails="malformed/stream-parameters", **more)
    yield case("A payload alone.", "stream-inline", payload, [first], fails="not-an-envelope")
    blocks, floe = stream.seal_stream(INLINE, b"text", [first], block_length=8192)
    for at, length in ((0, 4096), (0, 8192), (0, 65536), (8192, 4096), (8192, 8192)):
        newer = bytearray(blocks + bytes(65536))
        newer[at : at + length] = newer_block(length)
        yield case("A newer block.", "stream-inline", bytes(newer) + floe, [first], fails="newer-version")
    torn = blocks[:8192] + newer_block(8192)[:-1] + b"?"
    damaged = {"header_damage": "second-block"}
    yield case("A newer block, torn.", "stream-inline", torn + floe, [first], described(b"text"), **damaged)


def newer_block(length):
    block = b"PHIE\2".ljust(length, b"\7")
    return block[:-8] + stream.digest(block)


def services():
    """Of records, and of files whose maker matters."""
    first, words = masters()[0], Passphrase("correct horse", CHEAP)
    for asks_network in (False, True):
        for authenticates in (False, True):
            service = Service("org.example.kms", asks_network, authenticates)
            down = Service(service.name, asks_network, authenticates, fails="provider")
            sealed = envelope.seal_record(b"of a service", [words, service], LABELS, BINDINGS)
            context, name = {"labels": LABELS, "bindings": BINDINGS}, service.name
            yield case("A service.", "record", sealed, [service, words], described(b"of a service"), asked={name: 1}, **context)
            yield case("A service is down.", "record", sealed, [down], fails="provider", asked={name: 1}, **context)
            yield case("Another opens.", "record", sealed, [down, words], described(b"of a service"), asked={name: 1}, **context)
            if authenticates:
                document = evidence_document()
                sealed = envelope.seal_own(EVIDENCE, json.dumps(document).encode(), [service, first])
                for reader in (service, first):
                    yield case("Evidence.", "evidence-file", sealed, [reader], shown(document))
                unheard = Service(service.name, asks_network)
                yield case("Its maker is unknown.", "evidence-file", sealed, [unheard], fails="maker-unknown")


def evidence_document():
    return {
        "version": 1,
        "keyring": {"id": b64(os.urandom(16)), "revision": 3},
        "key": {"scheme": 1, "id": b64(os.urandom(16))},
        "began": 1_800_000_000,
        "ended": 1_800_000_001,
        "settled_since": 1_799_900_000,
        "places": [{"name": "/archive ü", "kind": "tree", "envelopes": 2, "bytes": 3}],
        "opened": 2,
        "in_use": 0,
        "findings": [{"class": "excluded", "path": "/archive/lost+found", "rule": "lost+found"}],
        "accepted": [{"class": "excluded", "count": 1}],
        "previous": None,
    }


def shown(document):
    """What evidence says, as a case states it."""
    key, keyring, out = document["key"], document["keyring"], {}
    if keyring is not None:
        out = {"keyring": base64.b64decode(keyring["id"]).hex(), "revision": keyring["revision"]}
    out |= {"scheme": key["scheme"], "key_id": base64.b64decode(key["id"]).hex(), "began": document["began"]}
    return out | {"places": len(document["places"]), "findings": len(document["findings"]), "in_use": document["in_use"]}


def keyrings():
    holder, words = masters()[0], Passphrase("correct horse", CHEAP)
    states = ("deactivated", "active", "suspended", "compromised", "destroyed")
    keys = [
        {"id": b64(os.urandom(16)), "label": f"ehr {state}", "state": state, "created": 1, "changed": 2, "key": b64(os.urandom(32))}
        for state in states
    ]
    keys[-1] |= {"key": None, "evidence": b64(os.urandom(32))}
    document, history = keyring.first_document(keys), []
    for number in range(70):  # as long as the chain, and longer
        sealed, plaintext = keyring.seal_keyring(document, [holder, words])
        opens = listed(document)
        if number in (0, 1, 2, 63, 64, 65, 69):
            yield case(f"Revision {number + 1} of a keyring.", "keyring-file", sealed, [holder], opens)
        history.append((sealed, opens))
        document = keyring.next_document(document, plaintext, lease=86_400, lease_changed=3)
    for seen, met, fails in ((0, 0, None), (0, 1, None), (5, 69, None), (4, 69, "too-far"), (1, 0, "revision")):
        outcome = {"fails": f"rolled-back/{fails}"} if fails else {"opens": history[met][1]}
        more = {"seen": [b64(history[seen][0])]}
        yield case(f"{met + 1} after {seen + 1}.", "keyring-file", history[met][0], [holder], **outcome, **more)
    yield case("A keyring, by its passphrase.", "keyring-file", sealed, [words], opens)
    yield case("A keyring, by nobody.", "keyring-file", sealed, masters()[:1], fails="no-matching-key")


def listed(document):
    """What a keyring's file says, as a case states it."""
    shown, hexed = ("label", "state", "created", "changed"), lambda text: base64.b64decode(text).hex()
    keys = [{"id": hexed(key["id"]), **{name: key[name] for name in shown}} for key in document["keys"]]
    return {"id": hexed(document["id"]), "revision": document["revision"], "lease": document.get("lease", 900), "keys": keys}


def cases():
    return [*records(), *own_files(), *streams(), *heads(), *services(), *keyrings()]
