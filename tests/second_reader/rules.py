"""What the tests of rules that no single envelope shows are made of."""

import os
import unittest

from basics import EnvelopeError
from keys import MasterKey

CHEAP = (8, 1, 1)  # costs of a passphrase


def master():
    return MasterKey(os.urandom(16), os.urandom(32))


class Rules(unittest.TestCase):
    def fails(self, name, call, *args, **more):
        with self.assertRaises(EnvelopeError) as raised:
            call(*args, **more)
        self.assertEqual(str(raised.exception), name)
