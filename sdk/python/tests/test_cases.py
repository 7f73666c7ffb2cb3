"""What alibi-detect's own tests ask of its three detectors, on irises, asked of these.

The networks are Keras's where TensorFlow is, else torch's.
"""

import importlib.util
import itertools
import logging
import os
import unittest

import numpy as np
import program

import vaeguard
from vaeguard.detect import AdversarialAE, AdversarialVAE, ModelDistillation

KERAS = importlib.util.find_spec("tensorflow") is not None
if KERAS:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PERCENTILE = 90.0
logging.disable(logging.WARNING)  # that there is no threshold yet


def dense(inputs, *layers):
    """A network of dense layers: (width, activation), …"""
    if KERAS:
        import tensorflow as tf

        return tf.keras.Sequential([tf.keras.layers.InputLayer((inputs,)), *(tf.keras.layers.Dense(n, activation=a) for n, a in layers)])
    import torch

    activations = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "softmax": lambda: torch.nn.Softmax(1)}
    parts, width = [], inputs
    for n, a in layers:
        parts += [torch.nn.Linear(width, n), *([activations[a]()] if a else [])]
        width = n
    return torch.nn.Sequential(*parts).eval()


def trained(x, y):
    """A classifier of one layer, as its tests have it, and a function that reads its weights."""
    net = dense(4, (3, "softmax"))
    if KERAS:
        net.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        net.fit(x, y, batch_size=150, epochs=10, verbose=0)
        return net, lambda: [w.copy() for w in net.get_weights()]
    import torch

    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(net(torch.tensor(x)).log(), torch.tensor(y)).backward()
        optimizer.step()
    return net, lambda: [p.detach().numpy().copy() for p in net.parameters()]


def halves(*factors):
    """Every second of all combinations, so chosen that any two values of different factors meet."""
    for at in itertools.product(*(range(len(f)) for f in factors)):
        if sum(at) % 2 == 0:
            yield tuple(f[i] for f, i in zip(factors, at))


@program.required
@unittest.skipUnless(KERAS or importlib.util.find_spec("torch"), "neither TensorFlow nor torch")
@unittest.skipUnless(importlib.util.find_spec("sklearn"), "the irises are scikit-learn's")
class Cases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from sklearn.datasets import load_iris

        x, y = load_iris(return_X_y=True)
        cls.x = x.astype(np.float32)
        cls.model, weights = trained(cls.x, y)
        cls.weights = staticmethod(weights)

    def ask(self, ad, threshold, with_score, **fit):
        """What each of its tests asks, with a fit in between."""
        self.addCleanup(ad.close)
        before = self.weights()
        self.assertEqual(ad.threshold, threshold)
        want = {
            "name": type(ad).__name__,
            "detector_type": "adversarial",
            "data_type": None,
            "online": False,
            "version": vaeguard.__version__,
        }
        self.assertEqual(ad.meta, want)
        ad.fit(self.x, epochs=5, verbose=False, **fit)
        ad.infer_threshold(self.x, threshold_perc=PERCENTILE)
        score = ad.score(self.x)
        self.assertEqual(score.shape, (150,))
        self.assertLess(abs(100 * (score < ad.threshold).mean() - PERCENTILE), 1)
        found = ad.predict(self.x, return_instance_score=with_score)
        self.assertEqual(found["meta"], ad.meta)
        np.testing.assert_array_equal(found["data"]["is_adversarial"], (score > ad.threshold).astype(int))
        if with_score:
            np.testing.assert_array_equal(found["data"]["instance_score"], score)
        else:
            self.assertIsNone(found["data"]["instance_score"])
        for a, b in zip(before, self.weights()):  # the classifier is not trained along
            np.testing.assert_array_equal(a, b)

    def test_auto_encoder(self):
        for i, (threshold, w_model, w_recon) in enumerate(halves((None, 5.0), (1.0, 0.5), (0.0, 1e-5))):
            with_score = i < 2
            with self.subTest(threshold=threshold, w_model=w_model, w_recon=w_recon, with_score=with_score):
                ad = AdversarialAE(
                    threshold=threshold,
                    model=self.model,
                    encoder_net=dense(4, (5, "relu"), (2, None)),
                    decoder_net=dense(2, (5, "relu"), (4, "sigmoid")),
                )
                self.ask(ad, threshold, with_score, w_model=w_model, w_recon=w_recon)

    def test_variational_auto_encoder(self):
        for threshold, w_model, with_score in halves((None, 5.0), (1.0, 0.5), (True, False)):
            with self.subTest(threshold=threshold, w_model=w_model, with_score=with_score):
                ad = AdversarialVAE(
                    threshold=threshold,
                    model=self.model,
                    encoder_net=dense(4, (5, "relu")),
                    decoder_net=dense(2, (5, "relu"), (4, "sigmoid")),
                    latent_dim=2,
                    samples=3,
                )
                self.ask(ad, threshold, with_score, w_model=w_model, w_recon=1e-5, cov_elbo={"sim": 0.01})

    def test_distillation(self):
        for threshold, loss_type, with_score in halves((None, 5.0), ("kld", "xent"), (True, False)):
            with self.subTest(threshold=threshold, loss_type=loss_type, with_score=with_score):
                ad = ModelDistillation(threshold=threshold, model=self.model, distilled_model=dense(4, (3, "softmax")), loss_type=loss_type)
                self.ask(ad, threshold, with_score)


if __name__ == "__main__":
    unittest.main()
