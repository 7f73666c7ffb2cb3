"""Networks as a spec has them: layers in its words, with their weights if they have some."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from ..classifier import Floats

Words = List[Union[str, Dict[str, Any]]]
"""Layers as `vaeguard list layer` names them: "flatten", {"dense": {"units": 8, "activation": "relu"}}."""

Weights = Dict[str, Floats]
"""Arrays by layer and name: "0.kernel"."""

Shape = Tuple[int, ...]


class Net(NamedTuple):
    """Layers that lead from one shape to another."""

    layers: Words
    weights: Optional[Weights]
    """None: vaeguard draws them."""
    inputs: Optional[Shape]
    """Per example, images as NHWC; None: not known."""
    outputs: Optional[Shape]


class UnsupportedError(TypeError):
    """A layer that has no counterpart in a spec."""


def read(net: Any, inputs: Optional[Shape], what: str, free: bool = False) -> Net:
    """A Keras Sequential, a torch Sequential or a list in a spec's words.

    inputs: what it takes per example, as vaeguard has it (images NHWC), if that is known. what: how errors call the net.
    free: what follows it has no weights yet. Raises TypeError for what it cannot read.
    """
    families = {(c.__module__ or "").split(".")[0] for c in type(net).__mro__}
    try:
        if "keras" in families or "tf_keras" in families:
            from .keras_nets import read_keras

            return read_keras(net, inputs)
        if "torch" in families:
            from .torch_nets import read_torch

            return read_torch(net, inputs, free)
        if isinstance(net, (list, tuple)) and all(isinstance(w, (str, Mapping)) for w in net):
            return Net([w if isinstance(w, str) else dict(w) for w in net], None, inputs, None)
    except UnsupportedError as e:
        raise TypeError(f"{what}: {e}") from None
    raise TypeError(f"{what} is {type(net).__name__}: want a Keras Sequential, a torch Sequential or a list of layers in a spec's words")


class Builder:
    """Puts a net together, layer by layer."""

    def __init__(self) -> None:
        self.layers: Words = []
        self.weights: Weights = {}

    def add(self, name: str, options: Optional[Mapping[str, Any]] = None, weights: Optional[Mapping[str, npt.ArrayLike]] = None) -> None:
        """One more layer; options that are None are left out."""
        given = {k: _plain(v) for k, v in (options or {}).items() if v is not None}
        for key, value in (weights or {}).items():
            self.weights[f"{len(self.layers)}.{key}"] = np.ascontiguousarray(value, np.float32)
        self.layers.append({name: given} if given else name)

    def net(self, inputs: Optional[Shape], outputs: Optional[Shape]) -> Net:
        return Net(self.layers, self.weights, inputs, outputs)


def _plain(v: Any) -> Any:
    if isinstance(v, (list, tuple)):
        return [_plain(e) for e in v]
    return v.item() if isinstance(v, np.generic) else v


def prefixed(prefix: str, weights: Weights) -> Weights:
    """Weights under the names that a detector's file has them."""
    return {f"{prefix}.{k}": v for k, v in weights.items()}


def glorot(r: np.random.RandomState, rows: int, columns: int) -> Floats:
    """The kernel of a dense layer, drawn as Keras does (Glorot and Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return r.uniform(-limit, limit, (rows, columns)).astype(np.float32)


def size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))
