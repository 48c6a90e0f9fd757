"""Reads every case of a folder and says where this reader and the case disagree, or writes cases for another reader.

    cases.py read FOLDER      the layout is that of tests/vectors (its README.md says it)
    cases.py write FOLDER
    cases.py mutate FOLDER OUT SEED COUNT      cases of a folder with something else in them, and what this reader says of them
"""

import base64
import hashlib
import io
import json
import os
import pathlib
import random
import sys

import envelope
import mutations
import stream


def joined(parts):
    return b"".join(bytes(part) if isinstance(part, int) else base64.b64decode(part) for part in parts)


def providers_of(case):
    held = [envelope.MasterKey(bytes.fromhex(k["id"]), base64.b64decode(k["key"])) for k in case.get("master_keys", [])]
    return held + [envelope.Passphrase(text) for text in case.get("passphrases", [])]


def outcome(case):
    providers = providers_of(case)
    context = case.get("labels", {}), case.get("bindings", {})
    data, call = joined(case.get("envelope", [])), case["call"]
    try:
        if call == "keyring-file":
            listed = envelope.open_keyring(data, providers)
            shown = [
                {"id": base64.b64decode(key["id"]).hex(), **{name: key[name] for name in ("label", "state", "created", "changed")}}
                for key in listed
            ]
            return {"opens": {"keys": shown}}
        damage = None
        if call == "record":
            plaintext = envelope.open_record(data, providers, *context)
        elif call == "text":
            plaintext = envelope.open_record(envelope.from_text(case["text"]), providers, *context)
        elif call == "stream-detached":
            plaintext = b"".join(stream.open_detached(joined(case["header"]), io.BytesIO(data), providers, *context))
        else:
            damage, segments = stream.open_inline(io.BytesIO(data), providers, *context)
            plaintext = b"".join(segments)
    except envelope.EnvelopeError as error:
        return {"fails": str(error)}
    found = {"opens": described(plaintext)}
    return {**found, "header_damage": damage} if damage else found


def described(plaintext):
    if len(plaintext) <= 1024:
        return {"plaintext": b64(plaintext)}
    return {"sha256": hashlib.sha256(plaintext).hexdigest(), "length": len(plaintext)}


def read(folder):
    opened = refused = same_rule = 0
    disagreed = []
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text())
        expected = {name: case[name] for name in ("opens", "fails", "header_damage") if name in case}
        found = outcome(case)
        group = {name: value.split("/")[0] if name == "fails" else value for name, value in found.items()}
        wanted = {name: value.split("/")[0] if name == "fails" else value for name, value in expected.items()}
        if group != wanted:
            disagreed.append(path.stem)
            print(f"{path.stem}: expected {expected}, found {found}")
        elif "opens" in found:
            opened += 1
        else:
            refused += 1
            same_rule += found == expected
            if found != expected:
                print(f"note: {path.stem}: {expected['fails']}, named {found['fails']} here")
    print(f"{opened} opened, {refused} refused ({same_rule} by the same rule), {len(disagreed)} disagreed")
    return not disagreed and opened + refused > 0


# --- Cases for the other reader ------------------------------------------------------------------------------------------------


class Stranger:
    """A recipient of whom the reader knows nothing."""

    def wrap_key(self, data_key, header):
        return envelope.Slot(envelope.EXTERNAL, b"\x0forg.example.kms" + b"key-7", b"wrapped by a stranger")


LABELS = {"tenant": "clinic-7", "tenant-of": "región", "a": "x" * 256}
BINDINGS = {"patient": "MRN-0042", "record": "obs-7 ✓"}
CHEAP = (64, 2, 2)


def masters():
    return [envelope.MasterKey(os.urandom(16), os.urandom(32)) for _ in range(2)]


def case(about, call, sealed, readers, opens=None, fails=None, labels={}, bindings={}, **more):
    """One case in the layout of tests/vectors."""
    held = [{"id": r.id.hex(), "key": b64(r.key)} for r in readers if isinstance(r, envelope.MasterKey)]
    known = [r.text for r in readers if isinstance(r, envelope.Passphrase)]
    fields = {"about": about, "call": call, "master_keys": held, "passphrases": known, "labels": labels, "bindings": bindings}
    fields |= {"envelope": [b64(sealed)]} if call != "text" else {}
    return fields | ({"fails": fails} if fails else {"opens": opens}) | more


def b64(data):
    return base64.b64encode(data).decode()


def records():
    (first, second), words = masters(), envelope.Passphrase("correct horse, Umlaut ü", CHEAP)
    recipients = [Stranger(), first, words, second]
    for size in (0, 1, 15, 16, 1000, 100_000):
        plaintext = os.urandom(size)
        for shared_key in (False, True):
            sealed = envelope.seal_record(plaintext, recipients, LABELS, BINDINGS, shared_key)
            for reader in (first, words, second):
                yield case("A record.", "record", sealed, [reader], described(plaintext), labels={"a": "x" * 256}, bindings=BINDINGS)
    bare = envelope.seal_record(b"text", [first])
    yield case("Text.", "text", b"", [first], described(b"text"), text=envelope.to_text(bare))
    yield case("Another key.", "record", bare, [second], fails="no-matching-key")
    other = envelope.MasterKey(first.id, second.key)
    yield case("Another key of that id.", "record", bare, [other], fails="authentication-failed/wrapped-key")
    yield case("A last byte less.", "record", bare[:-1], [first], fails="authentication-failed/record")
    wrong = dict(BINDINGS, patient="MRN-0043")
    yield case("Other bindings.", "record", sealed, [first], fails="context-mismatch/bindings-differ", bindings=wrong)
    yield case("No bindings.", "record", sealed, [first], fails="context-mismatch/bindings-missing")
    far = {"tenant": "clinic-8"}
    yield case("Another label.", "record", sealed, [first], fails="context-mismatch/labels-differ", labels=far, bindings=BINDINGS)
    yield case("Another passphrase.", "record", sealed, [envelope.Passphrase("x")], fails="wrong-passphrase", bindings=BINDINGS)


