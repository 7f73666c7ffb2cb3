import random
import unittest

import numpy as np

import vaeguard
from vaeguard import _certificate, wire
from vaeguard._protobuf import decode, encode, unsigned


class Wire(unittest.TestCase):
    def message(self):
        return {
            "options": {
                "options_json": b'{"epochs": 2}',
                "seed": 2**64 - 1,
                "output_dir": "sn\N{SNOWMAN}w",
                "n_train": 300,
                "n_validation": 0,
            }
        }

    def test_round_trip(self):
        got = decode(wire.FIT, encode(wire.FIT, self.message()))["options"]
        self.assertEqual((got["options_json"], got["output_dir"], got["n_train"]), (b'{"epochs": 2}', "sn\N{SNOWMAN}w", 300))
        self.assertEqual(unsigned(got["seed"]), 2**64 - 1)

    def test_description(self):
        m = {
            "name": "n",
            "input_shape": (28, 28, 1),
            "lo": np.array([-0.5]),
            "hi": [1, 2],
            "classes": ["a", ""],
            "ready": True,
            "hidden": [{"name": "h", "shape": (3,)}],
        }
        got = decode(wire.DESCRIBE, encode(wire.DESCRIBE, m))
        self.assertEqual(
            (got["input_shape"], got["lo"], got["hi"], got["classes"], got["ready"]), ([28, 28, 1], [-0.5], [1, 2], ["a", ""], 1)
        )
        self.assertEqual(got["hidden"], [{"name": "h", "shape": [3]}])

    def test_arrays_of_any_order(self):
        for a in (np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2).T, np.arange(12)[::2], np.float64(3)):
            got = wire.array("a", decode(wire.TENSOR, encode(wire.TENSOR, wire.tensor(a))))
            self.assertEqual(got.dtype, np.float32)
            np.testing.assert_array_equal(got.reshape(np.shape(a)), a)

    def test_other_dtypes(self):
        for code, dtype in wire.DTYPES.items():
            a = np.arange(4).astype(dtype)
            np.testing.assert_array_equal(wire.array("a", {"dtype": code, "shape": [2, 2], "data": a.tobytes()}), a.reshape(2, 2))

    def test_wrong_arrays(self):
        for t in (
            None,
            {},
            {"dtype": 9, "shape": [], "data": b""},
            {"dtype": 1, "shape": [2], "data": b"1234"},
            {"dtype": 1, "shape": [-1], "data": b""},
            {"dtype": 1, "shape": [2**62, 2**62], "data": b""},
        ):
            with self.assertRaises(vaeguard.Error) as e:
                wire.array("x", t)
            self.assertEqual(e.exception.kind, "invalid_argument")

    def test_floats_of_a_broken_length(self):
        with self.assertRaises(vaeguard.Error) as e:
            decode(wire.DESCRIBE, b"\x2a\x03abc")  # field 5, lo
        self.assertEqual(e.exception.kind, "invalid_argument")

    def test_garbage_is_refused_or_read(self):
        r = random.Random(1)
        good = encode(wire.FIT, self.message())
        for _ in range(3000):
            b = bytearray(good[: r.randrange(len(good) + 1)])
            for _ in range(r.randrange(4)):
                if b:
                    b[r.randrange(len(b))] = r.randrange(256)
            for schema in (wire.FIT, wire.GRADIENT, wire.CONFIGURE, wire.DESCRIBE):
                try:
                    decode(schema, bytes(b))
                except vaeguard.Error as e:
                    self.assertEqual(e.kind, "invalid_argument")


class Certificates(unittest.TestCase):
    def test_ways_that_are_there_give_a_pair(self):
        made = 0
        for make in (_certificate.by_cryptography, _certificate.by_openssl, _certificate.certificate):
            with self.subTest(make.__name__):
                try:
                    key, cert = make()
                except (ImportError, FileNotFoundError):  # few have both
                    continue
                made += 1
                self.assertIn(b"PRIVATE KEY", key)
                self.assertTrue(cert.startswith(b"-----BEGIN CERTIFICATE"))
        self.assertGreaterEqual(made, 2)


class Config(unittest.TestCase):
    schema = {
        "type": "object",
        "required": ["weights"],
        "additionalProperties": False,
        "properties": {
            "weights": {"type": "string", "minLength": 1},
            "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "n": {"type": "integer"},
            "mode": {"enum": ["a", "b"]},
            "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
        },
    }

    def complaints(self, config):
        c = vaeguard.Classifier()
        c.schema = self.schema
        try:
            vaeguard.check_config(c, config)
        except vaeguard.ConfigError as e:
            return [p for p, _ in e.diagnostics]
        return []

    def test_schema(self):
        self.assertEqual(self.complaints({"weights": "w", "rate": 1, "n": 3.0, "mode": "a", "list": [True]}), [])
        self.assertEqual(self.complaints({"rate": 0, "n": True, "mode": "c", "list": []}), ["", "/list", "/mode", "/n", "/rate"])
        self.assertEqual(self.complaints({"weights": "", "list": [1], "a/b~": 1}), ["/a~1b~0", "/list/0", "/weights"])
        self.assertEqual(self.complaints([]), [""])

    def test_no_schema(self):
        vaeguard.check_config(vaeguard.Classifier(), {})
        with self.assertRaises(vaeguard.ConfigError):
            vaeguard.check_config(vaeguard.Classifier(), {"a": 1})


if __name__ == "__main__":
    unittest.main()
