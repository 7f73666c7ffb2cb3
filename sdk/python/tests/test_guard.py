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
        for part in ("fpr: 0.1", "vae: auto", "fusion: cauchy", "score: [margin, reverse_kl]"):
            self.assertIn(part, guard.spec)
        self.assertNotIn("harden", guard.spec)
        with self.assertRaisesRegex(TypeError, "calibration"):
            guard.infer_threshold(X)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "guard")
            guard.save(path)
            with vaeguard.Detector(path, model=model()) as saved:
                np.testing.assert_array_equal(saved.predict(X)["data"]["instance_score"], got["instance_score"])

    def test_hardened_nets(self):
        nets = {"encoder_net": [{"dense": {"units": 8}}], "decoder_net": [{"dense": {"units": 6}}], "latent_dim": 3}
        guard = vaeguard.Guard(model(), eps=0.05, **nets)
        self.addCleanup(guard.close)
        guard.fit(X[:300], calibration=X[300:], epochs=2, verbose=False)
        self.assertIn("harden: {norm: linf, eps: 0.05}", guard.spec)
        self.assertIn("latent_dim: 3", guard.spec)
        self.assertEqual(guard.predict(X[:5], return_instance_score=False)["data"]["instance_score"], None)


if __name__ == "__main__":
    unittest.main()
