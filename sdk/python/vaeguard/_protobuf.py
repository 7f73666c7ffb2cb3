"""protobuf, the little of it that the protocol needs.

A message is a dict from the names of its fields to their values. Its schema says for each field's number the name
and the kind: int, double, str, bytes, the repeated int*, float* and str*, another schema for a message, and a list
of one schema for repeated messages and maps, which are messages of key and value.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Mapping, Tuple, Union

import numpy as np

from ._errors import Error

Message = Dict[str, Any]
Bytes = Union[bytes, memoryview]
Kind = Union[str, Dict[int, Any], List[Any]]
Schema = Dict[int, Tuple[str, Kind]]

_WIRES = {"int": (0,), "int*": (0, 2), "float*": (2, 5), "double": (1,)}  # all others: 2


def varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _read_varint(b: Bytes, i: int) -> Tuple[int, int]:
    n = shift = 0
    while True:
        if i >= len(b) or shift > 63:
            raise Error("invalid_argument", "a truncated message")
        c = b[i]
        i += 1
        n |= (c & 127) << shift
        if c < 128:
            return n & ((1 << 64) - 1), i
        shift += 7


def encode(schema: Schema, values: Mapping[str, Any]) -> bytes:
    """values as a message; what is None or missing is left out, as are zeros and empty lists."""
    parts: List[bytes] = []

    def delimited(field: int, data: bytes) -> None:
        parts.extend((varint(field << 3 | 2), varint(len(data)), data))

    for field, (name, kind) in schema.items():
        v = values.get(name)
        if v is None:
            continue
        if isinstance(kind, dict):
            delimited(field, encode(kind, v))
        elif isinstance(kind, list):
            for e in v:
                delimited(field, encode(kind[0], e))
        elif kind == "int":
            if v:
                parts.append(varint(field << 3) + varint(int(v)))
        elif kind == "double":
            parts.append(varint(field << 3 | 1) + struct.pack("<d", v))
        elif kind == "int*":
            if len(v):
                delimited(field, b"".join(varint(int(e)) for e in v))
        elif kind == "float*":
            if len(v):
                delimited(field, np.asarray(v, "<f4").tobytes())
        elif kind == "str*":
            for e in v:
                delimited(field, e.encode())
        else:
            data = v.encode() if isinstance(v, str) else v
            if len(data):
                delimited(field, data)
    return b"".join(parts)


def decode(schema: Schema, message: Bytes) -> Message:
    """A message as a dict. Repeated fields are always there, others only if they came.

    Raises Error, invalid_argument, for anything else. A tensor's data is a view of it.
    """
    out: Message = {}
    for name, kind in schema.values():
        if isinstance(kind, list) or (isinstance(kind, str) and kind.endswith("*")):
            out[name] = []
    b, i = memoryview(message), 0
    while i < len(b):
        tag, i = _read_varint(b, i)
        field, wire = tag >> 3, tag & 7
        number, data = 0, b[:0]
        if wire == 0:
            number, i = _read_varint(b, i)
        elif wire in (1, 2, 5):
            if wire == 2:
                size, i = _read_varint(b, i)
            else:
                size = 8 if wire == 1 else 4
            if i + size > len(b):
                raise Error("invalid_argument", "a truncated message")
            data, i = b[i : i + size], i + size
        else:
            raise Error("invalid_argument", "a malformed message")
        if field not in schema:
            continue
        name, kind = schema[field]
        if wire not in _WIRES.get(kind if isinstance(kind, str) else "", (2,)):
            raise Error("invalid_argument", f"a malformed message: field {field} has wire type {wire}")
        if isinstance(kind, dict):
            out[name] = decode(kind, data)
        elif isinstance(kind, list):
            out[name].append(decode(kind[0], data))
        elif kind == "int":
            out[name] = _signed(number)
        elif kind == "double":
            out[name] = struct.unpack("<d", data)[0]
        elif kind == "int*":
            out[name].extend([_signed(number)] if wire == 0 else _packed(data))
        elif kind == "float*":
            out[name].extend(_floats(data))
        elif kind == "str*":
            out[name].append(_text(data))
        elif kind == "str":
            out[name] = _text(data)
        else:
            out[name] = bytes(data) if name != "data" else data
    return out


def _packed(b: memoryview) -> List[int]:
    out, i = [], 0
    while i < len(b):
        n, i = _read_varint(b, i)
        out.append(_signed(n))
    return out


def _floats(b: memoryview) -> List[float]:
    if len(b) % 4:
        raise Error("invalid_argument", "a malformed message: packed floats of a broken length")
    floats: List[float] = np.frombuffer(b, "<f4").tolist()
    return floats


def _text(b: memoryview) -> str:
    try:
        return bytes(b).decode()
    except UnicodeDecodeError:
        raise Error("invalid_argument", "a string that is not UTF-8") from None


def _signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n


def unsigned(n: int) -> int:
    """What decode gives for an int field, as the uint64 that it is."""
    return n & ((1 << 64) - 1)
