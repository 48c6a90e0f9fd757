"""Public keys as text, and their ids (FORMAT §9.3). What is wrapped for them is not opened here."""

import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey

from basics import demand, from_text, to_text
from slots import KEM_NAMES

NUMBERS = {name: number for number, name in KEM_NAMES.items()}
MLKEM_BYTES = {0x647A: 1184, 0x0051: 1568}
CURVE_BYTES = {0x647A: 32, 0x0051: 97}


def public_key_id(kem, public_key):
    start = struct.pack(">H", kem)
    return start + hashlib.sha256(b"phi-envelope/1 recipient\0" + start + public_key).digest()


def public_text(kem, public_key):
    check = public_key_id(kem, public_key)[2:6]
    return f"phi-recipient:{KEM_NAMES[kem]}:{to_text(public_key + check)}"


def parse_public_text(text):
    """The id of a public key."""
    demand(isinstance(text, str), "malformed/json")
    parts = text.split(":")
    demand(len(parts) == 3 and parts[0] == "phi-recipient", "malformed/recipient")
    demand(parts[1] in NUMBERS, "newer-version")
    kem, data = NUMBERS[parts[1]], from_text(parts[2])
    split = MLKEM_BYTES[kem]
    demand(len(data) == split + CURVE_BYTES[kem] + 4, "malformed/recipient")
    public_key, check = data[:-4], data[-4:]
    key_id = public_key_id(kem, public_key)
    demand(key_id[2:6] == check, "malformed/recipient")
    demand(coefficients_fit(public_key[: split - 32]), "malformed/recipient")
    curve = public_key[split:]
    demand(any(curve) if kem == 0x647A else on_p384(curve), "malformed/recipient")
    return key_id


def coefficients_fit(encoded):
    """FIPS 203 §7.2: each number of 12 bits is below the modulus."""
    for at in range(0, len(encoded), 3):
        a, b, c = encoded[at : at + 3]
        if a | (b & 15) << 8 >= 3329 or b >> 4 | c << 4 >= 3329:
            return False
    return True


def on_p384(point):
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP384R1(), point)
    except ValueError:
        return False
    return point[0] == 4
