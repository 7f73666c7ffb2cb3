"""Guard a scikit-learn classifier:

    import vaeguard.sklearn
    vaeguard.sklearn.serve(model)

Gradients are exact for linear models and MLPClassifier, also after scalers in
a Pipeline; everything else, such as forests and boosted trees, is predict-only
and answers probabilities. serve_function takes any predict function.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from .classifier import LOGITS, PROBABILITIES, Classifier, Floats, Range
from .function import Function
from .serve import serve as _serve

Doubles = npt.NDArray[np.float64]
Layers = List[Tuple[Doubles, Doubles, str]]
"""(weights, bias, activation) of each layer, from the input to the logits."""


def _sigmoid(v: Doubles) -> Doubles:
    a: Doubles = 0.5 * (1 + np.tanh(v / 2))
    return a


# name -> (f(z), f'(z) from z and a = f(z))
_ACTIVATIONS: Dict[str, Tuple[Callable[[Doubles], Doubles], Callable[[Doubles, Doubles], Any]]] = {
    "identity": (lambda z: z, lambda z, a: np.ones_like(z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z, a: z > 0),
    "tanh": (np.tanh, lambda z, a: 1 - a * a),
    "logistic": (_sigmoid, lambda z, a: a * (1 - a)),
    "log_sigmoid": (lambda z: -np.logaddexp(0, -z), lambda z, a: _sigmoid(-z)),
}


class Sklearn(Classifier):
    """A fitted scikit-learn classifier, or a Pipeline that ends in one.

    lo, hi: legal range, a number or one per feature. With gradients the output is
    logits, else probabilities; gradient_kind says which.
    """

    def __init__(
        self,
        model: Any,
        input_shape: Optional[Sequence[int]] = None,
        lo: Range = (),
        hi: Range = (),
        max_batch: int = 0,
        name: Optional[str] = None,
        version: str = "0.1.0",
    ) -> None:
        final = model.steps[-1][1] if hasattr(model, "steps") else model
        self.model = model
        self.name, self.version = name or type(final).__name__, version
        self.input_shape = tuple(input_shape or (model.n_features_in_,))
        self.classes, self.num_classes = [str(c) for c in model.classes_], len(model.classes_)
        self.lo, self.hi, self.max_batch = lo, hi, max_batch
        self.digest = _digest(model)
        self.layers = self._layers(final)  # None: predict-only
        self.output = LOGITS if self.layers else PROBABILITIES
        self.gradient_kind = "exact" if self.layers else "none"
        if not self.layers and not hasattr(model, "predict_proba"):
            raise ValueError(f"{type(final).__name__} has no predict_proba, and is neither linear nor an MLP")

    def _layers(self, final: Any) -> Optional[Layers]:
        """The model as layers, if they give what the model gives on a probe."""
        before = [s for _, s in self.model.steps[:-1]] if hasattr(self.model, "steps") else []
        try:
            scale, shift = _scalers(before, self.model.n_features_in_)
        except ValueError:
            return None
        heads: List[Layers] = []  # there are several conventions; the probe tells
        if hasattr(final, "coef_") and hasattr(final, "decision_function"):
            w: Doubles = np.atleast_2d(np.asarray(final.coef_, np.float64)).T
            b: Doubles = np.atleast_1d(np.asarray(final.intercept_, np.float64))
            if w.shape[1] == 1 and self.num_classes == 2:  # one number for two classes: σ(z), or softmax of ∓z
                heads = [
                    [(np.hstack([0 * w, w]), np.array([0, b[0]]), "identity")],
                    [(np.hstack([-w, w]), np.array([-b[0], b[0]]), "identity")],
                ]
            elif w.shape[1] == self.num_classes:  # softmax, or one against the rest: σ(z)/Σσ(z)
                heads = [[(w, np.broadcast_to(b, w.shape[1]), f)] for f in ("identity", "log_sigmoid")]
        elif hasattr(final, "coefs_") and getattr(final, "out_activation_", "") in ("softmax", "logistic"):
            hidden = [(w, b, final.activation) for w, b in zip(final.coefs_, final.intercepts_)][:-1]
            w, b = final.coefs_[-1], final.intercepts_[-1]
            if w.shape[1] == 1:
                w, b = np.hstack([0 * w, w]), np.array([0, b[0]])
            heads = [[*hidden, (w, b, "identity")]]
        for head in heads:
            w, b, f = head[0]
            layers = [(scale[:, None] * w, b + shift @ w, f), *head[1:]]
            if self._same(layers):
                return layers
        return None

    def _same(self, layers: Layers) -> bool:
        """Whether softmax of the layers is predict_proba, or without one the largest is predict's class."""
        r = np.random.RandomState(0)
        x = r.randn(64, self.model.n_features_in_) / np.maximum(np.abs(layers[0][0]).max(1), 1e-6)
        z = _run(layers, x)[-1][1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(self.model, "predict_proba"):
                e = np.exp(z - z.max(1, keepdims=True))
                return np.allclose(e / e.sum(1, keepdims=True), self.model.predict_proba(x), atol=1e-6)
            return bool((np.asarray(self.model.classes_)[z.argmax(1)] == self.model.predict(x)).all())

    def predict(self, x: Floats) -> Any:
        rows = x.reshape(len(x), -1)
        if self.layers:
            return _run(self.layers, rows.astype(np.float64))[-1][1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of features, at every call
            return self.model.predict_proba(rows)

    def gradient(self, x: Floats, dy: Floats) -> Doubles:
        layers = self.layers or []
        kept = _run(layers, x.reshape(len(x), -1).astype(np.float64))
        d: Doubles = dy.astype(np.float64)
        for (w, _, f), (z, a) in zip(reversed(layers), reversed(kept)):
            d = (d * _ACTIVATIONS[f][1](z, a)) @ w.T
        return d.reshape(x.shape)


def _run(layers: Layers, x: Doubles) -> List[Tuple[Doubles, Doubles]]:
    """(before, after) the activation, of each layer."""
    kept = []
    for w, b, f in layers:
        z = x @ w + b
        x = _ACTIVATIONS[f][0](z)
        kept.append((z, x))
    return kept


def _scalers(steps: Sequence[Any], n: int) -> Tuple[Doubles, Doubles]:
    """The steps before the classifier as x·scale + shift; ValueError if they are something else."""
    scale, shift = np.ones(n), np.zeros(n)
    for s in steps:
        kind = type(s).__name__
        if isinstance(s, str) or s is None:  # "passthrough"
            continue
        if kind == "StandardScaler":
            a = 1 / s.scale_ if s.scale_ is not None else np.ones(n)
            b = -s.mean_ * a if s.mean_ is not None and s.with_mean else np.zeros(n)
        elif kind == "MinMaxScaler" and not s.clip:
            a, b = s.scale_, s.min_
        elif kind == "MaxAbsScaler":
            a, b = 1 / s.scale_, np.zeros(n)
        elif kind == "RobustScaler":
            a = 1 / s.scale_ if s.with_scaling else np.ones(n)
            b = -s.center_ * a if s.with_centering else np.zeros(n)
        else:
            raise ValueError(kind)
        scale, shift = scale * a, shift * a + b
    return scale, shift


def _digest(model: Any) -> str:
    from joblib.hashing import NumpyHasher  # scikit-learn needs it; its hash does not depend on the order of sets

    class Hasher(NumpyHasher):  # type: ignore[misc]
        def save(self, obj: Any) -> None:
            # The nodes of trees have bytes between their fields that nobody sets (scikit-learn 1.3 and later).
            if isinstance(obj, np.ndarray) and obj.dtype.names:
                fields = {name: np.ascontiguousarray(obj[name]) for name in obj.dtype.names}
                if sum(f.itemsize for f in fields.values()) != obj.dtype.itemsize:
                    obj = fields
            super().save(obj)

    return "sha256:" + hashlib.sha256(Hasher(hash_name="sha1").hash(model).encode()).hexdigest()


def serve(model: Any, **options: Any) -> NoReturn:
    """The whole main of a plugin around a fitted scikit-learn model; options as Sklearn."""
    _serve(Sklearn(model, **options))


def serve_function(f: Callable[[Floats], npt.ArrayLike], **options: Any) -> NoReturn:
    """The whole main of a plugin around a predict function; options as vaeguard.Function."""
    _serve(Function(f, **options))
