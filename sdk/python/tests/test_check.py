import contextlib
import io
import os
import tempfile
import textwrap
import unittest

import numpy as np

import vaeguard
import vaeguard.check
from vaeguard import _gradient


class Honest(vaeguard.Classifier):
    input_shape, num_classes, lo, hi = (6,), 3, 0, 1
    w = np.random.RandomState(0).randn(6, 3).astype(np.float32)

    def predict(self, x):
        return np.tanh(x @ self.w)

    def gradient(self, x, dy):
        return (dy * (1 - np.tanh(x @ self.w) ** 2)) @ self.w.T


def liar(**members):
    return type("Liar", (Honest,), members)()


class Check(unittest.TestCase):
    def found(self, c):
        with vaeguard.check.connect(c) as client:
            self.assertEqual(client.configure({}, ""), [])
            return vaeguard.check.run(client)

    def test_honest(self):
        self.assertEqual({f[0] for f in self.found(Honest())}, {"pass"})

    def test_max_batch(self):
        def predict(self, x):
            assert len(x) <= 5
            return Honest.predict(self, x)

        self.assertEqual({f[0] for f in self.found(liar(max_batch=5, predict=predict))}, {"pass"})

    def test_liars(self):
        h = Honest()
        calls = []
        for name, c, severity, check, text in (
            ("sign", liar(gradient=lambda self, x, dy: -h.gradient(x, dy)), "fail", "gradient", "the wrong sign"),
            ("mean", liar(gradient=lambda self, x, dy: h.gradient(x, dy) / len(x)), "fail", "gradient", "a mean over the batch"),
            ("factor", liar(gradient=lambda self, x, dy: 5 * h.gradient(x, dy)), "fail", "gradient", "a factor of 5"),
            ("zero", liar(gradient=lambda self, x, dy: 0 * x), "fail", "gradient", "always zero"),
            ("estimated", liar(gradient=lambda self, x, dy: 0 * x, gradient_kind="estimated"), "warn", "gradient", "always zero"),
            ("logits", liar(output="probabilities"), "fail", "probabilities", "are these logits?"),
            (
                "probabilities",
                liar(predict=lambda self, x: _gradient.softmax(x @ h.w)),
                "warn",
                "probabilities",
                "are these probabilities?",
            ),
            ("dropout", liar(predict=lambda self, x: h.predict(x) + len(calls) + bool(calls.append(1))), "fail", "repeat", "dropout"),
            ("batch", liar(predict=lambda self, x: h.predict(x) - x.mean()), "fail", "batch", "batch statistics"),
            ("range", liar(lo=2), "fail", "info", "legal range"),
        ):
            with self.subTest(name):
                found = self.found(c)
                self.assertTrue(any(f[0] == severity and f[1] == check and text in f[2] for f in found), found)

    def test_range(self):
        x = np.random.RandomState(0).rand(5, 6).astype(np.float32)
        for name, c, data, severity, text in (
            ("inside", Honest(), x, "pass", "the data has"),
            ("bytes", Honest(), 255 * x, "fail", "pixels of 0 to 255 for a model of 0 to 1"),
            ("a little outside", Honest(), x - 0.25, "warn", "lie outside, most in row"),
            (
                "unit",
                liar(
                    hi=255,
                    predict=lambda self, x: Honest.predict(self, x / 255),
                    gradient=lambda self, x, dy: Honest.gradient(self, x / 255, dy) / 255,
                ),
                x,
                "warn",
                "pixels of 0 to 1 for a model of 0 to 255",
            ),
        ):
            with self.subTest(name), vaeguard.check.connect(c) as client:
                self.assertEqual(client.configure({}, ""), [])
                found = vaeguard.check.run(client, data)
                self.assertTrue(any(f[0] == severity and f[1] == "range" and text in f[2] for f in found), found)
        with vaeguard.check.connect(Honest()) as client:
            client.configure({}, "")
            self.assertIn("rows of shape (5,)", vaeguard.check.run(client, x[:, :5])[-1][2])

    def test_command(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "model.py")
            with open(path, "w") as f:
                f.write(
                    textwrap.dedent("""
                    import numpy as np, vaeguard
                    class M(vaeguard.Classifier):
                        input_shape, num_classes = (4,), 2
                        def predict(self, x): return x[:, :2]
                        def gradient(self, x, dy): return np.hstack([dy, 0 * dy])
                    if __name__ == "__main__":
                        vaeguard.serve(M())
                """)
                )
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                self.assertEqual(vaeguard.check.main([path]), 0)
            self.assertIn("pass  gradient", out.getvalue())
            with open(path, "a") as f:
                f.write("    raise AssertionError('serve returned')\n")
            with open(path) as f, open(path + "2", "w") as g:
                g.write(f.read().replace("0 * dy", "dy"))
            with contextlib.redirect_stdout(out):
                self.assertEqual(vaeguard.check.main([path + "2"]), 1)


if __name__ == "__main__":
    unittest.main()
