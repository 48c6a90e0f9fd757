"""Evidence that a key is out of use, and whether it permits to destroy that key (FORMAT §9.4)."""

from collections import Counter

import strict
from basics import EnvelopeError, demand, from_base64
from envelope import open_whole
from header import EVIDENCE
from slots import KEYRING

CLASSES = {
    "link-out", "not-an-envelope", "envelope-inside", "more-links", "empty-folder", "payload-alone",
    "header-alone", "excluded", "unreadable", "failed", "shrunk", "moved",
}  # fmt: skip
PLACES = {"tree", "rows", "objects"}
KNOWN = {
    "version", "keyring", "key", "began", "ended", "settled_since", "places", "opened", "in_use", "findings", "more", "accepted",
    "previous", "critical", "id", "revision", "scheme", "name", "path_base64", "kind", "envelopes", "bytes", "class", "path", "rule",
    "count",
}  # fmt: skip
ALLOWANCE, AGE, DAY = 300, 86_400, 86_400


def parse_evidence(plaintext):
    try:
        return parse(plaintext)
    except EnvelopeError as error:  # named as a fault of evidence
        raise EnvelopeError("evidence/newer" if str(error) == "newer-version" else "evidence/content") from None


def parse(plaintext):
    document = strict.parse(plaintext, KNOWN)
    keyring = strict.or_null(document, "keyring", lambda document, name: strict.member(document, name, dict))
    if keyring is not None:
        strict.base64_member(keyring, "id", 16)
        strict.member(keyring, "revision", int)
    key = strict.member(document, "key", dict)
    demand(strict.member(key, "scheme", int) <= 255, "malformed/json")
    strict.base64_member(key, "id", None)
    for name in ("began", "ended", "settled_since", "opened", "in_use"):
        strict.member(document, name, int)
    for place in strict.objects(document, "places"):
        strict.member(place, "name", str)
        strict.base64_member(place, "path_base64", None, optional=True)
        demand(strict.member(place, "kind", str) in PLACES, "malformed/json")
        strict.member(place, "envelopes", int)
        strict.member(place, "bytes", int)
    for finding in strict.objects(document, "findings"):
        demand(strict.member(finding, "class", str) in CLASSES, "malformed/json")
        strict.member(finding, "path", str)
        strict.base64_member(finding, "path_base64", None, optional=True)
        strict.member(finding, "rule", str)
    for counted in [*strict.objects(document, "more", optional=True), *strict.objects(document, "accepted")]:
        demand(strict.member(counted, "class", str) in CLASSES, "malformed/json")
        strict.member(counted, "count", int)
    strict.or_null(document, "previous", lambda document, name: strict.base64_member(document, name, 32))
    return document


def open_evidence(data, providers):
    return parse_evidence(open_whole(data, EVIDENCE, providers)[1])


def settling_time(began, keyring, allowance):
    least = keyring.get("lease") or 900
    changed = keyring.get("lease_changed")
    if changed is not None and began <= changed + DAY + allowance:
        least = max(least, DAY)
    return least + allowance


def forbids(evidence, keyring, key_id, now, allowance=ALLOWANCE, age=AGE):
    """Why it does not permit to destroy the key of that id in a keyring's document, or none where it does."""
    stated = evidence["keyring"]
    if stated is None or evidence["key"]["scheme"] != KEYRING:
        return "other-key"
    if stated["id"] != keyring["id"]:
        return "other-keyring"
    if keyring["revision"] < stated["revision"]:
        return "older-keyring"
    if from_base64(evidence["key"]["id"]) != key_id:
        return "other-key"
    key = next((key for key in keyring["keys"] if from_base64(key["id"]) == key_id), None)
    if key is None:
        return "other-key"
    if key["state"] in ("active", "destroyed"):
        return "changed-since"
    began, ended, settled = evidence["began"], evidence["ended"], evidence["settled_since"]
    if not key["changed"] <= settled:
        return "changed-since"
    if not settled + settling_time(began, keyring, allowance) < began:
        return "too-soon"
    if not began <= ended <= now + allowance:
        return "clock"
    if now - began > age:
        return "too-old"
    if not evidence["places"]:
        return "no-places"
    if evidence["in_use"]:
        return "in-use"
    found = Counter(finding["class"] for finding in evidence["findings"])
    for more in evidence.get("more") or []:
        found[more["class"]] += more["count"]
    accepted = [(each["class"], each["count"]) for each in evidence["accepted"]]
    if len(accepted) != len(+found) or dict(accepted) != dict(+found):
        return "found"
    return None
