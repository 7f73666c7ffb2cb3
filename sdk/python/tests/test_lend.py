import hashlib
import hmac
import os
import socket
import stat
import struct
import threading
import unittest
import warnings

import numpy as np

import vaeguard
from vaeguard import wire
from vaeguard._lend import VARIABLE, Lender
from vaeguard._protobuf import decode, encode


class Halves(vaeguard.Classifier):
    name, input_shape, num_classes = "halves", (4,), 2

    def predict(self, x):
        if x[0, 0] == 13:
            raise ZeroDivisionError("unlucky")
        if x[0, 0] == 14:
            raise MemoryError("full")
        return x.reshape(len(x), 2, 2).sum(2)

    def forward(self, x, outputs):
        return {"output": self.predict(x)}, lambda dys: np.repeat(dys["output"], 2, axis=1)


class Borrower:
    """vaeguard's end."""

    def __init__(self, where, key=None):
        network, own, path = where.split(" ", 2)
        assert network == "unix"
        key = bytes.fromhex(own) if key is None else key
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(path)
        a = os.urandom(32)
        self.s.sendall(b"vaeguard caller 1\n" + a)
        answer = self.read(64)
        self.believed = hmac.compare_digest(answer[32:], hmac.new(key, b"lender" + a + answer[:32], hashlib.sha256).digest())
        self.s.sendall(hmac.new(key, b"vaeguard" + a + answer[:32], hashlib.sha256).digest())

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.s.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def send(self, kind, body):
        self.s.sendall(kind + struct.pack("<I", len(body)) + body)

    def receive(self):
        head = self.read(5)
        return head[:1], self.read(struct.unpack("<I", head[1:])[0])

    def predict(self, x):
        self.send(b"C", b"Predict")
        self.send(b"M", encode(wire.PREDICT, {"x": wire.tensor(x)}))
        return self.receive()

    def close(self):
        self.s.close()


@unittest.skipUnless(hasattr(socket, "AF_UNIX"), "its other end here speaks Unix sockets")
class Lend(unittest.TestCase):
    def setUp(self):
        self.lender = Lender(Halves())
        self.addCleanup(self.lender.close)
        self.where = self.lender.environment[VARIABLE]

    def borrower(self, **options):
        b = Borrower(self.where, **options)
        self.addCleanup(b.close)
        return b

    def test_answers(self):
        b = self.borrower()
        self.assertTrue(b.believed)
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        for _ in range(2):
            kind, body = b.predict(x)
            self.assertEqual(kind, b"M")
            ((entry),) = decode(wire.OUTPUTS, body)["outputs"]
            np.testing.assert_array_equal(wire.array("y", entry["value"]), [[1, 5], [9, 13]])

    def test_tape(self):
        b = self.borrower()
        b.send(b"C", b"Differentiate")
        for _ in range(2):
            b.send(b"M", encode(wire.DIFF, {"forward": {"x": wire.tensor(np.ones((1, 4))), "outputs": ["output"]}}))
            self.assertEqual(b.receive()[0], b"M")
            dy = {"key": "output", "value": wire.tensor(np.array([[1, 2]]))}
            b.send(b"M", encode(wire.DIFF, {"backward": {"cotangents": [dy]}}))
            _, body = b.receive()
            np.testing.assert_array_equal(wire.array("dx", decode(wire.DIFF_RESPONSE, body)["dx"]), [[1, 1, 2, 2]])

    def test_what_the_model_raises(self):
        b = self.borrower()
        self.assertEqual(b.predict(np.full((1, 4), 13)), (b"X", b"internal\nZeroDivisionError: unlucky"))
        self.assertIsInstance(self.lender.error, ZeroDivisionError)
        self.assertEqual(b.predict(np.full((1, 4), 14)), (b"X", b"resource_exhausted\nMemoryError: full"))
        kind, text = b.predict(np.ones((1, 5)))
        self.assertEqual((kind, text.split(b"\n")[0]), (b"X", b"invalid_argument"))
        self.assertEqual(b.predict(np.ones((1, 4)))[0], b"M")
        b.send(b"C", b"Fit")
        self.assertEqual(b.receive()[0], b"X")

    def test_strangers(self):
        b = self.borrower(key=bytes(32))
        self.assertFalse(b.believed)
        with self.assertRaises((EOFError, OSError)):
            b.predict(np.ones((1, 4)))
        _, _, path = self.where.split(" ", 2)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)

    @unittest.skipUnless(hasattr(os, "fork"), "nothing is forked")
    def test_a_child_lets_go(self):
        b = self.borrower()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads
            child = os.fork()
        if not child:
            try:
                self.lender.close()
            finally:
                os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertTrue(os.path.exists(os.path.dirname(self.where.split(" ", 2)[2])))
        self.assertEqual(b.predict(np.ones((1, 4)))[0], b"M")
        self.assertEqual(self.borrower().predict(np.ones((1, 4)))[0], b"M")

    def test_close(self):
        b = self.borrower()
        self.lender.close()
        self.lender.close()
        with self.assertRaises((EOFError, OSError)):
            b.predict(np.ones((1, 4)))
        self.assertFalse(os.path.exists(os.path.dirname(self.where.split(" ", 2)[2])))

    def test_many(self):
        found = []

        def ask(i):
            _, body = self.borrower().predict(np.full((1, 4), i, np.float32))
            found.append(wire.array("y", decode(wire.OUTPUTS, body)["outputs"][0]["value"])[0, 0] == 2 * i)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(found, [True] * 8)


if __name__ == "__main__":
    unittest.main()
