import logging
import os
import tempfile
import unittest

import numpy as np
import program

import vaeguard

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
