"""Opens what phi-envelope sealed, without it.

    phi.py inspect FILE
    phi.py open FILE [--header FILE] [--keyring FILE] [--label KEY=VALUE]… [--bind KEY=VALUE]… > PLAINTEXT

A passphrase, of the keyring or where there is none of the file itself, is read from the variable PHI_PASSPHRASE or asked for. A stream is
written as it is verified: where the command fails, what it wrote is no file.
"""

import argparse
import getpass
import os
import sys

import envelope
import stream

KINDS = {envelope.RECORD: "record", envelope.INLINE: "stream", envelope.DETACHED: "header of a detached stream"}


def pair(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("KEY=VALUE is wanted")
    return key, value


def show(header):
    print(f"{KINDS[header.kind]}, generation {header.generation}, data key {header.data_key_id.hex()}")
    for key, value in header.labels.items():
        print(f"label {key}={value}")
    print("bindings are wanted" if header.bindings_tag else "no bindings")
    for slot in header.slots:
        print(f"slot of scheme {slot.scheme:#04x}, key {slot.key_id.hex()}")


def inspect(path):
    with open(path, "rb") as source:
        blocks = find(source)
        if blocks is None:
            source.seek(0)
            return show(envelope.parse_header(source.read(envelope.HEADER_LIMIT)))
    first, second, start = blocks
    for name, header in (("A", first), ("B", second)):
        print(f"block {name}, payload at {start}:" if header else f"block {name} is damaged")
        if header:
            show(header)


def find(source):
    """The header blocks, or none where the file is of another kind."""
    try:
        return stream.find_blocks(source)
    except envelope.EnvelopeError as error:
        if str(error) != "malformed/other-kind":
            raise
        return None


def open_file(args, out):
    passphrase = os.environ.get("PHI_PASSPHRASE")
    providers = [envelope.Passphrase(getpass.getpass("passphrase: ") if passphrase is None else passphrase)]
    if args.keyring:
        with open(args.keyring, "rb") as file:
            providers = envelope.master_keys(envelope.open_keyring(file.read(), providers))
    context = providers, dict(args.label), dict(args.bind)
    with open(args.file, "rb") as source:
        if args.header:
            with open(args.header, "rb") as file:
                segments = stream.open_detached(file.read(), source, *context)
        elif find(source) is None:
            source.seek(0)
            segments = [envelope.open_record(source.read(), *context)]
        else:
            damage, segments = stream.open_inline(source, *context)
            if damage:
                print(f"header blocks: {damage}", file=sys.stderr)
        for plaintext in segments:
            out.write(plaintext)
        out.flush()


def main():
    parser = argparse.ArgumentParser(description="Opens what phi-envelope sealed, without it.")
    parser.add_argument("command", choices=["inspect", "open"])
    parser.add_argument("file")
    parser.add_argument("--header", help="of a detached stream")
    parser.add_argument("--keyring")
    parser.add_argument("--label", type=pair, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bind", type=pair, action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    try:
        inspect(args.file) if args.command == "inspect" else open_file(args, sys.stdout.buffer)
    except envelope.EnvelopeError as error:
        sys.exit(f"{args.file}: {error}")


if __name__ == "__main__":
    main()
