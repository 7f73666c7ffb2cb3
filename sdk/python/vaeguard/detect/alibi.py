"""Detectors that alibi-detect saved."""

from __future__ import annotations

import json
import math
import os
import zipfile
from typing import Any, Dict, Optional, Union

import numpy as np

from . import _settings
from .adversarial import AdversarialAE, ModelDistillation
from .base import AdversarialDetector

_MOST = 1 << 20  # bytes of the settings


def from_alibi(filepath: Union[str, os.PathLike[str]], model: Any = None, **options: Any) -> AdversarialDetector:
    """A detector that alibi-detect 0.11 or later saved on TensorFlow: an AdversarialAE with its layers, weights, threshold and
    temperature, or a ModelDistillation with its student. Both are ready to score.

    model: the classifier; None: the one that is saved with it. options: seed, binary and threads.
    Nothing of the folder is executed: settings are read as plain values, networks by Keras in its safe mode, and none that holds code.
    Raises FileNotFoundError and ValueError for what is no such folder, and ValueError for a SavedModel, which is a program.
    """
    folder = os.fspath(filepath)
    meta = _read(folder, "meta")
    name = meta.get("name")
    if not isinstance(name, str) or name not in ("AdversarialAE", "ModelDistillation"):
        raise ValueError(f"{folder} holds {_settings.shown(name)}, want AdversarialAE or ModelDistillation")
    state = _read(folder, name)
    common = {"threshold": _number(state, "threshold"), "temperature": _number(state, "temperature") or 1.0}
    options = {**common, "data_type": _text(meta, "data_type"), **options}
    loss = _text(state, "loss_type") or "kld"
    given = model if model is not None else _network(folder, "model")
    if name == "ModelDistillation":
        student = _network(folder, "distilled_model")
        return ModelDistillation(distilled_model=student, model=given, loss_type=loss, **options)
    hidden = state.get("hidden_layer_kld")
    if hidden or os.path.exists(os.path.join(folder, "model", "model_hl_0.ckpt.index")):
        raise ValueError(
            f"{folder} compares hidden layers, for which vaeguard draws heads of its own: build it anew, with hidden_layer_kld"
        )
    encoder, decoder = _network(folder, "encoder_net"), _network(folder, "decoder_net")
    return AdversarialAE(encoder_net=encoder, decoder_net=decoder, model=given, **options)


def _number(state: Dict[str, Any], key: str) -> Optional[float]:
    v = state.get(key)
    if v is None:
        return None
    if not isinstance(v, (int, float, np.integer, np.floating)):
        raise ValueError(f"{key} is a {type(v).__name__}, want a number")
    try:
        number = float(v)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{key} is {number}, want a finite number")
    return number


def _text(state: Dict[str, Any], key: str) -> Optional[str]:
    v = state.get(key)
    if v is not None and not isinstance(v, str):
        raise ValueError(f"{key} is a {type(v).__name__}, want a text")
    return v


def _read(folder: str, name: str) -> Dict[str, Any]:
    for suffix in (".dill", ".pickle"):
        path = os.path.join(folder, name + suffix)
        if os.path.isfile(path):
            break
    else:
        raise FileNotFoundError(f"{folder} has no {name}.dill: it is no detector that alibi-detect saved")
    with open(path, "rb") as f:
        text = f.read(_MOST + 1)
    if len(text) > _MOST:
        raise ValueError(f"{path} has more than {_MOST} bytes")
    try:
        found = _settings.read(text)
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, want a dict")
    return found


def _network(folder: str, name: str) -> Any:
    import tensorflow as tf

    for suffix, config in ((".h5", _config_of_h5), (".keras", _config_of_zip)):
        path = os.path.join(folder, "model", name + suffix)
        if os.path.isfile(path):
            _no_code(path, config(path))
            return tf.keras.models.load_model(path, compile=False)
    if os.path.isfile(os.path.join(folder, "model", "saved_model.pb")):
        raise ValueError(
            f"{folder}: {name} is a SavedModel, which is a program: load it where it was made, and save it as model/{name}.keras"
        )
    raise FileNotFoundError(f"{folder} has no model/{name}.h5")


def _config_of_h5(path: str) -> Any:
    import h5py

    with h5py.File(path, "r") as f:
        return json.loads(f.attrs["model_config"]) if "model_config" in f.attrs else None


def _config_of_zip(path: str) -> Any:
    with zipfile.ZipFile(path) as z:
        if z.getinfo("config.json").file_size > 64 * _MOST:
            raise ValueError(f"{path}: config.json has more than {64 * _MOST} bytes")
        return json.loads(z.read("config.json"))


def _no_code(path: str, config: Any) -> None:
    """Refuses layers that are code, and what is looked up elsewhere than in Keras: its safe mode knows them all since 3.11.3 alone."""
    left = [config]
    while left:
        v = left.pop()
        if isinstance(v, dict):
            if v.get("class_name") in ("Lambda", "__lambda__"):
                raise ValueError(f"{path} holds a layer that is code: {_settings.shown(v['class_name'])}")
            module = v.get("module")
            if "class_name" in v and module is not None and str(module).split(".")[0] != "keras":
                raise ValueError(f"{path} names {_settings.shown(module)}, want what Keras has")
            left.extend(v.values())
        elif isinstance(v, list):
            left.extend(v)
