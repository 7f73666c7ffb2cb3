"""Detectors on disk."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Type, Union

from .. import detector
from .adversarial import AdversarialAE, AdversarialVAE, ModelDistillation
from .base import AdversarialDetector, _version

_CLASSES: Dict[str, Type[AdversarialDetector]] = {"vae": AdversarialVAE, "ae": AdversarialAE, "distillation": ModelDistillation}


def save_detector(ad: AdversarialDetector, filepath: Union[str, os.PathLike[str]]) -> None:
    """Writes a detector with its threshold into a folder, which must not be there. The model is not in it."""
    ad.save(filepath)


def load_detector(
    filepath: Union[str, os.PathLike[str]], model: Any = None, seed: int = 0, binary: Optional[str] = None, threads: int = 0
) -> AdversarialDetector:
    """Reads a detector, however it was made. model: the classifier, if it is an object of this process; it must be the one
    that the detector was made for. Detectors around ONNX files, servers and plugins know theirs.

    Raises RuntimeError for what is no detector, TypeError where the model is missing.
    """
    path = os.fspath(filepath)
    found = detector.inspect(path, binary)
    about = found["detector"]
    method = about.get("method", "vae")
    if method not in _CLASSES:
        raise TypeError(f"{path} is of method {method}: open it with vaeguard.Detector")
    folder = path if os.path.isfile(os.path.join(path, "detector.yaml")) else os.path.join(path, "detector")
    if not os.path.isfile(os.path.join(folder, "detector.yaml")):
        raise TypeError(f"{path} is a pack: open it with vaeguard.Detector")
    with open(os.path.join(folder, "detector.yaml"), encoding="utf-8") as f:
        text = f.read()
    if model is None and "\n  plugin: caller\n" in text:
        raise TypeError(f"the model of {path} is not in it: load_detector(path, model=…), with the model that it was made for")
    ad = _CLASSES[method].__new__(_CLASSES[method])
    ad._begin()
    ad.model, ad.seed, ad.binary, ad.threads = {} if model is None else model, seed, binary, threads
    ad.history = {}
    ad.threshold = (about.get("threshold") or {}).get("value")
    ad.meta = {
        "name": _CLASSES[method].__name__,
        "online": False,
        "data_type": _data_type(text),
        "version": _version(),
        "detector_type": "adversarial",
    }
    ad._path, ad._text = folder, text
    return ad


def _data_type(text: str) -> Optional[str]:
    for line in text.splitlines():
        if line.startswith("  data_type: "):
            return line.split(": ", 1)[1].strip().strip('"') or None
    return None
