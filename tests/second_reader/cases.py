"""Reads every case of a folder and says where this reader and the case disagree, or writes cases for another reader.

    cases.py read FOLDER      the layout is that of tests/vectors (its README.md says it)
    cases.py write FOLDER
    cases.py mutate FOLDER OUT SEED COUNT      cases of a folder with something else in them, and what this reader says of them
"""

import base64
import io
import json
import os
import pathlib
import random
import sys

import envelope
import evidence
import keyring
import made
import mutations
import stream
from basics import EnvelopeError, demand
from header import EVIDENCE, KEYRING_FILE, RECORD, own, parse_header
from keys import MasterKey, Passphrase, Service
from made import b64, described


def joined(parts):
    return b"".join(bytes(part) if isinstance(part, int) else base64.b64decode(part) for part in parts)


def providers_of(case):
    keys, services = case.get("master_keys", []), case.get("services", [])
    held = [MasterKey(bytes.fromhex(k["id"]), base64.b64decode(k["key"]), k.get("state", "active")) for k in keys]
    held += [Service(**service | {"fails": "provider" if service["fails"] else None}) for service in services]
    return held + [Passphrase(text) for text in case.get("passphrases", [])]


def outcome(case):
    providers = providers_of(case)
    try:
        found = opened(case, providers)
    except EnvelopeError as error:
        found = {"fails": str(error)}
    if "asked" in case:
        found["asked"] = {provider.name: provider.asked for provider in providers if isinstance(provider, Service)}
    return found


def opened(case, providers):
    context = case.get("labels", {}), case.get("bindings", {})
    data, damage = joined(case.get("envelope", [])), None
    match case["call"]:
        case "inspect":
            return {"opens": inspected(data)}
        case "evidence-file":
            return {"opens": made.shown(evidence.open_evidence(data, providers))}
        case "keyring-file":
            seen = keyring.open_keyring(joined(case["seen"]), providers).seen() if "seen" in case else None
            least = tuple(case["least"][name] for name in ("revision", "data_key_revision")) if "least" in case else None
            return {"opens": made.listed(keyring.open_keyring(data, providers, seen, least).document)}
        case "record":
            plaintext = envelope.open_record(data, providers, *context)
        case "text":
            plaintext = envelope.open_record(envelope.record_of_text(case["text"]), providers, *context)
        case "stream-detached":
            plaintext = b"".join(stream.open_detached(joined(case["header"]), io.BytesIO(data), providers, *context))
        case "stream-inline":
            damage, segments = stream.open_inline(io.BytesIO(data), providers, *context)
            plaintext = b"".join(segments)
    found = {"opens": described(plaintext)}
    return {**found, "header_damage": damage} if damage else found


def inspected(data):
    header = parse_header(data)
    if header.kind == RECORD or own(header.kind):
        demand(len(data) - len(header.encode()) >= 28, "truncated")
    slots = [{"scheme": slot.scheme, "key_id": slot.key_id.hex()} for slot in header.slots]
    return {"kind": KIND_NAMES[header.kind - 1], "slots": slots}


# As a case names them, from 0x01 on.
KIND_NAMES = (
    "record stream-inline stream-detached keyring evidence identity "
    "compartment-root compartment-entry shred-receipt audit-segment-head"
).split()


def read(folder):
    opened = refused = same_rule = 0
    disagreed = []
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text())
        expected = {name: case[name] for name in ("opens", "fails", "header_damage", "asked") if name in case}
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
    permissions = read_permissions(folder, disagreed)
    print(f"{permissions} permissions of evidence")
    print(f"{opened} opened, {refused} refused ({same_rule} by the same rule), {len(disagreed)} disagreed")
    return not disagreed and opened + refused > 0


def read_permissions(folder, disagreed):
    """Whether evidence permits a destruction (FORMAT §9.4)."""
    paths = sorted(folder.glob("evidence/*.json"))
    for path in paths:
        case = json.loads(path.read_text())
        document = evidence.parse_evidence(json.dumps(case["evidence"]).encode())
        ring, key_id = case["keyring"] | {"keys": [case["key"]]}, base64.b64decode(case["key"]["id"])
        why = evidence.forbids(document, ring, key_id, case["now"], case["allowance"], case["age"])
        if (why is None) != case["permits"]:
            disagreed.append(path.stem)
            print(f"{path.stem}: expected {case.get('fault')}, found {why}")
        elif why != case.get("fault"):
            print(f"note: {path.stem}: {case['fault']}, named {why} here")
    return len(paths)


def write(folder):
    for number, fields in enumerate(made.cases()):
        (folder / f"case_{number:03}.json").write_text(json.dumps(fields))
    print(f"{number + 1} cases written")
    return True


def mutated(case, rnd):
    """The case with something else in it, or none where that would prove nothing."""
    case = dict(case)
    expected, call = case.pop("opens", None), case["call"]
    case.pop("fails", None), case.pop("header_damage", None), case.pop("asked", None)
    of_master_keys = expected and case.get("master_keys") and not case.get("passphrases") and not case.get("services")
    if call in ("text", "inspect") or case.get("passphrases") and rnd.random() < 0.9:  # Argon2id takes its time
        return None
    if call == "stream-inline":
        case["envelope"] = [b64(mutations.mutate_blocks(joined(case["envelope"]), rnd))]
    # The crate has a second line against other keys in a history that fits.
    elif call in ("keyring-file", "evidence-file") and of_master_keys and "seen" not in case and rnd.random() < 0.9:
        kind = KEYRING_FILE if call == "keyring-file" else EVIDENCE
        case["envelope"] = [b64(mutations.mutate_document(joined(case["envelope"]), kind, providers_of(case), rnd))]
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
