"""Detectors on disk."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional, Sequence, Type, Union

from .. import _models, detector
from .adversarial import AdversarialAE, AdversarialVAE, ModelDistillation
from .base import AdversarialDetector, _version

_CLASSES: Dict[str, Type[AdversarialDetector]] = {"vae": AdversarialVAE, "ae": AdversarialAE, "distillation": ModelDistillation}


def save_detector(ad: AdversarialDetector, filepath: Union[str, os.PathLike[str]]) -> None:
    """Writes a detector with its threshold into a folder, which must not be there. The model is not in it."""
    ad.save(filepath)


def load_detector(
    filepath: Union[str, os.PathLike[str]],
    model: Any = None,
    seed: int = 0,
    binary: Optional[str] = None,
    threads: int = 0,
    allow_command: Union[str, Sequence[str]] = (),
) -> AdversarialDetector:
    """Reads a detector, however it was made: as the class of its method, or as a Guard where its threshold, its scores or its
    corrections are a recipe's, which one threshold does not tell. It scores, takes a new threshold (but a Guard) and is saved; it is
    not trained further.

    model: the classifier, if it is an object of this process; it must be the one that the detector was made for. Detectors around
    ONNX files, servers and plugins know theirs, and take another form of it: a path, a URL, a name or a dict.
    allow_command: as Detector's, of a detector that another user made around a command.

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
    made = _class(method, about, text)
    ad = made.__new__(made)
    ad._begin()
    ad.model, ad.seed, ad.binary, ad.threads = {} if model is None else model, seed, binary, threads
    ad.history = {}
    ad._threshold = (about.get("threshold") or {}).get("value")
    ad.meta = {
        "name": made.__name__,
        "online": False,
        "data_type": _data_type(text),
        "version": _version(),
        "detector_type": "adversarial",
    }
    signature = about.get("signature") or {}
    ad._columns = [f["name"] for f in signature.get("features") or []] if signature.get("kind") == "table" else None
    ad._path, ad._text, ad._saved = folder, text, _models.Known.of(about)
    ad._allow = [allow_command] if isinstance(allow_command, str) else list(allow_command)
    return ad


def _class(method: str, about: Mapping[str, Any], text: str) -> Type[AdversarialDetector]:
    """What a detector is in Python."""
    fused = any(line.startswith("  fusion: ") and line.split()[1] != "none" for line in text.splitlines())
    if fused or about.get("correction") or (about.get("threshold") or {}).get("classes"):
        from ..guard import Guard

        return Guard
    return _CLASSES[method]


def _data_type(text: str) -> Optional[str]:
    for line in text.splitlines():
        if line.startswith("  data_type: "):
            return line.split(": ", 1)[1].strip().strip('"') or None
    return None
