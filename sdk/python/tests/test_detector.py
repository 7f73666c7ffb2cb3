import os
import stat
import sys
import tempfile
import unittest

import numpy as np

import vaeguard

# Answers as `vaeguard inspect` and `vaeguard detect` do: the score is the sum of a row.
FAKE = """\
#!%s
import json, sys
if sys.argv[1] == "inspect":
    if sys.argv[2] == "none":
        sys.exit("vaeguard: no detector none")
    print(json.dumps({"meta": {"name": "AdversarialVAE", "threshold": 1.0}}))
    sys.exit()
print("ready", file=sys.stderr)
for i, line in enumerate(sys.stdin):
    row = json.loads(line)
    if isinstance(row, dict):
        row = [0.5 if v is None else len(v) if isinstance(v, str) else v for _, v in sorted(row.items())]
    row = [0.5 if v is None else v for v in row]
    while isinstance(row[0], list):
        row = sum(row, [])
    if row[0] == 13:
        print(json.dumps({"index": i, "error": "unlucky"}), flush=True)
        continue
    if row[0] == 17:
        print(json.dumps({"index": i, "error": "the classifier is away", "retry": True}), flush=True)
        continue
    if row[0] == 15:
        row = {"index": i, "is_adversarial": 1, "instance_score": None, "p_value": 0.1, "note": "not finite"}
        row.update(predicted=1, reconstructed=1, corrected=1)
        print(json.dumps(row), flush=True)
        continue
    if row[0] == 16:
        sys.exit(" ".join(sys.argv[2:]))
    if row[0] == 14:
        sys.exit("out of luck")
    s = sum(row)
    row = {"index": i, "is_adversarial": int(s > 1), "instance_score": s, "p_value": None}
    row.update(predicted=1, reconstructed=2, corrected=2 if s > 1 else 1)
    if sys.argv[2] == "named":
        row.update(predicted_label="cat", corrected_label="dog" if s > 1 else "cat")
        if i:
            row["id"] = f"row {i}"
    print(json.dumps(row), flush=True)
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
        d.close()
        with self.assertRaisesRegex(RuntimeError, "ended"):
            d.predict([[1, 2]])


if __name__ == "__main__":
    unittest.main()
