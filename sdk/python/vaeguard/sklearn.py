"""Guard a scikit-learn classifier:

    import vaeguard.sklearn
    vaeguard.sklearn.serve(model, input_shape=(30,))

Gradients are exact for linear models and MLPClassifier; everything else, such as
forests and boosted trees, is predict-only and answers probabilities.
"""
import hashlib
import pickle

import numpy as np

from . import LOGITS, PROBABILITIES, Classifier, serve as _serve


class Sklearn(Classifier):
    """A fitted scikit-learn classifier (predict_proba, or a linear decision_function)."""

    def __init__(self, model, input_shape=None, lo=(), hi=(), max_batch=0, name=None, version="0.1.0"):
        self.model = model
        self.name, self.version = name or type(model).__name__, version
        self.input_shape = tuple(input_shape or (model.n_features_in_,))
        self.classes, self.num_classes = [str(c) for c in model.classes_], len(model.classes_)
        self.lo, self.hi, self.max_batch = lo, hi, max_batch
        self.digest = "sha256:" + hashlib.sha256(pickle.dumps(model, protocol=4)).hexdigest()
        self.kind = self._kind()
        self.output = PROBABILITIES if self.kind == "predict" else LOGITS
        self.gradient_kind = "none" if self.kind == "predict" else "exact"

    def _kind(self):
        m = self.model
        if hasattr(m, "coef_") and hasattr(m, "intercept_") and hasattr(m, "decision_function"):
            ovr = getattr(m, "multi_class", None) == "ovr" and self.num_classes > 2
            return "predict" if ovr and hasattr(m, "predict_proba") else "linear"
        if hasattr(m, "coefs_") and getattr(m, "out_activation_", "") in ("softmax", "logistic"):
            return "mlp"
        if not hasattr(m, "predict_proba"):
            raise ValueError("%s has neither predict_proba nor a linear decision function" % type(m).__name__)
        return "predict"

    def _weights(self):
        """Affine layers (W, b); a single output of a binary model becomes the logits (0, z)."""
        m = self.model
        layers = [(m.coef_.T, m.intercept_)] if self.kind == "linear" else list(zip(m.coefs_, m.intercepts_))
        w, b = layers[-1]
        if w.shape[1] == 1:
            layers[-1] = (np.hstack([np.zeros_like(w), w]), np.concatenate([np.zeros_like(np.atleast_1d(b)), np.atleast_1d(b)]))
        return layers

    def _forward(self, x):
        a, kept = x.reshape(len(x), -1).astype(np.float64), []
        layers = self._weights()
        for i, (w, b) in enumerate(layers):
            a = a @ w + b
            if i + 1 < len(layers):
                a = {"identity": lambda v: v, "relu": lambda v: np.maximum(v, 0), "tanh": np.tanh,
                     "logistic": lambda v: 1 / (1 + np.exp(-v))}[self.model.activation](a)
                kept.append(a)
        return a, kept

    def predict(self, x):
        if self.kind == "predict":
            return self.model.predict_proba(x.reshape(len(x), -1))
        return self._forward(x)[0]

    def gradient(self, x, dy):
        if self.kind == "predict":
            raise NotImplementedError
        _, kept = self._forward(x)
        d, layers = dy.astype(np.float64), self._weights()
        for i in range(len(layers) - 1, -1, -1):
            d = d @ layers[i][0].T
            if i:
                a = kept[i - 1]
                d = d * {"identity": lambda v: np.ones_like(v), "relu": lambda v: (v > 0), "tanh": lambda v: 1 - v * v,
                         "logistic": lambda v: v * (1 - v)}[self.model.activation](a)
        return d.reshape(x.shape)


class Function(Classifier):
    """Any function (N, input…) -> (N, classes) probabilities or logits: XGBoost, LightGBM, a remote call. Predict-only."""

    def __init__(self, f, input_shape, num_classes, output=PROBABILITIES, layout="flat", lo=(), hi=(), classes=(), max_batch=0,
                 name="function", version="0.1.0", digest=""):
        self.f, self.input_shape, self.num_classes, self.output, self.layout = f, tuple(input_shape), num_classes, output, layout
        self.lo, self.hi, self.classes, self.max_batch, self.name, self.version, self.digest = lo, hi, classes, max_batch, name, version, digest

    def predict(self, x):
        return self.f(x)


def serve(model, **options):
    """The whole main of a plugin around a fitted scikit-learn model; options as Sklearn."""
    _serve(Sklearn(model, **options))
