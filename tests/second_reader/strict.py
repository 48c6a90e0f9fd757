"""JSON as FORMAT §9.1 wants it: one meaning for each text, and nothing that two parsers read differently."""

import json
import re

from basics import EnvelopeError, demand, from_base64

MOST = (1 << 53) - 1
DEEPEST = 32


class Odd:
    """A number with a sign, a fraction or an exponent: JSON, but no integer of ours."""


class Fields(list):
    """The members of an object as they stand, so that a name twice is seen."""


def parse(data, known):
    """The document, of version 1, whose rules for every field hold; `known` are the names of fields that `critical` may hold."""
    try:
        raw = json.loads(data.decode(), object_pairs_hook=Fields, parse_int=integer, parse_float=lambda _: Odd(), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise EnvelopeError("malformed/json") from None
    demand(isinstance(raw, Fields), "malformed/json")
    # Before all other rules but JSON's own.
    versions = [value for name, value in raw if name == "version"]
    demand(len(versions) == 1 and type(versions[0]) is int, "malformed/json")
    demand(versions[0] == 1, "newer-version")
    document = checked(raw, 1)
    if "critical" in document:
        critical = document["critical"]
        demand(isinstance(critical, list) and all(isinstance(name, str) for name in critical), "malformed/json")
        demand(known.issuperset(critical), "newer-version")
    return document


def integer(text):
    """Huge ones are not converted."""
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else Odd()


def refuse(text):
    raise ValueError(text)


def checked(value, depth):
    if isinstance(value, Odd) or type(value) is int:
        demand(type(value) is int and value <= MOST, "malformed/json")
    elif isinstance(value, str):
        demand(not any("\ud800" <= c <= "\udfff" for c in value), "malformed/json")
    elif isinstance(value, list):
        demand(depth <= DEEPEST, "malformed/json")
        if not isinstance(value, Fields):
            return [checked(item, depth + 1) for item in value]
        names = [checked(name, depth) for name, _ in value]
        demand(len(set(names)) == len(names), "malformed/json")
        return {name: checked(item, depth + 1) for name, item in value}
    return value


# --- Fields ----------------------------------------------------------------------------------------------------------------------


def member(document, name, kind, optional=False):
    """A member of that type; an optional one may be absent, and null is no absence."""
    if optional and name not in document:
        return None
    demand(type(document.get(name)) is kind, "malformed/json")
    return document[name]


def base64_member(document, name, size, optional=False):
    text = member(document, name, str, optional)
    return None if text is None else from_base64(text, size)


def or_null(document, name, read):
    """What `read` reads of a member that must be there, or none where it is null."""
    demand(name in document, "malformed/json")
    return None if document[name] is None else read(document, name)


def objects(document, name, optional=False):
    out = member(document, name, list, optional)
    demand(all(isinstance(item, dict) for item in out or []), "malformed/json")
    return out or []
