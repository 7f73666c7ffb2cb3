"""What a user calls a model, as a classifier of this process or as the section classifier of a spec."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

import numpy as np

from .classifier import LOGITS, PROBABILITIES, Classifier, Floats
from .function import Function

_PROBE = 16  # rows that a model is tried with
_SUM = 1e-3  # how far a row of probabilities may be from 1


class Source(NamedTuple):
    """Where a spec's classifier is."""

    section: Dict[str, Any]
    """The section classifier."""
    classifier: Optional[Classifier]
    """What plugin caller asks; None: the section says it all."""


class Known(NamedTuple):
    """What a saved detector tells of its model, which then need not be tried with rows."""

    shape: Tuple[int, ...]
    """Of a row as the guard takes it, images NHWC."""
    classes: int
    output: str
    """LOGITS or PROBABILITIES."""

    @staticmethod
    def of(about: Mapping[str, Any]) -> Known:
        """about: the part detector of what vaeguard says of a detector."""
        model = about.get("classifier") or {}
        return Known(tuple(about.get("input_shape") or ()), int(model.get("classes") or 0), model.get("output") or LOGITS)


def source(model: Any, rows: Optional[Floats] = None, known: Optional[Known] = None) -> Source:
    """Finds out what model is. rows: some of the user's, (N, …), as the model takes them; None: known says what they tell.

    A Classifier, a keras.Model, a torch.nn.Module, a fitted classifier with predict_proba, an xgboost.Booster, or a
    function stays in this process. A path of an ONNX file, the URL of a model on a server (…/v2/models/NAME), the name
    of a plugin and a dict, the section itself, are vaeguard's to reach. Raises TypeError for anything else, ValueError where there
    is no row to try it with.
    """
    if isinstance(model, dict):
        return Source(model, None)
    if isinstance(model, (str, os.PathLike)):
        return Source(_named(os.fspath(model)), None)
    if rows is not None:
        if not len(rows):
            raise ValueError("X has no rows, by which the model can be tried")
        return Source({"plugin": "caller"}, classifier(model, np.ascontiguousarray(rows[:_PROBE], np.float32)))
    if known is None:
        raise TypeError("want rows to try the model with, or what is known of it")
    return Source({"plugin": "caller"}, classifier(model, None, known))


def classifier(model: Any, rows: Optional[Floats], known: Optional[Known] = None) -> Classifier:
    """An object of this process as a Classifier. One of rows and known is given."""
    if isinstance(model, Classifier):
        if isinstance(model, Function):
            _learn(model, rows, known)
        return model
    families = {(c.__module__ or "").split(".")[0] for c in type(model).__mro__}
    if "keras" in families or "tf_keras" in families:
        return _keras(model, rows, known)
    if "torch" in families:
        return _torch(model, rows, known)
    if type(model).__name__ == "Booster" and hasattr(model, "inplace_predict"):
        return _learn(Function(model.inplace_predict, name="xgboost"), rows, known)
    if hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        from .sklearn import Sklearn

        return Sklearn(model, input_shape=_shape(rows, known))
    if callable(model):
        f = Function(model, name=getattr(model, "__name__", "function"))
        f.output = known.output if known else PROBABILITIES if _probable(f.predict(_given(rows))) else LOGITS
        return _learn(f, rows, known)
    raise TypeError(
        f"a model of type {type(model).__name__}: want a Keras or torch model, a scikit-learn classifier, a function of arrays, "
        "an ONNX file, a URL or a vaeguard.Classifier"
    )


def _given(rows: Optional[Floats]) -> Floats:
    assert rows is not None
    return rows


def _shape(rows: Optional[Floats], known: Optional[Known]) -> Tuple[int, ...]:
    return known.shape if known else tuple(_given(rows).shape[1:])


def _learn(f: Function, rows: Optional[Floats], known: Optional[Known]) -> Function:
    if known:
        f.num_classes = f.num_classes or known.classes
        f.learn(np.zeros((0, *_as_torch(known.shape)) if f.layout == "nchw" else (0, *known.shape), np.float32))
    else:
        f.learn(_given(rows))
    return f


def _named(text: str) -> Dict[str, Any]:
    url = urlsplit(text)
    if url.scheme in ("http", "https", "grpc", "grpcs"):
        server, _, name = text.partition("/v2/models/")
        if not name:
            raise ValueError(f"{text}: want the model's URL, SERVER/v2/models/NAME")
        return {"plugin": "oip", "config": {"url": server, "model": name.strip("/").split("/")[0]}}
    if text.endswith(".onnx"):
        if not os.path.isfile(text):
            raise FileNotFoundError(f"there is no file {text}")
        return {"plugin": "onnx", "config": {"model": os.path.abspath(text)}}
    if os.path.dirname(text):
        return {"path": os.path.abspath(text)}
    return {"plugin": text}


def _keras(model: Any, rows: Optional[Floats], known: Optional[Known]) -> Classifier:
    import keras

    if getattr(keras, "backend", None) and keras.backend.backend() != "tensorflow":
        raise TypeError(
            f"a Keras model on {keras.backend.backend()}: its gradients are found on TensorFlow alone; give the function of "
            "arrays that it is, as vaeguard.Function or vaeguard.Function.jax"
        )
    from .keras import Keras

    found = Keras(model)
    if found.output == LOGITS:  # unless its last layer's activation is the user's own
        sure = known.output == PROBABILITIES if known else _probable(found.predict(_given(rows)))
        return Keras(model, output=PROBABILITIES) if sure else found
    return found


def _torch(module: Any, rows: Optional[Floats], known: Optional[Known]) -> Classifier:
    import torch

    from .torch import Torch

    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else "cpu"
    if known:
        return Torch(module, _as_torch(known.shape), known.classes, output=known.output, device=device, borrowed=True)
    rows = _given(rows)
    found = Torch(module, rows.shape[1:], 0, device=device, borrowed=True)
    with torch.no_grad():
        y = found.predict(rows)
    if y.ndim != 2:
        raise ValueError(f"the module gives {y.shape} for rows of shape {rows.shape}, want (N, classes)")
    found.num_classes, found.output = y.shape[1], PROBABILITIES if _probable(y) else LOGITS
    return found


def _as_torch(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """The shape of an image, NHWC, as NCHW; that of a row of another kind as it is."""
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def _probable(y: Any) -> bool:
    """Whether every row is a distribution. There is one at least."""
    y = np.asarray(y)
    if y.ndim == 1:
        return bool((y >= 0).all() and (y <= 1).all())
    return bool((y >= 0).all() and (np.abs(y.sum(1) - 1) < _SUM).all())
