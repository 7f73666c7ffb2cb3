import gc
import os
import stat
import sys
import tempfile
import threading
import unittest
import warnings
import weakref

import numpy as np

import vaeguard

# Answers as `vaeguard inspect` and `vaeguard detect --requests` do: the score is the sum of a row.
FAKE = """\
#!%s
import io, json, struct, sys
import numpy as np
if sys.argv[1] == "inspect":
    if sys.argv[2] == "none":
        sys.exit("vaeguard: no detector none")
    print(json.dumps({"meta": {"name": "AdversarialVAE", "threshold": 1.0}}))
    sys.exit()
print("ready", file=sys.stderr)

def answer(format, body):
    if format == "npy":
        rows = np.load(io.BytesIO(body))
        if rows.dtype.kind == "u":
            rows = rows / np.iinfo(rows.dtype).max
        rows = rows.reshape(len(rows), int(np.prod(rows.shape[1:])))
    else:
        rows = []
        for line in body.decode().splitlines():
            row = json.loads(line)
            if isinstance(row, dict):
                row = [len(v) if isinstance(v, str) else v for _, v in sorted(row.items())]
            rows.append([0.5 if v is None else v for v in row])
        rows = np.array(rows, float).reshape(len(rows), -1)
    first = rows[:, 0] if len(rows) else np.zeros(0)
    for i, v in enumerate(first):
        if v == 13:
            raise ValueError("row %%d: unlucky" %% i)
        if v == 14:
            sys.exit("out of luck")
        if v == 17:
            raise ConnectionError("the classifier is away")
        if v == 18:
            raise ArithmeticError("the classifier failed")
        if v == 16:
            sys.exit(" ".join(sys.argv[2:]))
    score = np.where(first == 15, np.inf, rows.sum(1))
    flag = (score > 1).astype(np.int64)
    out = {"is_adversarial": flag, "instance_score": score, "p_value": np.full(len(rows), np.nan)}
    out.update(predicted=np.ones(len(rows), int), reconstructed=np.full(len(rows), 2), corrected=1 + flag)
    if sys.argv[2] == "named":
        out["predicted_label"] = np.array(["cat"] * len(rows), "S")
        out["corrected_label"] = np.where(flag, b"dog", b"cat")
        out["id"] = np.array(["row %%d" %% i if i else "" for i in range(len(rows))])
    return out

while True:
    n = sys.stdin.buffer.read(1)
    if not n:
        break
    format = sys.stdin.buffer.read(n[0]).decode()
    body = sys.stdin.buffer.read(struct.unpack("<Q", sys.stdin.buffer.read(8))[0])
    out, kind = io.BytesIO(), b"R"
    try:
        np.savez(out, **answer(format, body))
    except ConnectionError as e:
        kind, out = b"A", io.BytesIO(str(e).encode())
    except ArithmeticError as e:
        kind, out = b"F", io.BytesIO(str(e).encode())
    except ValueError as e:
        kind, out = b"X", io.BytesIO(str(e).encode())
    sys.stdout.buffer.write(kind + struct.pack("<Q", len(out.getvalue())) + out.getvalue())
    sys.stdout.buffer.flush()
"""


