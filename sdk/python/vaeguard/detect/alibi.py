"""Detectors that alibi-detect saved."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any, Dict, Tuple, Union

from .adversarial import AdversarialAE, ModelDistillation
from .base import AdversarialDetector

# What the settings of a detector are made of, beside plain values: numbers and arrays of NumPy.
_ALLOWED = {
    (module, name)
    for base in ("numpy.core", "numpy._core")
    for module, name in (
        (base + ".multiarray", "scalar"),
        (base + ".multiarray", "_reconstruct"),
        (base + ".numeric", "_frombuffer"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy", "float64"),
        ("numpy", "float32"),
        ("numpy", "int64"),
    )
}
_MOST = 1 << 20  # bytes of the settings


class _Settings(pickle.Unpickler):
    """Reads plain values and numbers, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, want plain values and numbers")
        return super().find_class(module, name)


def from_alibi(filepath: Union[str, os.PathLike[str]], model: Any = None, **options: Any) -> AdversarialDetector:
    """A detector that alibi-detect 0.11 or later saved on TensorFlow: an AdversarialAE with its layers, weights, threshold and
    temperature, or a ModelDistillation with its student. Both are ready to score.

    model: the classifier; None: the one that is saved with it. options: seed, binary and threads.
    Nothing of the folder is executed: settings are read as plain values, networks by Keras in its safe mode.
    Raises FileNotFoundError and ValueError for what is no such folder.
    """
    folder = os.fspath(filepath)
    meta = _settings(folder, "meta")
    name = meta.get("name")
    if name not in ("AdversarialAE", "ModelDistillation"):
        raise ValueError(f"{folder} holds {name!r}, want AdversarialAE or ModelDistillation")
    state = _settings(folder, name)
    common = {"threshold": _number(state.get("threshold")), "temperature": float(state.get("temperature") or 1)}
    options = {**common, "data_type": meta.get("data_type"), **options}
    given = model if model is not None else _network(folder, "model")
    if name == "ModelDistillation":
        student = _network(folder, "distilled_model")
        return ModelDistillation(distilled_model=student, model=given, loss_type=state.get("loss_type", "kld"), **options)
    hidden = state.get("hidden_layer_kld")
    if hidden or os.path.exists(os.path.join(folder, "model", "model_hl_0.ckpt.index")):
        raise ValueError(
            f"{folder} compares hidden layers, for which vaeguard draws heads of its own: build it anew, with hidden_layer_kld"
        )
    encoder, decoder = _network(folder, "encoder_net"), _network(folder, "decoder_net")
    return AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=given, **options)


def _number(v: Any) -> Any:
    return None if v is None else float(v)


def _settings(folder: str, name: str) -> Dict[str, Any]:
    for suffix in (".dill", ".pickle"):
        path = os.path.join(folder, name + suffix)
        if os.path.isfile(path):
            break
    else:
        raise FileNotFoundError(f"{folder} has no {name}.dill: it is no detector that alibi-detect saved")
    if os.path.getsize(path) > _MOST:
        raise ValueError(f"{path} has {os.path.getsize(path)} bytes, at most {_MOST}")
    with open(path, "rb") as f:
        text = f.read()
    try:
        found = _Settings(io.BytesIO(text)).load()
    except _BROKEN as e:
        raise ValueError(f"{path}: {e}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, want a dict")
    return found


_BROKEN: Tuple[Any, ...] = (pickle.UnpicklingError, EOFError, ValueError, AttributeError, ImportError, IndexError, KeyError, TypeError)


def _network(folder: str, name: str) -> Any:
    import tensorflow as tf

    for suffix in (".h5", ".keras"):
        path = os.path.join(folder, "model", name + suffix)
        if os.path.isfile(path):
            return tf.keras.models.load_model(path, compile=False)
    raise FileNotFoundError(f"{folder} has no model/{name}.h5")
