"""The messages of the protocol, as sdk/proto/classifier.proto has them, and arrays in them."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

import numpy as np
import numpy.typing as npt

from ._errors import Error
from ._protobuf import Message, Schema
from .classifier import LOGITS, PROBABILITIES

TENSOR: Schema = {1: ("dtype", "int"), 2: ("shape", "int*"), 3: ("data", "bytes")}
MAP: Schema = {1: ("key", "str"), 2: ("value", TENSOR)}
PREDICT: Schema = {1: ("x", TENSOR), 2: ("outputs", "str*")}
OUTPUTS: Schema = {1: ("outputs", [MAP])}
COTANGENT: Schema = {1: ("cotangents", [MAP])}
GRADIENT: Schema = {1: ("x", TENSOR), 2: ("cotangents", [MAP])}
GRADIENT_RESPONSE: Schema = {1: ("dx", TENSOR), 2: ("outputs", [MAP])}
DIFF: Schema = {1: ("forward", PREDICT), 2: ("backward", COTANGENT)}
DIFF_RESPONSE: Schema = {1: ("outputs", OUTPUTS), 2: ("dx", TENSOR)}
CONFIGURE: Schema = {
    1: ("config_json", "bytes"),
    2: ("base_dir", "str"),
    3: ("input_shape", "int*"),
    4: ("classes", "int"),
    5: ("seed", "int"),
}
CONFIGURED: Schema = {1: ("diagnostics", [{1: ("pointer", "str"), 2: ("message", "str")}])}
HIDDEN: Schema = {1: ("name", "str"), 2: ("shape", "int*")}
DESCRIBE: Schema = {
    1: ("name", "str"),
    2: ("version", "str"),
    3: ("input_shape", "int*"),
    4: ("layout", "int"),
    5: ("lo", "float*"),
    6: ("hi", "float*"),
    7: ("num_classes", "int"),
    8: ("classes", "str*"),
    9: ("output", "int"),
    10: ("max_batch", "int"),
    11: ("gradient", "int"),
    12: ("differentiate", "int"),
    13: ("hidden", [HIDDEN]),
    14: ("trainable", "int"),
    15: ("ready", "int"),
    16: ("batch_invariant", "int"),
    17: ("digest", "str"),
    18: ("config_schema", "bytes"),
}
FIT_OPTIONS: Schema = {
    1: ("options_json", "bytes"),
    2: ("seed", "int"),
    3: ("output_dir", "str"),
    4: ("n_train", "int"),
    5: ("n_validation", "int"),
}
FIT_ROWS: Schema = {1: ("x", TENSOR), 2: ("labels", TENSOR), 3: ("split", "int")}
FIT: Schema = {1: ("options", FIT_OPTIONS), 2: ("rows", FIT_ROWS)}
PROGRESS: Schema = {
    1: ("epoch", "int"),
    2: ("step", "int"),
    3: ("steps", "int"),
    4: ("metrics", [{1: ("key", "str"), 2: ("value", "double")}]),
}
DONE: Schema = {1: ("config_json", "bytes"), 2: ("files", [{1: ("name", "str"), 2: ("sha256", "str")}]), 3: ("digest", "str")}
FIT_EVENT: Schema = {1: ("progress", PROGRESS), 2: ("done", DONE)}


LAYOUTS = {"flat": 1, "nhwc": 2, "nchw": 3}
KINDS = {LOGITS: 1, PROBABILITIES: 2}
GRADIENTS = {"none": 1, "exact": 2, "estimated": 3}
DTYPES = {1: "<f4", 2: "<f8", 3: "<f2", 4: "u1", 5: "<i8"}


def array(what: str, t: Optional[Mapping[str, Any]]) -> npt.NDArray[Any]:
    """The array in a Tensor, which it shares memory with. Raises Error, invalid_argument, naming what."""
    if not t or t.get("dtype", 0) not in DTYPES:
        raise Error("invalid_argument", f"{what} has dtype {(t or {}).get('dtype')}, want F32")
    dtype, shape = np.dtype(DTYPES[t["dtype"]]), tuple(t["shape"])
    data = t.get("data", b"")
    size = 1
    for d in shape:
        if d < 0:
            raise Error("invalid_argument", f"{what} has a negative dimension")
        size *= d
    if size * dtype.itemsize != len(data):
        raise Error("invalid_argument", f"{what} of shape {shape} has {len(data)} bytes, want {size * dtype.itemsize}")
    return np.frombuffer(data, dtype).reshape(shape)


def tensor(a: npt.ArrayLike) -> Message:
    """An array as a Tensor of F32."""
    floats = np.ascontiguousarray(a, "<f4")
    return {"dtype": 1, "shape": floats.shape, "data": floats.tobytes()}


def tensors(arrays: Mapping[str, npt.ArrayLike]) -> List[Message]:
    """Named arrays as a map of Tensors, sorted by name."""
    return [{"key": k, "value": tensor(v)} for k, v in sorted(arrays.items())]
