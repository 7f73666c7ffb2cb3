import contextlib
import pickle
import unittest

import numpy as np

from vaeguard.detect import _settings


class Plain(unittest.TestCase):
    def test_reads(self):
        """What pickle and NumPy write of plain values, by every protocol."""
        same = []
        same.append(1)
        for value in (
            None, True, 7, -1, 2**70, 0.5, "text", "ü\n", b"bytes", [1, [2]], (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": {1: 2}},
            [same, same], {"k": list(range(2000))}, {str(i): i for i in range(2000)},
        ):  # fmt: skip
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
                self.assertEqual(_settings.read(pickle.dumps(value, protocol)), value)

    def test_numbers(self):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            for value in (np.float64(0.1), np.float32(0.1), np.int64(-3), np.uint8(200), np.bool_(True)):
                got = _settings.read(pickle.dumps({"v": value}, protocol))["v"]
                self.assertEqual((got, got.dtype), (value, value.dtype))
            for value in (
                np.arange(6.0).reshape(2, 3),
                np.asfortranarray(np.arange(6.0).reshape(2, 3)),
                np.array(1.5),
                np.array([1, 2], ">i4"),
            ):
                got = _settings.read(pickle.dumps([value, value], protocol))[1]
                np.testing.assert_array_equal(got, value)

    def test_refuses(self):
        class Own:
            pass

        globals()["Own"] = Own
        Own.__qualname__ = "Own"
        for what, value in {
            "an object": Own(),
            "a set": {1},
            "objects": np.array([None]),
            "a complex number": 1j,
            "texts": np.array(["a"]),
        }.items():
            with self.subTest(what), self.assertRaises(ValueError):
                _settings.read(pickle.dumps({"v": value}))

    def test_damaged(self):
        whole = pickle.dumps({"threshold": np.float64(0.1), "l": [1, (2, 3)], "a": np.arange(3)})
        for n in range(len(whole)):
            with self.assertRaises(ValueError):
                _settings.read(whole[:n])
        r = np.random.RandomState(0)
        for _ in range(3000):  # another value, or one kind of error
            b = bytearray(whole)
            for at in r.randint(0, len(b), 3):
                b[at] = r.randint(256)
            with contextlib.suppress(ValueError):
                _settings.read(bytes(b))


if __name__ == "__main__":
    unittest.main()
