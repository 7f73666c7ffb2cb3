"""Specs as text, and the files that they name."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Dict, List, Mapping

import numpy as np

from ..classifier import Floats

Spec = Dict[str, Any]
"""A spec, section by section; what is None is left out."""

_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"}


def dump(spec: Mapping[str, Any]) -> str:
    """The YAML of a spec: sections as blocks, layers one a line."""
    return "\n".join(_block(_present(spec), 0)) + "\n"


def _present(v: Any) -> Any:
    if isinstance(v, Mapping):
        return {k: _present(e) for k, e in v.items() if e is not None}
    return [_present(e) for e in v] if isinstance(v, (list, tuple)) else v


def _block(m: Mapping[str, Any], depth: int) -> List[str]:
    pad, lines = "  " * depth, []
    for key, v in m.items():
        if isinstance(v, Mapping) and v and (depth == 0 or len(_flow(v)) > 100):
            lines += [f"{pad}{_scalar(key)}:", *_block(v, depth + 1)]
        elif isinstance(v, list) and v and any(isinstance(e, Mapping) for e in v):
            lines += [f"{pad}{_scalar(key)}:", *(f"{pad}  - {_flow(e)}" for e in v)]
        else:
            lines.append(f"{pad}{_scalar(key)}: {_flow(v)}")
    return lines


def _flow(v: Any) -> str:
    if isinstance(v, Mapping):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(e)}" for k, e in v.items()) + "}"
    if isinstance(v, list):
        return "[" + ", ".join(map(_flow, v)) + "]"
    return _scalar(v)


def _scalar(v: Any) -> str:
    if v is None or isinstance(v, bool):
        return json.dumps(v)
    if isinstance(v, (int, np.integer)):
        return str(int(v))
    if isinstance(v, (float, np.floating)):
        if not math.isfinite(v):
            raise ValueError(f"{v} in a spec: want a finite number")
        text = repr(float(v))
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    text = str(v)
    plain = text and set(text) <= _PLAIN and text[0].isalpha() and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=True)


def save_tensors(path: str, arrays: Mapping[str, Floats]) -> None:
    """Writes arrays as a safetensors file of float32."""
    header, at = {}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + 4 * a.size]}
        at += 4 * a.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(np.ascontiguousarray(a, "<f4").tobytes())


def load_tensors(path: str) -> Dict[str, Floats]:
    """Reads the float32 arrays of a safetensors file that vaeguard wrote."""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    out: Dict[str, Floats] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            out[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return out