def streams():
    (first, second), words = masters(), envelope.Passphrase("correct horse", CHEAP)
    for size in (0, 1, 4064, 4065, 3 * 4064, 3 * 4064 + 1, 200_000):
        plaintext = os.urandom(size)
        for segment, block in ((4096, 4096), (65536, 8192)):
            to = [first, words], LABELS, BINDINGS, segment, block
            head, floe = stream.seal_stream(envelope.INLINE, plaintext, *to)
            for reader in (first, words):
                yield case("Inline.", "stream-inline", head + floe, [reader], described(plaintext), bindings=BINDINGS)
            torn, expected = bytes(8) + head[8:] + floe, described(plaintext)
            damaged = {"bindings": BINDINGS, "header_damage": "first-block"}
            yield case("A torn block.", "stream-inline", torn, [first], expected, **damaged)
            yield case("Cut.", "stream-inline", head + floe[:-1], [first], fails="truncated", bindings=BINDINGS)
            head, floe = stream.seal_stream(envelope.DETACHED, plaintext, *to)
            head = {"header": [b64(head)], "bindings": BINDINGS}
            yield case("Detached.", "stream-detached", floe, [words], expected, **head)
            flipped = floe[:-1] + bytes([floe[-1] ^ 1])
            yield case("Flipped.", "stream-detached", flipped, [first], fails="authentication-failed/segment", **head)


def keyrings():
    holder, words = masters()[0], envelope.Passphrase("correct horse", CHEAP)
    states = ("deactivated", "active", "suspended", "compromised", "destroyed")
    keys = [
        {"id": b64(os.urandom(16)), "label": f"ehr {state}", "state": state, "created": 1, "changed": 2, "key": b64(os.urandom(32))}
        for state in states
    ]
    keys[-1]["key"] = None
    shown = [{name: key[name] for name in ("label", "state", "created", "changed")} for key in keys]
    shown = [{"id": base64.b64decode(key["id"]).hex(), **rest} for key, rest in zip(keys, shown)]
    sealed = envelope.seal_keyring(keys, [holder, words])
    yield case("A keyring.", "keyring-file", sealed, [holder], {"keys": shown})
    yield case("A keyring, by its passphrase.", "keyring-file", sealed, [words], {"keys": shown})


def write(folder):
    for number, fields in enumerate([*records(), *streams(), *keyrings()]):
        (folder / f"case_{number:03}.json").write_text(json.dumps(fields))
    print(f"{number + 1} cases written")
    return True


def mutated(case, rnd):
    """The case with something else in it, or none where that would prove nothing."""
    case = dict(case)
    expected, call = case.pop("opens", None), case["call"]
    case.pop("fails", None), case.pop("header_damage", None)
    of_master_keys = expected and not case.get("passphrases")
    if call == "text" or case.get("passphrases") and rnd.random() < 0.9:  # Argon2id takes its time
        return None
    if call == "stream-inline":
        case["envelope"] = [b64(mutations.mutate_blocks(joined(case["envelope"]), rnd))]
    elif call in ("record", "stream-detached") and of_master_keys and rnd.random() < 0.8:
        detached = call == "stream-detached"
        head = joined(case["header" if detached else "envelope"])
        seal = mutations.seal_stream_payload if detached else mutations.seal_record_payload
        head, payload = mutations.mutate_sealed(head, seal, providers_of(case), case.get("bindings", {}), rnd)
        case |= {"header": [b64(head)], "envelope": [b64(payload)]} if detached else {"envelope": [b64(head + payload)]}
    else:
        field = rnd.choice([name for name in ("header", "envelope") if name in case])
        case[field] = [b64(mutations.mutate(joined(case[field]), rnd))]
    return case | outcome(case)


def mutate(folder, out, seed, count):
    rnd = random.Random(seed)
    vectors = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    good = [case for case in vectors if "opens" in case]
    written = opened = 0
    while written < count:
        if case := mutated(rnd.choice(rnd.choice((vectors, good))), rnd):
            (out / f"seed_{seed}_{written:05}.json").write_text(json.dumps(case))
            written += 1
            opened += "opens" in case
    print(f"{written} cases written, {opened} open")
    return True


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", folder]:
            done = read(pathlib.Path(folder))
        case ["write", folder]:
            done = write(pathlib.Path(folder))
        case ["mutate", folder, out, seed, count]:
            done = mutate(pathlib.Path(folder), pathlib.Path(out), int(seed), int(count))
        case _:
            sys.exit(__doc__)
    sys.exit(0 if done else 1)
