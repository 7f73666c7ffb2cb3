import logging
import os
import tempfile
import unittest

import numpy as np
import program

import vaeguard
from vaeguard.detect import load_detector, save_detector

logging.disable(logging.WARNING)  # what vaeguard says of guards that are trained this little

W = np.random.RandomState(3).randn(6, 3).astype(np.float32) * 4
X = np.random.RandomState(0).rand(600, 6).astype(np.float32)


def model():
    return vaeguard.Function(lambda x: x @ W, output="logits", gradient=lambda x, dy: dy @ W.T, name="linear", lo=0, hi=1)


@program.required
class Guard(unittest.TestCase):
    def test_a_guard(self):
        guard = vaeguard.Guard(model(), fpr=0.1)
        self.addCleanup(guard.close)
        guard.fit(X, epochs=3, verbose=False)
        got = guard.predict(X)["data"]
        self.assertEqual({k: v.shape for k, v in got.items()}, dict.fromkeys(got, (600,)))
        self.assertLess(got["is_adversarial"].mean(), 0.2)  # 540 of the rows were trained on
        np.testing.assert_array_equal(got["is_adversarial"], got["instance_score"] > guard.threshold)
        np.testing.assert_array_equal(got["predicted"], (X @ W).argmax(1))
        for part in ("preset: recommended", "fpr: 0.1", "layers: auto", "normalize: standard", "validation.npy"):
            self.assertIn(part, guard.spec)
        resolved = self.resolved(guard)
        for part in (
            "score: margin",
            "norm: l2",
            "eps: 0.5",
            "eps_unit: std",
            "w_recon: 0.1",
            "epochs: 3",
            "normalize: standard",
            "fpr: 0.1",
        ):
            self.assertIn(part, resolved)
        with self.assertRaisesRegex(TypeError, "calibration"):
            guard.infer_threshold(X)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "guard")
            guard.save(path)
            with vaeguard.Detector(path, model=model()) as saved:
                np.testing.assert_array_equal(saved.predict(X)["data"]["instance_score"], got["instance_score"])

    def resolved(self, guard):
        """The spec of a guard's detector, in which the preset is expanded."""
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "guard")
            guard.save(path)
            with open(os.path.join(path, "detector.yaml"), encoding="utf-8") as f:
                return f.read()

    def test_images(self):
        images = np.random.RandomState(1).rand(400, 6, 6, 1).astype(np.float32)
        w = np.random.RandomState(2).randn(36, 3).astype(np.float32)
        flat = vaeguard.Function(
            lambda x: x.reshape(len(x), -1) @ w,
            output="logits",
            lo=0,
            hi=1,
            name="flat",
            gradient=lambda x, dy: (dy @ w.T).reshape(x.shape),
        )
        guard = vaeguard.Guard(flat, fpr=0.1)
        self.addCleanup(guard.close)
        guard.fit(images, epochs=1, verbose=False, harden={"steps": 1})
        resolved = self.resolved(guard)
        for part in (
            "score: [margin, reverse_kl]",
            "fusion: cauchy",
            "data_type: image",
            "eps: 0.16",
            "norm: l2",
            "steps: 1",
            "batch_size: 16",
        ):
            self.assertIn(part, resolved)

    def test_columns_by_name(self):
        names = list("abcdef")
        table = np.array([tuple(row) for row in X], [(name, np.float32) for name in names])
        guard = vaeguard.Guard(model(), eps=0)
        self.addCleanup(guard.close)
        guard.fit(table, epochs=1, verbose=False)
        want = guard.predict(table)["data"]["instance_score"]
        np.testing.assert_array_equal(guard.predict(X)["data"]["instance_score"], want)  # by place
        rows = [dict(zip(names[::-1], row[::-1])) for row in X.tolist()]
        np.testing.assert_array_equal(guard.predict(rows)["data"]["instance_score"], want)
        short = [{k: v for k, v in row.items() if k != "c"} for row in rows]
        with self.assertRaisesRegex(ValueError, "no column 'c'"):
            guard.predict(short)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "guard")
            guard.save(path)
            again = load_detector(path, model=model())
            self.addCleanup(again.close)
            with vaeguard.Detector(path, model=model()) as saved:
                for other in (saved, again):
                    np.testing.assert_array_equal(other.predict(rows)["data"]["instance_score"], want)
                    with self.assertRaisesRegex(ValueError, '"?c"?'):
                        other.predict(short)

    def test_bytes(self):
        images = np.random.RandomState(1).randint(0, 256, (300, 5, 5, 1)).astype(np.uint8)
        w = np.random.RandomState(2).randn(25, 3).astype(np.float32)
        seen = []

        def f(x):
            seen.append(float(x.max()))
            return x.reshape(len(x), -1) @ w

        def equal(a, b):
            for name in ("instance_score", "predicted", "corrected"):
                np.testing.assert_allclose(a["data"][name], b["data"][name], rtol=1e-5)

        dark = images % 2  # bytes still
        for given, others in ((images / np.float32(255), [images, images.astype(np.uint16) * 257]), (dark, [dark.astype(np.float32)])):
            guard = vaeguard.Guard(vaeguard.Function(f, output="logits", gradient=lambda x, dy: (dy @ w.T).reshape(x.shape)), eps=0)
            self.addCleanup(guard.close)
            guard.fit(given, epochs=1, verbose=False)
            seen.clear()
            want = guard.predict(given)
            for other in others:
                equal(guard.predict(other), want)
            self.assertLess(max(seen), 20)  # in the units of fit

    def test_not_fitted(self):
        guard = vaeguard.Guard(model(), eps=0)
        with self.assertRaisesRegex(RuntimeError, "call fit"):
            guard.predict(X)
        with self.assertRaisesRegex(AttributeError, "fit sets the threshold"):
            guard.threshold = 0.5
        self.assertIsNone(guard.threshold)

    def test_loaded(self):
        guard = vaeguard.Guard(model(), fpr=0.1)
        self.addCleanup(guard.close)
        guard.fit(X, epochs=1, verbose=False)
        with tempfile.TemporaryDirectory() as d:
            path, copy = os.path.join(d, "guard"), os.path.join(d, "deep", "copy")
            guard.save(path)
            with self.assertRaisesRegex(FileExistsError, "guard exists"):
                guard.save(path)
            os.mkdir(os.path.dirname(copy))
            again = load_detector(path, model=model())
            self.addCleanup(again.close)
            self.assertIs(type(again), vaeguard.Guard)
            self.assertEqual(len(again.predict(X[:0])["data"]["corrected"]), 0)  # before any row
            save_detector(again, copy)
            with vaeguard.Detector(copy, model=model()) as saved:
                want = saved.predict(X)["data"]
            for name, got in again.predict(X)["data"].items():
                np.testing.assert_array_equal(got, want[name], name)
            fixed = again.correct(X)["data"]
            np.testing.assert_array_equal(fixed["corrected"], want["corrected"])
            np.testing.assert_array_equal(fixed["is_adversarial"], want["is_adversarial"])
            with self.assertRaisesRegex(RuntimeError, "cannot be trained further"):
                again.fit(X)
            with self.assertRaisesRegex(RuntimeError, "was loaded"):
                again.save_spec(d)

    def test_not_hardened(self):
        guard = vaeguard.Guard(model(), eps=0)
        self.addCleanup(guard.close)
        guard.fit(X, epochs=1, verbose=False)
        self.assertIn("preset: fast", guard.spec)
        self.assertNotIn("harden", self.resolved(guard))

    def test_hardened_nets(self):
        nets = {"encoder_net": [{"dense": {"units": 8}}], "decoder_net": [{"dense": {"units": 6}}], "latent_dim": 3}
        guard = vaeguard.Guard(model(), eps=0.05, **nets)
        self.addCleanup(guard.close)
        guard.fit(X[:300], calibration=X[300:], epochs=2, verbose=False)
        resolved = self.resolved(guard)
        for part in ("eps: 0.05", "latent_dim: 3", "w_recon: 0.1"):
            self.assertIn(part, resolved)
        for part in ("norm: l2", "eps_unit", "layers"):
            self.assertNotIn(part, resolved)
        self.assertEqual(guard.predict(X[:5], return_instance_score=False)["data"]["instance_score"], None)


if __name__ == "__main__":
    unittest.main()
