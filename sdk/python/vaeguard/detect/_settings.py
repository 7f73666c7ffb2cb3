"""The settings of a detector that alibi-detect saved: a pickle, read without the machine that runs pickles."""

from __future__ import annotations

import pickletools
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

# Numbers of NumPy by the code of their type.
_NUMBERS = {"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"}
_KEYS = (str, int, float, bytes, type(None))


class _Type:
    """A type of NumPy's numbers. NumPy's own takes from a pickle how its values lie in memory, and believes it."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        if not isinstance(code, str) or code not in _NUMBERS:
            raise ValueError(f"it holds numbers of type {shown(code)}, want one of {', '.join(sorted(_NUMBERS))}")
        self.type = np.dtype(code)

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise ValueError("it holds a type of numbers without an order of bytes")
        self.type = self.type.newbyteorder(state[1])

    def array(self, data: Any, shape: Any, order: Any) -> Any:
        """As many numbers as data has, in an array of that shape."""
        if not isinstance(data, (bytes, bytearray)) or not isinstance(shape, tuple):
            raise ValueError("it holds an array without its bytes or its shape")
        if not all(isinstance(n, int) and 0 <= n <= len(data) for n in shape) or len(shape) > 32:
            raise ValueError(f"it holds an array of {len(data)} bytes and another shape")
        return np.frombuffer(data, self.type).reshape(shape, order="F" if order in ("F", True, 1) else "C")


class _Array:
    """An array that is about to be built."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Type):
            raise ValueError("it holds an array without its type")
        self.value = state[2].array(state[4], state[1], state[3])


def _scalar(kind: Any, data: Any) -> Any:
    if not isinstance(kind, _Type):
        raise ValueError("it holds a number without its type")
    return kind.array(data, (1,), "C")[0]


def _frombuffer(data: Any, kind: Any, shape: Any, order: Any) -> Any:
    if not isinstance(kind, _Type):
        raise ValueError("it holds an array without its type")
    return kind.array(data, shape, order)


def _latin(text: Any, code: Any = None) -> bytes:  # bytes, in protocols before the third
    if not isinstance(text, str) or code != "latin1":
        raise ValueError("it holds bytes made of something else than a text")
    return text.encode("latin1")


def _as_number(v: Any) -> Any:
    if not isinstance(v, (int, float)):
        raise ValueError(f"it holds a number made of a {type(v).__name__}")
    return v


_MAKERS: Dict[Tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _latin,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("numpy", "float64"): _as_number,
    ("numpy", "float32"): _as_number,
    ("numpy", "int64"): _as_number,
}
for _base in ("numpy.core", "numpy._core"):
    _MAKERS[_base + ".multiarray", "scalar"] = _scalar
    _MAKERS[_base + ".multiarray", "_reconstruct"] = _Array
    _MAKERS[_base + ".numeric", "_frombuffer"] = _frombuffer


def shown(v: Any) -> str:
    """A value of a file's as it may stand in a message: a text in part, without what a terminal obeys; of others the type."""
    if not isinstance(v, str):
        return type(v).__name__
    return ascii(v[:100])[1:-1] + ("…" if len(v) > 100 else "")


class _Mark:
    pass


class _Reader:
    """The stack on which a pickle is built: plain values, lists and dicts of them, numbers and arrays of NumPy."""

    def __init__(self) -> None:
        self.stack: List[Any] = []
        self.memo: Dict[int, Any] = {}

    def pop(self) -> Any:
        v = self.stack.pop()
        if isinstance(v, _Mark):
            raise IndexError
        return v.value if isinstance(v, _Array) and v.value is not None else v

    def since_mark(self) -> List[Any]:
        at = len(self.stack) - 1
        while not isinstance(self.stack[at], _Mark):
            if at == 0:
                raise IndexError
            at -= 1
        some = [v.value if isinstance(v, _Array) and v.value is not None else v for v in self.stack[at + 1 :]]
        del self.stack[at:]
        return some

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _MAKERS:
            raise ValueError(f"it holds {shown(module)}.{shown(name)}, want plain values and numbers")
        self.stack.append(_MAKERS[module, name])

    def set(self, pairs: List[Any]) -> None:
        into = self.stack[-1]
        if not isinstance(into, dict) or len(pairs) % 2:
            raise IndexError
        for k, v in zip(pairs[::2], pairs[1::2]):
            if not isinstance(k, _KEYS):  # the hash of tuples in tuples takes as long as they like
                raise ValueError(f"it holds a dict by {type(k).__name__}, want names and numbers")
            into[k] = v

    def append(self, some: List[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise IndexError
        self.stack[-1].extend(some)

    def reduce(self) -> None:
        args, make = self.pop(), self.pop()
        if not isinstance(args, tuple) or not callable(make):
            raise IndexError
        self.stack.append(make(*args))

    def build(self) -> None:
        state, v = self.pop(), self.stack[-1]
        if not isinstance(v, (_Type, _Array)):
            raise ValueError("it holds an object, want plain values and numbers")
        v.build(state)

    def step(self, op: str, arg: Any) -> None:
        push = self.stack.append
        if op in _PLAIN:
            push(arg)
        elif op in _CONSTANTS:
            push(_CONSTANTS[op]())
        elif op in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if op == "MEMOIZE" else arg] = self.stack[-1]
        elif op in ("GET", "BINGET", "LONG_BINGET"):
            push(self.memo[arg])
        elif op in ("TUPLE1", "TUPLE2", "TUPLE3"):
            some = [self.pop() for _ in range(int(op[-1]))]
            push(tuple(reversed(some)))
        elif op == "TUPLE":
            push(tuple(self.since_mark()))
        elif op == "LIST":
            push(self.since_mark())
        elif op == "DICT":
            some = self.since_mark()
            push({})
            self.set(some)
        elif op == "APPEND":
            self.append([self.pop()])
        elif op == "APPENDS":
            self.append(self.since_mark())
        elif op == "SETITEM":
            v, k = self.pop(), self.pop()
            self.set([k, v])
        elif op == "SETITEMS":
            self.set(self.since_mark())
        elif op == "GLOBAL":
            module, _, name = arg.partition(" ")
            self.name(module, name)
        elif op == "STACK_GLOBAL":
            name, module = self.pop(), self.pop()
            self.name(module, name)
        elif op == "REDUCE":
            self.reduce()
        elif op == "BUILD":
            self.build()
        elif op == "POP":
            self.stack.pop()
        elif op not in ("PROTO", "FRAME"):
            raise ValueError(f"it uses {op}, want plain values and numbers")


_PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: Dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": _Mark,
}


def read(text: bytes) -> Any:
    """The value of a pickle. Nothing is looked up or called that the pickle names; what is no plain value is a ValueError."""
    r = _Reader()
    try:
        for op, arg, _ in pickletools.genops(text):
            if op.name == "STOP":
                return r.pop()
            r.step(op.name, arg)
    except (IndexError, KeyError, TypeError, OverflowError, AssertionError):
        pass
    raise ValueError("it is no pickle, or a damaged one")
