"""Opens what phi-envelope sealed, without it.

    phi.py inspect FILE
    phi.py open FILE [--header FILE] [--keyring FILE] [--label KEY=VALUE]… [--bind KEY=VALUE]… > PLAINTEXT
    phi.py keyring FILE                                                                  the JSON of a keyring's file

A passphrase, of the keyring or where there is none of the file itself, is read from the variable PHI_PASSPHRASE or asked for. A stream is
written as it is verified: where the command fails, what it wrote is no file.
"""

import argparse
import getpass
import json
import os
import sys

import envelope
import header as headers
import keyring
import stream
from basics import EnvelopeError
from keys import Passphrase


def pair(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("KEY=VALUE is wanted")
    return key, value


def show(header):
    print(f"{headers.KINDS[header.kind]}, generation {header.generation}, data key {header.data_key_id.hex()}")
    for key, value in header.labels.items():
        print("label", ascii(f"{key}={value}")[1:-1])
    print("bindings are wanted" if header.bindings_tag else "no bindings")
    for slot in header.slots:
        print(ascii(slot.check())[1:-1])  # a hostile slot writes no escape sequences to the terminal


def inspect(path):
    with open(path, "rb") as source:
        blocks = find(source)
        if blocks is None:
            source.seek(0)
            return show(headers.parse_header(source.read(headers.HEADER_LIMIT)))
    first, second, start = blocks
    for name, header in (("A", first), ("B", second)):
        print(f"block {name}, payload at {start}:" if header else f"block {name} is damaged")
        if header:
            show(header)


def find(source):
    """The header blocks, or none where the file is of another kind."""
    try:
        return stream.find_blocks(source)
    except EnvelopeError as error:
        if str(error) != "malformed/other-kind":
            raise
        return None


def passphrase():
    text = os.environ.get("PHI_PASSPHRASE")
    return [Passphrase(getpass.getpass("passphrase: ") if text is None else text)]


def open_keyring(path):
    with open(path, "rb") as file:
        return keyring.open_keyring(file.read(), passphrase())


def open_file(args, out):
    providers = open_keyring(args.keyring).providers() if args.keyring else passphrase()
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
    parser.add_argument("command", choices=["inspect", "open", "keyring"])
    parser.add_argument("file")
    parser.add_argument("--header", help="of a detached stream")
    parser.add_argument("--keyring")
    parser.add_argument("--label", type=pair, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--bind", type=pair, action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    try:
        match args.command:
            case "inspect":
                inspect(args.file)
            case "open":
                open_file(args, sys.stdout.buffer)
            case "keyring":
                print(json.dumps(open_keyring(args.file).document, indent=2))
    except EnvelopeError as error:
        sys.exit(f"{args.file}: {error}")


if __name__ == "__main__":
    main()
