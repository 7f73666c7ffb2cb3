"""What a user calls a model, as a classifier of this process or as the section classifier of a spec."""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple, Optional
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


def source(model: Any, rows: Floats) -> Source:
    """Finds out what model is. rows: some of the user's, (N, …), as the model takes them.

    A Classifier, a keras.Model, a torch.nn.Module, a fitted classifier with predict_proba, an xgboost.Booster, or a
    function stays in this process. A path of an ONNX file, the URL of a model on a server (…/v2/models/NAME), the name
    of a plugin and a dict, the section itself, are vaeguard's to reach. Raises TypeError for anything else.
    """
    if isinstance(model, dict):
        return Source(model, None)
    if isinstance(model, (str, os.PathLike)):
        return Source(_named(os.fspath(model)), None)
    return Source({"plugin": "caller"}, classifier(model, rows[:_PROBE]))


def classifier(model: Any, rows: Floats) -> Classifier:
    """An object of this process as a Classifier."""
    if isinstance(model, Classifier):
        if isinstance(model, Function):
            model.learn(rows)
        return model
    families = {(c.__module__ or "").split(".")[0] for c in type(model).__mro__}
    if "keras" in families or "tf_keras" in families:
        return _keras(model, rows)
    if "torch" in families:
        return _torch(model, rows)
    if type(model).__name__ == "Booster" and hasattr(model, "inplace_predict"):
        return _learnt(Function(model.inplace_predict, name="xgboost"), rows)
    if hasattr(model, "predict_proba") or hasattr(model, "decision_function"):
        from .sklearn import Sklearn

        return Sklearn(model, input_shape=rows.shape[1:])
    if callable(model):
        f = Function(model, name=getattr(model, "__name__", "function"))
        f.output = PROBABILITIES if _probable(f.predict(rows)) else LOGITS
        return _learnt(f, rows)
    raise TypeError(
        f"a model of type {type(model).__name__}: want a Keras or torch model, a scikit-learn classifier, a function of arrays, "
        "an ONNX file, a URL or a vaeguard.Classifier"
    )


def _learnt(f: Function, rows: Floats) -> Function:
    f.learn(rows)
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
    return {"plugin": text}


def _keras(model: Any, rows: Floats) -> Classifier:
    import keras

    if getattr(keras, "backend", None) and keras.backend.backend() != "tensorflow":
        raise TypeError(
            f"a Keras model on {keras.backend.backend()}: its gradients are found on TensorFlow alone; give the function of "
            "arrays that it is, as vaeguard.Function or vaeguard.Function.jax"
        )
    from .keras import Keras

    found = Keras(model)
    if found.output == LOGITS and _probable(found.predict(np.ascontiguousarray(rows, np.float32))):  # an activation of the user's own
        return Keras(model, output=PROBABILITIES)
    return found


def _torch(module: Any, rows: Floats) -> Classifier:
    import torch

    from .torch import Torch

    parameter = next(module.parameters(), None)
    device = parameter.device if parameter is not None else "cpu"
    dtype = parameter.dtype if parameter is not None else torch.float32
    module.eval()
    with torch.no_grad():
        y = module(torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device, dtype)).float().cpu().numpy()
    if y.ndim != 2:
        raise ValueError(f"the module gives {y.shape} for rows of shape {rows.shape}, want (N, classes)")
    output = PROBABILITIES if _probable(y) else LOGITS
    return Torch(module, rows.shape[1:], y.shape[1], output=output, device=device)


def _probable(y: Any) -> bool:
    """Whether every row is a distribution."""
    y = np.asarray(y)
    if y.ndim == 1:
        return bool((y >= 0).all() and (y <= 1).all())
    return bool((y >= 0).all() and (np.abs(y.sum(1) - 1) < _SUM).all())
