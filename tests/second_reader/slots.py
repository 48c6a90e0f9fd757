"""The layout of every slot (FORMAT §4): what a parser checks of it, and its key in words."""

import struct
from dataclasses import dataclass

from basics import EnvelopeError, demand

KEYRING, PASSPHRASE, PUBLIC_KEY, AWS_KMS, TRANSIT = 0x01, 0x02, 0x03, 0x04, 0x05
PKCS11, GOOGLE_KMS, AZURE, PBKDF2, COMPARTMENT, EXTERNAL = 0x06, 0x07, 0x08, 0x09, 0x0A, 0xF0

# The length of a wrapped key under each KEM that is listed.
KEMS = {0x647A: 1120 + 48, 0x0051: 1665 + 48}
KEM_NAMES = {0x647A: "mlkem768-x25519", 0x0051: "mlkem1024-p384"}


class Rest:
    """A key id that is read from its front."""

    def __init__(self, data):
        self._data = data

    def take(self, count):
        demand(count <= len(self._data), "malformed/key-id-length")
        out, self._data = self._data[:count], self._data[count:]
        return out

    def counted(self, least, most):
        size = self.take(1)[0]
        demand(least <= size <= most, "malformed/key-id-length")
        return self.take(size)

    def end(self, least, most):
        demand(least <= len(self._data) <= most, "malformed/key-id-length")
        return self.take(len(self._data))


def text(data):
    """UTF-8 without control characters."""
    try:
        out = data.decode()
    except UnicodeDecodeError:
        raise EnvelopeError("malformed/slot-text") from None
    demand(not any(c <= "\x1f" or "\x7f" <= c <= "\x9f" for c in out), "malformed/slot-text")
    return out


@dataclass(frozen=True)
class Slot:
    scheme: int
    key_id: bytes
    wrapped: bytes

    def encode(self):
        start = struct.pack(">BH", self.scheme, len(self.key_id)) + self.key_id
        return start + struct.pack(">H", len(self.wrapped)) + self.wrapped

    @property
    def kem(self):
        """The number of a KEM that is listed, or none: then the slot is an unknown one."""
        number = int.from_bytes(self.key_id[:2], "big")
        return number if self.scheme == PUBLIC_KEY and number in KEMS else None

    @property
    def external_name(self):
        return self.key_id[1 : 1 + self.key_id[0]] if self.scheme == EXTERNAL else None

    def check(self):
        """Demands what the scheme demands, and gives the key in words; an unknown scheme demands nothing."""
        demand(self.scheme != 0, "malformed/scheme-zero")
        describe = {
            KEYRING: self._keyring,
            PASSPHRASE: self._passphrase,
            PUBLIC_KEY: self._public_key,
            AWS_KMS: self._aws_kms,
            TRANSIT: self._transit,
            PKCS11: self._pkcs11,
            GOOGLE_KMS: lambda: "Google Cloud KMS " + text(self.key_id),
            AZURE: lambda: "Azure Key Vault " + text(self.key_id),
            COMPARTMENT: self._compartment,
            EXTERNAL: self._external,
        }
        return describe.get(self.scheme, self._unknown)()

    def _lengths(self, key_id, wrapped):
        demand(len(self.key_id) == key_id, "malformed/key-id-length")
        demand(len(self.wrapped) == wrapped, "malformed/wrapped-key-length")

    def _unknown(self):
        return f"scheme {self.scheme:#04x}, key {self.key_id.hex()}"

    def _keyring(self):
        self._lengths(16, 60)
        return f"keyring, key {self.key_id.hex()}"

    def _passphrase(self):
        self._lengths(16, 104)
        m, t, p = struct.unpack_from(">III", self.wrapped)
        good = 8 * p <= m <= 1 << 20 and 1 <= t <= 16 and 1 <= p <= 16 and m * t <= 1 << 20
        demand(good, "malformed/passphrase-costs")
        return f"passphrase, {m} KiB, {t} passes, {p} lanes"

    def _public_key(self):
        demand(len(self.key_id) >= 3, "malformed/key-id-length")
        if self.kem is None:
            return self._unknown()
        self._lengths(34, KEMS[self.kem])
        return f"public key {KEM_NAMES[self.kem]}, {self.key_id.hex()}"

    def _aws_kms(self):
        demand(20 <= len(self.key_id) <= 512, "malformed/key-id-length")
        return "AWS KMS " + text(self.key_id)

    def _transit(self):
        rest = Rest(self.key_id)
        version = int.from_bytes(rest.take(4), "big")
        demand(version >= 1, "malformed/slot-number")
        realm, mount, name = rest.counted(0, 63), rest.counted(1, 191), rest.end(1, 200)
        self._lengths(len(self.key_id), 60)
        return f"Transit {text(realm)} {text(mount)} {text(name)} v{version}"

    def _pkcs11(self):
        rest = Rest(self.key_id)
        label, key = rest.counted(1, 32), rest.end(1, 64)
        self._lengths(len(self.key_id), 60)
        return f"PKCS#11 {text(label)}, key {key.hex()}"

    def _compartment(self):
        self._lengths(20, 60)
        number = int.from_bytes(self.key_id[16:], "big")
        demand(number >= 1, "malformed/slot-number")
        return f"compartment {self.key_id[:16].hex()}, key {number}"

    def _external(self):
        name = self.external_name
        demand(0 < len(name) == self.key_id[0] and len(self.key_id) > 1 + len(name), "malformed/external-key-id")
        demand(all(0x21 <= byte <= 0x7E for byte in name), "malformed/external-key-id")
        return f"external {name.decode()}, key {self.key_id[1 + len(name) :].hex()}"


def check_all(slots, kind):
    """The rules of several slots (FORMAT §1, §10)."""
    ids = [(slot.scheme, slot.key_id) for slot in slots]
    demand(len(set(ids)) == len(ids), "malformed/duplicate-slot")
    demand(sum(slot.scheme in (PASSPHRASE, PBKDF2) for slot in slots) <= 1, "malformed/two-passphrase-slots")
    if any(slot.scheme == COMPARTMENT for slot in slots):
        demand(kind in (1, 2, 3) and len(slots) == 1, "malformed/compartment-slot")