@unittest.skipIf(os.name == "nt", "the fake is a script")
class Detector(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.binary = os.path.join(folder.name, "vaeguard")
        with open(self.binary, "w") as f:
            f.write(FAKE % sys.executable)
        os.chmod(self.binary, os.stat(self.binary).st_mode | stat.S_IXUSR)

    def test_away(self):
        with vaeguard.Detector("d", binary=self.binary) as d:
            with self.assertRaisesRegex(ConnectionError, "the classifier is away"):
                d.predict([[17.0], [13.0]])
            self.assertEqual(d.predict([[0.25]])["data"]["is_adversarial"].tolist(), [0])

    def test_the_model_fails(self):
        with vaeguard.Detector("d", binary=self.binary) as d:
            with self.assertRaisesRegex(RuntimeError, "the classifier failed"):
                d.predict([[18.0]])
            self.assertEqual(d.predict([[0.25]])["data"]["is_adversarial"].tolist(), [0])

    def test_bytes(self):
        with vaeguard.Detector("d", binary=self.binary) as d:
            for kind in (np.uint8, np.uint16):
                x = np.array([[np.iinfo(kind).max, 0], [0, 0]], kind)
                self.assertEqual(d.predict(x)["data"]["instance_score"].tolist(), [1, 0])

    def test_left_open(self):
        d = vaeguard.Detector("d", binary=self.binary)
        d.predict([[1.0]])
        process, threads = d._requests._process, threading.active_count()
        del d
        gc.collect()
        self.assertIsNotNone(process.poll())
        self.assertLess(threading.active_count(), threads)

    @unittest.skipUnless(hasattr(os, "fork"), "nothing is forked")
    def test_forked(self):
        d = vaeguard.Detector("d", binary=self.binary)
        self.addCleanup(d.close)
        d.predict([[1.0]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads
            child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if d.predict([[0.5, 0.25]])["data"]["instance_score"].tolist() == [0.75] else 2
                d.close()
            finally:
                weakref.finalize._exitfunc()  # as at an orderly end
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertTrue(d._requests.alive)
        self.assertEqual(d.predict([[1, 2]])["data"]["instance_score"].tolist(), [3])

    def test_infinite_score(self):
        with vaeguard.Detector("d", binary=self.binary) as d:
            data = d.predict(np.array([[15, 0], [0.5, 0.25]], np.float32))["data"]
            np.testing.assert_array_equal(data["instance_score"], [np.inf, 0.75])

    def test_allowed_commands(self):
        for given, want in (("sha256:ab", "--allow-command sha256:ab"), (["a", "b"], "--allow-command a --allow-command b")):
            with vaeguard.Detector("d", binary=self.binary, allow_command=given) as d, self.assertRaisesRegex(RuntimeError, want):
                d.predict(np.array([[16, 0]], np.float32))

    def test_alibi_detects_dictionary(self):
        with vaeguard.Detector("d", binary=self.binary) as d:
            for n in (3, 1, 0, 2000):
                x = np.full((n, 2, 2), 0.125, np.float32)
                x[::2] = 1
                got = d.predict(x)
                self.assertEqual(got["meta"]["name"], "AdversarialVAE")
                data = got["data"]
                self.assertEqual(data["is_adversarial"].dtype, np.int64)
                np.testing.assert_array_equal(data["is_adversarial"], np.arange(n) % 2 == 0)
                np.testing.assert_array_equal(data["instance_score"], np.where(np.arange(n) % 2, 0.5, 4))
                np.testing.assert_array_equal(data["corrected"], np.where(np.arange(n) % 2, 1, 2))
            self.assertIsNone(d.predict(np.ones((1, 2)), return_instance_score=False)["data"]["instance_score"])

    def test_tables(self):
        class Frame:  # what is asked of a pandas.DataFrame
            columns = ("b", "a")

            def to_dict(self, kind):
                assert kind == "records"
                return [{"b": np.float64(2), "a": "xyz"}, {"b": float("nan"), "a": None}]

        with vaeguard.Detector("d", binary=self.binary) as d:
            for x in (
                Frame(),
                [{"a": "xyz", "b": np.int64(2)}, {"a": None, "b": np.float32("nan")}],
                np.array([[3, 2], [None, np.nan]], object),
            ):
                np.testing.assert_array_equal(d.predict(x)["data"]["instance_score"], [5, 1])
            np.testing.assert_array_equal(d.predict(np.array([[1, np.nan]]))["data"]["instance_score"], [1.5])

    def test_names(self):
        with vaeguard.Detector("named", binary=self.binary) as d:
            data = d.predict([[2, 0], [0, 0]])["data"]
            self.assertEqual(data["predicted_label"].tolist(), ["cat", "cat"])
            self.assertEqual(data["corrected_label"].tolist(), ["dog", "cat"])
            self.assertEqual(data["id"].tolist(), ["", "row 1"])
            self.assertNotIn("file", data)
        with vaeguard.Detector("d", binary=self.binary) as d:
            self.assertNotIn("predicted_label", d.predict([[2, 0]])["data"])

    def test_faults(self):
        with self.assertRaisesRegex(RuntimeError, "no detector none"):
            vaeguard.Detector("none", binary=self.binary)
        with self.assertRaises(FileNotFoundError):
            vaeguard.Detector("d", binary=self.binary + "-not")
        d = vaeguard.Detector("d", binary=self.binary)
        self.addCleanup(d.close)
        with self.assertRaisesRegex(ValueError, "row 1: unlucky"):
            d.predict([[1, 2], [13, 0], [3, 4]])
        self.assertEqual(len(d.predict([[1, 2]])["data"]["is_adversarial"]), 1)
        with self.assertRaisesRegex(RuntimeError, "out of luck"):
            d.predict([[1, 2], [14, 0]])
        self.assertEqual(len(d.predict([[1, 2]])["data"]["is_adversarial"]), 1)  # it starts again
        d.close()
        with self.assertRaisesRegex(RuntimeError, "ended"):
            d.predict([[1, 2]])


if __name__ == "__main__":
    unittest.main()
