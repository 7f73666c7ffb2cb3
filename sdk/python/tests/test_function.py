import importlib.util
import os
import tempfile
import unittest

import numpy as np

import vaeguard
from vaeguard import _models

W = np.random.RandomState(0).randn(6, 3).astype(np.float32)
X = np.random.RandomState(1).rand(32, 6).astype(np.float32)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class Functions(unittest.TestCase):
    def test_what_it_learns(self):
        f = vaeguard.Function(lambda x: softmax(x.reshape(len(x), -1)[:, :6] @ W))
        f.learn(np.zeros((2, 4, 4, 3), np.float32))
        self.assertEqual((f.input_shape, f.num_classes, f.layout), ((4, 4, 3), 3, "nhwc"))
        with self.assertRaisesRegex(ValueError, "want \\(2, classes\\)"):
            vaeguard.Function(lambda x: np.zeros((2, 3, 4))).learn(X[:2])

    def test_one_probability(self):
        f = vaeguard.Function(lambda x: x[:, 0])
        f.learn(X)
        np.testing.assert_array_equal(f.predict(X), np.stack([1 - X[:, 0], X[:, 0]], 1))

    def test_gradient(self):
        self.assertFalse(hasattr(vaeguard.Function(len), "gradient"))
        f = vaeguard.Function(lambda x: x @ W, output="logits", gradient=lambda x, dy: dy @ W.T)
        np.testing.assert_allclose(f.gradient(X[:2], np.ones((2, 3), np.float32)), np.ones((2, 3)) @ W.T, atol=1e-6)

    @unittest.skipUnless(importlib.util.find_spec("jax"), "no JAX")
    def test_jax(self):
        import jax.numpy as jnp

        f = vaeguard.Function.jax(lambda x: jnp.tanh(x) @ W, output="logits")
        f.learn(X)
        np.testing.assert_allclose(f.predict(X), np.tanh(X) @ W, atol=1e-5)
        got, pullback = f.forward(X, ["output"])
        np.testing.assert_allclose(got["output"], np.tanh(X) @ W, atol=1e-5)
        dy = np.random.RandomState(2).randn(32, 3).astype(np.float32)
        np.testing.assert_allclose(pullback({"output": dy}), (1 - np.tanh(X) ** 2) * (dy @ W.T), atol=1e-5)


class Models(unittest.TestCase):
    def test_functions(self):
        for f, kind in ((lambda x: x @ W, "logits"), (lambda x: softmax(x @ W), "probabilities")):
            found = _models.source(f, X)
            self.assertEqual((found.section, found.classifier.output, found.classifier.num_classes), ({"plugin": "caller"}, kind, 3))

    def test_words(self):
        section = {"plugin": "mlp", "config": {"hidden": [3]}}
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "net.onnx")
            with self.assertRaises(FileNotFoundError):
                _models.source(path, X)
            with open(path, "wb"):
                pass
            for model, want in (
                (section, section),
                ("own", {"plugin": "own"}),
                (path, {"plugin": "onnx", "config": {"model": path}}),
                ("http://host:8000/v2/models/net", {"plugin": "oip", "config": {"url": "http://host:8000", "model": "net"}}),
                ("grpcs://host:1/v2/models/net/", {"plugin": "oip", "config": {"url": "grpcs://host:1", "model": "net"}}),
            ):
                self.assertEqual(_models.source(model, X), (want, None))
        with self.assertRaisesRegex(ValueError, "want the model's URL"):
            _models.source("http://host:8000", X)
        with self.assertRaisesRegex(TypeError, "a model of type int"):
            _models.source(7, X)

    @unittest.skipUnless(importlib.util.find_spec("xgboost"), "no XGBoost")
    def test_xgboost(self):
        import xgboost

        m = xgboost.XGBClassifier(n_estimators=5).fit(X, (X[:, 0] > X[:, 1]).astype(int))
        want = m.predict_proba(X)
        for model in (m, m.get_booster()):
            c = _models.classifier(model, X)
            self.assertEqual((c.num_classes, c.output), (2, "probabilities"))
            np.testing.assert_allclose(c.predict(X), want, atol=1e-6)


if __name__ == "__main__":
    unittest.main()
