"""Write a vaeguard classifier plugin in Python: subclass Classifier, call serve.

    import numpy as np, vaeguard

    class Linear(vaeguard.Classifier):
        name, input_shape, num_classes = "linear", (64,), 10
        def configure(self, config, base_dir, **_):
            self.w = np.load(os.path.join(base_dir, config["weights"]))
        def predict(self, x):                  # (N, 64) float32 -> (N, 10) logits
            return x @ self.w
        def gradient(self, x, dy):             # (N, 64), (N, 10) -> (N, 64)
            return dy @ self.w.T

    vaeguard.serve(Linear())

The SDK speaks go-plugin's gRPC protocol with mutual TLS, cuts batches to
max_batch, checks shapes and finiteness, turns exceptions into typed errors with
the traceback in the host's log, keeps standard output clean and ends with its
host. It needs grpcio and numpy alone.
"""
import base64
import importlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback

import numpy as np

__version__ = "0.1.0"
__all__ = ["Classifier", "Error", "ConfigError", "Detector", "handlers", "serve", "OUTPUT", "LOGITS", "PROBABILITIES"]

COOKIE = ("VAEGUARD_PLUGIN", "classifier")  # go-plugin's magic cookie: a host started this program


def _claim_stdout():
    """Under a host, standard output belongs to the handshake from here on: prints go to the host's log instead.

    Returns the handshake's descriptor, or None if no host started this program.
    The cookie is not inherited further.
    """
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        return None
    del os.environ[COOKIE[0]]
    fd = os.dup(1)
    os.dup2(2, 1)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    return fd


_handshake = _claim_stdout()
_instead_of_serving = None  # what python -m vaeguard.check does with the classifier

OUTPUT = "output"
LOGITS, PROBABILITIES = "logits", "probabilities"


class Error(Exception):
    """An error with a kind that survives the process boundary.

    kind: invalid_argument, unimplemented, failed_precondition,
    resource_exhausted (the host halves the batch), internal, unavailable.
    """

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class ConfigError(Exception):
    """Complaints about a config: a list of (JSON pointer, message)."""

    def __init__(self, *diagnostics):
        super().__init__("; ".join("%s: %s" % d for d in diagnostics))
        self.diagnostics = diagnostics


class Classifier:
    """What a plugin implements: predict, and gradient or forward if it has gradients.

    Class or instance attributes describe the model; set them in __init__ or configure.
    """

    name, version = "python", "0.1.0"
    input_shape = None  # per example, in the order of layout
    layout = "flat"  # flat, nhwc, nchw
    lo, hi = (), ()  # legal range: one number, one per feature, or nothing if unknown
    num_classes = 0
    classes = ()  # names, or nothing
    output = LOGITS  # or PROBABILITIES
    max_batch = 0  # rows per call; 0: no limit
    gradient_kind = None  # none, exact or estimated; None: exact if there is a gradient
    hidden = {}  # name -> shape per example
    batch_invariant = False  # bitwise
    digest = ""
    schema = None  # JSON Schema draft-07 of the config, as a dict

    def configure(self, config, base_dir, input_shape=None, classes=0, seed=0):
        """Called before the first predict, and after fit with what that returned.

        config: a dict that fits schema; paths in it are relative to base_dir.
        input_shape (images as H, W, C), classes: what the data has, or None and 0 if unknown.
        Raise ConfigError for what schema cannot say.
        """

    def predict(self, x):
        """(N, input…) float32 -> (N, classes), of the kind `output`."""
        raise NotImplementedError

    # Optional:
    #   gradient(x, dy): (N, input…), (N, classes) -> (N, input…), no mean over the batch
    #   forward(x, outputs): -> ({name: array}, pullback), pullback({name: dy}) -> dx
    #   fit(x, y, val_x, val_y, options, seed, output_dir, progress): -> config dict for a later configure,
    #     paths in it relative to output_dir, the only place to write to; same seed, same bytes. x: (N, input…) float32,
    #     y: (N,) int64, val_x and val_y the same or None, options: dict, progress(epoch, step, steps, **metrics) from 1


# --- protobuf, the little of it that the protocol needs -----------------------------------------

_TENSOR = {1: ("dtype", "int"), 2: ("shape", "int*"), 3: ("data", "bytes")}
_MAP = {1: ("key", "str"), 2: ("value", _TENSOR)}
_PREDICT = {1: ("x", _TENSOR), 2: ("outputs", "str*")}
_OUTPUTS = {1: ("outputs", [_MAP])}
_COTANGENT = {1: ("cotangents", [_MAP])}
_GRADIENT = {1: ("x", _TENSOR), 2: ("cotangents", [_MAP])}
_GRADIENT_RESPONSE = {1: ("dx", _TENSOR), 2: ("outputs", [_MAP])}
_DIFF = {1: ("forward", _PREDICT), 2: ("backward", _COTANGENT)}
_DIFF_RESPONSE = {1: ("outputs", _OUTPUTS), 2: ("dx", _TENSOR)}
_CONFIGURE = {1: ("config_json", "bytes"), 2: ("base_dir", "str"), 3: ("input_shape", "int*"), 4: ("classes", "int"), 5: ("seed", "int")}
_CONFIGURED = {1: ("diagnostics", [{1: ("pointer", "str"), 2: ("message", "str")}])}
_HIDDEN = {1: ("name", "str"), 2: ("shape", "int*")}
_DESCRIBE = {
    1: ("name", "str"), 2: ("version", "str"), 3: ("input_shape", "int*"), 4: ("layout", "int"), 5: ("lo", "float*"),
    6: ("hi", "float*"), 7: ("num_classes", "int"), 8: ("classes", "str*"), 9: ("output", "int"), 10: ("max_batch", "int"),
    11: ("gradient", "int"), 12: ("differentiate", "int"), 13: ("hidden", [_HIDDEN]), 14: ("trainable", "int"),
    15: ("ready", "int"), 16: ("batch_invariant", "int"), 17: ("digest", "str"), 18: ("config_schema", "bytes"),
}
_FIT_OPTIONS = {1: ("options_json", "bytes"), 2: ("seed", "int"), 3: ("output_dir", "str"), 4: ("n_train", "int"), 5: ("n_validation", "int")}
_FIT_ROWS = {1: ("x", _TENSOR), 2: ("labels", _TENSOR), 3: ("split", "int")}
_FIT = {1: ("options", _FIT_OPTIONS), 2: ("rows", _FIT_ROWS)}
_PROGRESS = {1: ("epoch", "int"), 2: ("step", "int"), 3: ("steps", "int"), 4: ("metrics", [{1: ("key", "str"), 2: ("value", "double")}])}
_DONE = {1: ("config_json", "bytes"), 2: ("files", [{1: ("name", "str"), 2: ("sha256", "str")}]), 3: ("digest", "str")}
_FIT_EVENT = {1: ("progress", _PROGRESS), 2: ("done", _DONE)}


_WIRES = {"int": (0,), "int*": (0, 2), "float*": (2, 5), "double": (1,)}  # all others: 2


def _varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _read_varint(b, i):
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


def _encode(schema, values):
    parts = []

    def delimited(field, data):
        parts.extend((_varint(field << 3 | 2), _varint(len(data)), data))

    for field, (name, kind) in schema.items():
        v = values.get(name)
        if v is None:
            continue
        if isinstance(kind, dict):
            delimited(field, _encode(kind, v))
        elif isinstance(kind, list):
            for e in v:
                delimited(field, _encode(kind[0], e))
        elif kind == "int":
            if v:
                parts.append(_varint(field << 3) + _varint(int(v)))
        elif kind == "double":
            parts.append(_varint(field << 3 | 1) + struct.pack("<d", v))
        elif kind == "int*":
            if len(v):
                delimited(field, b"".join(_varint(int(e)) for e in v))
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


def _decode(schema, b):
    out = {}
    for name, kind in schema.values():
        if isinstance(kind, list) or (isinstance(kind, str) and kind.endswith("*")):
            out[name] = []
    b, i = memoryview(b), 0
    while i < len(b):
        tag, i = _read_varint(b, i)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            v, i = _read_varint(b, i)
        elif wire in (1, 2, 5):
            if wire == 2:
                size, i = _read_varint(b, i)
            else:
                size = 8 if wire == 1 else 4
            if i + size > len(b):
                raise Error("invalid_argument", "a truncated message")
            v, i = b[i:i + size], i + size
        else:
            raise Error("invalid_argument", "a malformed message")
        if field not in schema:
            continue
        name, kind = schema[field]
        if wire not in _WIRES.get(kind if isinstance(kind, str) else "", (2,)):
            raise Error("invalid_argument", "a malformed message: field %d has wire type %d" % (field, wire))
        if isinstance(kind, dict):
            out[name] = _decode(kind, v)
        elif isinstance(kind, list):
            out[name].append(_decode(kind[0], v))
        elif kind == "int":
            out[name] = _signed(v)
        elif kind == "double":
            out[name] = struct.unpack("<d", v)[0]
        elif kind == "int*":
            if wire == 0:
                out[name].append(_signed(v))
            else:
                j = 0
                while j < len(v):
                    n, j = _read_varint(v, j)
                    out[name].append(_signed(n))
        elif kind == "float*":
            out[name].extend(np.frombuffer(v, "<f4").tolist())
        elif kind == "str*":
            out[name].append(_text(v))
        elif kind == "str":
            out[name] = _text(v)
        else:
            out[name] = bytes(v) if name != "data" else v
    return out


def _text(v):
    try:
        return bytes(v).decode()
    except UnicodeDecodeError:
        raise Error("invalid_argument", "a string that is not UTF-8") from None


def _signed(n):
    return n - (1 << 64) if n >> 63 else n


def _unsigned(n):
    return n & ((1 << 64) - 1)


_LAYOUTS, _KINDS, _GRADIENTS = {"flat": 1, "nhwc": 2, "nchw": 3}, {LOGITS: 1, PROBABILITIES: 2}, {"none": 1, "exact": 2, "estimated": 3}
_DTYPES = {1: "<f4", 2: "<f8", 3: "<f2", 4: "u1", 5: "<i8"}


def _array(what, t):
    if not t or t.get("dtype", 0) not in _DTYPES:
        raise Error("invalid_argument", "%s has dtype %s, want F32" % (what, (t or {}).get("dtype")))
    dtype, shape = np.dtype(_DTYPES[t["dtype"]]), tuple(t["shape"])
    data = t.get("data", b"")
    size = 1
    for d in shape:
        if d < 0:
            raise Error("invalid_argument", "%s has a negative dimension" % what)
        size *= d
    if size * dtype.itemsize != len(data):
        raise Error("invalid_argument", "%s of shape %s has %d bytes, want %d" % (what, shape, len(data), size * dtype.itemsize))
    return np.frombuffer(data, dtype).reshape(shape)


def _tensor(a):
    a = np.ascontiguousarray(a, "<f4")
    return {"dtype": 1, "shape": a.shape, "data": a.tobytes()}


def _tensors(arrays):
    return [{"key": k, "value": _tensor(v)} for k, v in sorted(arrays.items())]


# --- the config ----------------------------------------------------------------------------------

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def _is(v, kind):
    if kind in ("number", "integer"):
        return isinstance(v, (int, float)) and not isinstance(v, bool) and (kind == "number" or v == int(v))
    return isinstance(v, _TYPES.get(kind, object))


def _complaints(schema, v, at):
    """The complaints of the usual keywords of draft-07; the host checks the rest."""
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(v, k) for k in kinds):
        return [(at, "got %s, want %s" % (json.dumps(v)[:40], " or ".join(kinds)))]
    out = []
    if "enum" in schema and v not in schema["enum"]:
        out.append((at, "got %s, want one of %s" % (json.dumps(v)[:40], ", ".join(map(json.dumps, schema["enum"])))))
    if _is(v, "number"):
        for key, text, ok in (("minimum", "at least", lambda b: v >= b), ("maximum", "at most", lambda b: v <= b),
                              ("exclusiveMinimum", "more than", lambda b: v > b), ("exclusiveMaximum", "less than", lambda b: v < b)):
            if key in schema and not ok(schema[key]):
                out.append((at, "got %s, want %s %s" % (v, text, schema[key])))
    if isinstance(v, (str, list)):
        for key, text, ok in (("minLength" if isinstance(v, str) else "minItems", "at least", lambda b: len(v) >= b),
                              ("maxLength" if isinstance(v, str) else "maxItems", "at most", lambda b: len(v) <= b)):
            if key in schema and not ok(schema[key]):
                out.append((at, "has length %d, want %s %d" % (len(v), text, schema[key])))
    if isinstance(v, list) and isinstance(schema.get("items"), dict):
        for i, e in enumerate(v):
            out += _complaints(schema["items"], e, "%s/%d" % (at, i))
    if isinstance(v, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        out += [(at, "missing property %r" % k) for k in schema.get("required", []) if k not in v]
        for k, e in sorted(v.items()):
            below = at + "/" + k.replace("~", "~0").replace("/", "~1")
            if k in known:
                out += _complaints(known[k], e, below)
            elif rest is False:
                out.append((below, "unknown key; known: %s" % ", ".join(sorted(known))))
            elif isinstance(rest, dict):
                out += _complaints(rest, e, below)
    return out


def check_config(classifier, config):
    """Raises ConfigError for what does not fit classifier.schema. No schema and no configure take an empty config only."""
    if classifier.schema:
        bad = _complaints(classifier.schema, config, "")
    elif type(classifier).configure is Classifier.configure and config:
        bad = [("", "this classifier takes no config")]
    else:
        bad = [] if isinstance(config, dict) else [("", "got %s, want an object" % json.dumps(config)[:40])]
    if bad:
        raise ConfigError(*bad)


# --- the server ----------------------------------------------------------------------------------


class _Server:
    """Answers the protocol's calls from a Classifier."""

    def __init__(self, c):
        self.c = c
        self.lock = threading.RLock()  # a Python model is rarely safe for two calls at once
        self.given = {"input_shape": None, "classes": 0, "seed": 0}  # the last configure's
        self.epoch = 0  # configures and fits so far: a tape does not outlive one

    # what the author gave

    def has(self, name):
        return callable(getattr(self.c, name, None))

    def gradient_kind(self):
        kind = self.c.gradient_kind
        return kind or ("exact" if self.has("gradient") or self.has("forward") else "none")

    def ready(self):
        if not self.is_ready():
            raise Error("failed_precondition", "the classifier has no input_shape or num_classes: it is not configured, or not trained")

    def is_ready(self):
        return self.c.input_shape is not None and bool(self.c.num_classes)

    def shape_of(self, name):
        if name == OUTPUT:
            return (self.c.num_classes,)
        if name.startswith("hidden/") and name[7:] in self.c.hidden:
            return tuple(self.c.hidden[name[7:]])
        known = [OUTPUT] + ["hidden/" + h for h in self.c.hidden]
        raise Error("invalid_argument", "unknown output %r; known: %s" % (name, ", ".join(known)))

    def input(self, t):
        self.ready()
        x = np.array(_array("x", t), np.float32)  # a writable copy of its own
        if x.shape[1:] != tuple(self.c.input_shape) or x.ndim == 0:
            raise Error("invalid_argument", "x has shape %s, want N×%s (%s)" % (x.shape, tuple(self.c.input_shape), self.c.layout))
        if not np.isfinite(x).all():
            raise Error("invalid_argument", "x: row %d is not finite" % np.argwhere(~np.isfinite(x))[0][0])
        return x

    def checked(self, name, a, n, shape):
        if a is None:
            raise Error("internal", "the classifier gave no %s: does the method return it?" % name)
        a = np.asarray(a)
        if a.shape != (n,) + tuple(shape):
            raise Error("internal", "the classifier gave %s of shape %s, want %s" % (name, a.shape, (n,) + tuple(shape)))
        if a.dtype.kind not in "fiu":
            raise Error("internal", "the classifier gave %s of dtype %s, want float32" % (name, a.dtype))
        with np.errstate(over="ignore"):
            a = np.ascontiguousarray(a, np.float32)
        if not np.isfinite(a).all():
            raise Error("internal", "the classifier gave %s that is not finite in row %d" % (name, np.argwhere(~np.isfinite(a))[0][0]))
        return a

    def cotangents(self, entries, n):
        out = {}
        for e in entries:
            name, dy = e.get("key", ""), np.array(_array("cotangent", e.get("value")), np.float32)
            want = (n,) + self.shape_of(name)
            if dy.shape != want:
                raise Error("invalid_argument", "cotangent of %s has shape %s, want %s" % (name, dy.shape, want))
            if not np.isfinite(dy).all():
                raise Error("invalid_argument", "cotangent of %s: row %d is not finite" % (name, np.argwhere(~np.isfinite(dy))[0][0]))
            out[name] = dy
        if not out:
            raise Error("invalid_argument", "no cotangents")
        return out

    def chunks(self, n):
        step = self.c.max_batch or n
        return [slice(i, min(i + step, n)) for i in range(0, n, step)]

    def outputs(self, x, names):
        if not len(x):
            return {k: np.zeros((0,) + self.shape_of(k), np.float32) for k in names}
        parts = []
        for s in self.chunks(len(x)):
            xs = x[s]
            if list(names) == [OUTPUT]:
                got = {OUTPUT: self.c.predict(xs)}
            elif self.has("forward"):
                got, _ = self.c.forward(xs, list(names))
            else:
                raise Error("unimplemented", "this classifier has no hidden layers")
            parts.append({k: self.checked(k, got[k], len(xs), self.shape_of(k)) for k in names})
        return {k: np.concatenate([p[k] for p in parts]) for k in names}

    def pull(self, x, cotangents):
        if self.gradient_kind() == "none":
            raise Error("unimplemented", "this classifier has no gradient")
        if not len(x):
            return x
        parts = []
        for s in self.chunks(len(x)):
            xs, dys = x[s], {k: v[s] for k, v in cotangents.items()}
            if list(dys) == [OUTPUT] and self.has("gradient"):
                dx = self.c.gradient(xs, dys[OUTPUT])
            elif not self.has("forward"):
                raise Error("unimplemented", "this classifier has no hidden layers" if self.has("gradient") else "this classifier has no gradient")
            else:
                _, pullback = self.c.forward(xs, sorted(dys))
                dx = pullback(dys)
            parts.append(self.checked("dx", dx, len(xs), xs.shape[1:]))
        return np.concatenate(parts)

    # the calls

    def describe(self, _):
        c = self.c
        with self.lock:
            for what, value, known in (("layout", c.layout, _LAYOUTS), ("output", c.output, _KINDS), ("gradient_kind", self.gradient_kind(), _GRADIENTS)):
                if value not in known:
                    raise Error("internal", "the classifier's %s is %r, want %s" % (what, value, " or ".join(known)))
            return {
                "name": c.name, "version": c.version, "input_shape": tuple(c.input_shape or ()),
                "layout": _LAYOUTS[c.layout], "lo": np.ravel(c.lo), "hi": np.ravel(c.hi),
                "num_classes": c.num_classes, "classes": [str(v) for v in c.classes], "output": _KINDS[c.output],
                "max_batch": c.max_batch, "gradient": _GRADIENTS[self.gradient_kind()],
                "differentiate": self.has("forward"), "hidden": [{"name": k, "shape": v} for k, v in c.hidden.items()],
                "trainable": self.has("fit"), "ready": self.is_ready(),
                "batch_invariant": c.batch_invariant, "digest": c.digest,
                "config_schema": json.dumps(c.schema).encode() if c.schema else b"",
            }

    def configure(self, m):
        try:
            config = json.loads(m.get("config_json") or b"{}")
        except ValueError as e:
            return {"diagnostics": [{"pointer": "", "message": "not JSON: %s" % e}]}
        given = {"input_shape": tuple(m["input_shape"]) or None, "classes": m.get("classes", 0), "seed": _unsigned(m.get("seed", 0))}
        with self.lock:
            try:
                check_config(self.c, {} if config is None else config)
                self.epoch += 1
                self.c.configure({} if config is None else config, base_dir=m.get("base_dir", ""), **given)
                self.given = given
            except ConfigError as e:
                return {"diagnostics": [{"pointer": p, "message": s} for p, s in e.diagnostics]}
        return {}

    def predict(self, m):
        with self.lock:
            x = self.input(m.get("x"))
            names = m["outputs"] or [OUTPUT]
            for name in names:
                self.shape_of(name)
            return {"outputs": _tensors(self.outputs(x, sorted(set(names))))}

    def gradient(self, m):
        with self.lock:
            x = self.input(m.get("x"))
            return {"dx": _tensor(self.pull(x, self.cotangents(m["cotangents"], len(x))))}

    def differentiate(self, steps, _):
        if not self.has("forward"):
            raise Error("unimplemented", "this classifier does not serve Differentiate")
        x = pullback = names = epoch = None
        for m in steps:
            if "forward" in m:
                pullback = None  # frees the old tape before the next is made
                with self.lock:
                    x, epoch = self.input(m["forward"].get("x")), self.epoch
                    names = sorted(set(m["forward"]["outputs"] or [OUTPUT]))
                    for name in names:
                        self.shape_of(name)
                    if 0 < len(x) <= (self.c.max_batch or len(x)):
                        got, pullback = self.c.forward(x, names)
                        outs = {k: self.checked(k, got[k], len(x), self.shape_of(k)) for k in names}
                    else:
                        outs = self.outputs(x, names)
                yield {"outputs": {"outputs": _tensors(outs)}}
            elif "backward" in m:
                with self.lock:
                    if x is None or epoch != self.epoch:
                        raise Error("failed_precondition", "backward without a forward")
                    if self.gradient_kind() == "none":
                        raise Error("unimplemented", "this classifier has no gradient")
                    dys = self.cotangents(m["backward"]["cotangents"], len(x))
                    for name in dys:
                        if name not in names:
                            raise Error("invalid_argument", "cotangent of %r: the forward did not ask for it" % name)
                    dx = self.checked("dx", pullback(dys), len(x), x.shape[1:]) if pullback else self.pull(x, dys)
                yield {"dx": _tensor(dx)}
            else:
                raise Error("invalid_argument", "neither forward nor backward")

    def fit(self, steps, alive):
        if not self.has("fit"):
            raise Error("unimplemented", "this classifier is not trainable")
        o, x, y, vx, vy = self.rows(steps)
        folder = o.get("output_dir", "")
        arrived = threading.Condition()
        events, result = [], {}

        def progress(epoch, step, steps, **metrics):
            if not alive():
                raise Error("unavailable", "nobody listens any more")
            with arrived:
                events.append({"progress": {"epoch": epoch, "step": step, "steps": steps,
                                            "metrics": [{"key": k, "value": float(v)} for k, v in sorted(metrics.items())]}})
                arrived.notify()

        def work():
            try:
                with self.lock:
                    self.epoch += 1
                    config = self.c.fit(x, y, vx, vy, json.loads(o.get("options_json") or b"{}") or {}, _unsigned(o.get("seed", 0)), folder, progress)
                    if not isinstance(config, dict):
                        raise Error("internal", "fit returned %s, want the config of a later configure, a dict" % type(config).__name__)
                    self.c.configure(config, base_dir=folder, **self.given)  # exactly what a later start does
                    result["done"] = {"config_json": json.dumps(config).encode(), "files": _files(folder), "digest": self.c.digest}
            except BaseException as e:  # handed to the caller's thread
                result["error"] = e
            with arrived:
                result.setdefault("error", None)
                arrived.notify()

        threading.Thread(target=work, daemon=True).start()
        while True:
            with arrived:
                while not events and "error" not in result:
                    arrived.wait()
                batch, events[:] = list(events), []
                finished = "error" in result
            yield from batch
            if finished:
                break
        if result["error"] is not None:
            raise result["error"]
        yield {"done": result["done"]}

    def rows(self, steps):
        """Collects a Fit's options and rows, and checks them."""
        o, parts = None, {1: ([], []), 2: ([], [])}
        for m in steps:
            if "options" in m:
                o = m["options"]
                continue
            r = m.get("rows") or {}
            x, y = np.array(_array("x", r.get("x")), np.float32), np.array(_array("labels", r.get("labels")), np.int64)
            if r.get("split", 1) not in parts or y.shape != x.shape[:1] or (y < 0).any() or not np.isfinite(x).all():
                raise Error("invalid_argument", "fit: rows of shape %s with labels of shape %s, split %s: want finite rows and a label ≥ 0 each"
                            % (x.shape, y.shape, r.get("split", 1)))
            parts[r.get("split", 1)][0].append(x)
            parts[r.get("split", 1)][1].append(y)
        n = [sum(map(len, parts[k][1])) for k in (1, 2)]
        if o is None or not n[0] or n != [o.get("n_train", 0), o.get("n_validation", 0)]:
            raise Error("invalid_argument", "fit: %d + %d rows came, %s + %s were announced" % (n[0], n[1], (o or {}).get("n_train"), (o or {}).get("n_validation", 0)))
        if len({a.shape[1:] for k in parts for a in parts[k][0]}) != 1:
            raise Error("invalid_argument", "fit: rows of several shapes")
        x, y = (np.concatenate(a) for a in parts[1])
        vx, vy = (np.concatenate(a) if a else None for a in parts[2])
        return o, x, y, vx, vy


def _files(folder):
    import hashlib
    out = []
    for root, _, names in sorted(os.walk(folder)):
        for n in sorted(names):
            path = os.path.join(root, n)
            with open(path, "rb") as f:
                out.append({"name": os.path.relpath(path, folder).replace(os.sep, "/"), "sha256": hashlib.sha256(f.read()).hexdigest()})
    return out


def _abort(context, e):
    """Ends a call with the kind and message of e; the traceback of what is no Error goes to the host's log."""
    import grpc
    if not isinstance(e, Error):
        sys.stderr.write("".join(traceback.format_exception(type(e), e, e.__traceback__)))
        sys.stderr.flush()
        full = isinstance(e, MemoryError) or type(e).__name__ in ("OutOfMemoryError", "ResourceExhaustedError")  # torch's, TensorFlow's
        e = Error("resource_exhausted" if full else "internal", "%s: %s" % (type(e).__name__, e))
    code = getattr(grpc.StatusCode, e.kind.upper(), grpc.StatusCode.INTERNAL)
    context.abort(code, str(e)[:2000])  # headers hold 8 KiB


def handlers(classifier):
    """The gRPC handlers of a classifier, for a server of one's own."""
    import grpc
    server = _Server(classifier)

    def unary(f, request, response):
        def call(b, context):
            try:
                return _encode(response, f(_decode(request, b)))
            except (Exception, SystemExit) as e:  # a model that calls exit ends its call alone
                _abort(context, e)
        return grpc.unary_unary_rpc_method_handler(call)  # bytes in, bytes out

    def stream(f, request, response):
        def call(it, context):
            try:
                for v in f((_decode(request, b) for b in it), context.is_active):
                    yield _encode(response, v)
            except grpc.RpcError:
                raise
            except (Exception, SystemExit) as e:
                _abort(context, e)
        return grpc.stream_stream_rpc_method_handler(call)

    return grpc.method_handlers_generic_handler("vaeguard.classifier.v1.Classifier", {
        "Describe": unary(server.describe, {}, _DESCRIBE),
        "Configure": unary(server.configure, _CONFIGURE, _CONFIGURED),
        "Predict": unary(server.predict, _PREDICT, _OUTPUTS),
        "Gradient": unary(server.gradient, _GRADIENT, _GRADIENT_RESPONSE),
        "Differentiate": stream(server.differentiate, _DIFF, _DIFF_RESPONSE),
        "Fit": stream(server.fit, _FIT, _FIT_EVENT),
    })


# --- go-plugin -----------------------------------------------------------------------------------


def _certificate():
    """A key and a self-signed certificate for localhost, PEM, made for this one start."""
    try:
        return _certificate_cryptography()
    except ImportError:
        pass
    if not shutil.which("openssl"):
        raise SystemExit("vaeguard: mutual TLS needs the Python package cryptography or the program openssl; install one of them")
    with tempfile.TemporaryDirectory() as d:
        k, c = os.path.join(d, "k.pem"), os.path.join(d, "c.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", k,
                        "-out", c, "-days", "3650", "-subj", "/O=HashiCorp/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                        "-addext", "extendedKeyUsage=clientAuth,serverAuth", "-addext",
                        "keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement,keyCertSign"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(k, "rb") as f, open(c, "rb") as g:
            return f.read(), g.read()


def _certificate_cryptography():
    import datetime
    x509 = importlib.import_module("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HashiCorp"), x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(seconds=30))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(key, hashes.SHA256()))
    return (key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            cert.public_bytes(serialization.Encoding.PEM))


def _watch_host(stop):
    """Ends the process when the host dies: stdin is a pipe that the host holds, and the parent changes."""
    def end():
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)  # and what the model started
        os._exit(0)

    def stdin():
        while os.read(0, 4096):
            pass
        end()

    def parent(pid):
        while not stop.wait(1):
            if os.getppid() != pid:
                end()

    if os.environ.pop("VAEGUARD_DEATH_WATCH", "") == "stdin":
        threading.Thread(target=stdin, daemon=True).start()
    threading.Thread(target=parent, args=(os.getppid(),), daemon=True).start()


def serve(classifier):
    """The whole main of a plugin: answers the host's calls until the host is done."""
    if _instead_of_serving:
        _instead_of_serving(classifier)
    if _handshake is None:
        sys.exit("This program is a classifier plugin for vaeguard. Name it in a spec as classifier.command, or try: python -m vaeguard.check "
                 + sys.argv[0])
    stop = threading.Event()
    _watch_host(stop)
    import grpc
    from concurrent import futures
    versions = [int(v) for v in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "1").split(",") if v.strip()]
    if 1 not in versions:
        sys.exit("vaeguard: the host speaks protocol versions %s, this SDK version 1" % versions)

    same = lambda b: b  # noqa: E731
    unary = lambda f: grpc.unary_unary_rpc_method_handler(f, same, same)  # noqa: E731

    def shutdown(_, context):
        stop.set()
        return b""

    def silent(_, context):  # a stream that says nothing until the end
        while context.is_active() and not stop.wait(0.2):
            pass
        return
        yield b""

    # Each open Differentiate stream holds a thread; threads are made as needed.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1024), options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((
        handlers(classifier),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": unary(lambda b, c: b"\x08\x01")}),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": unary(shutdown)}),
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": grpc.unary_stream_rpc_method_handler(silent, same, same)}),
        grpc.method_handlers_generic_handler("plugin.GRPCBroker", {"StartStream": grpc.stream_stream_rpc_method_handler(silent, same, same)}),
    ))
    folder = tempfile.mkdtemp(prefix="vg", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or None)
    network, path = "unix", os.path.join(folder, "s")
    at = "unix:" + path
    if os.name == "nt":  # Python's gRPC has no Unix sockets there
        network, at = "tcp", "127.0.0.1:0"
    client = os.environ.get("PLUGIN_CLIENT_CERT", "")
    cert = ""
    if client:
        key, pem = _certificate()
        port = server.add_secure_port(at, grpc.ssl_server_credentials([(key, pem)], root_certificates=client.encode(), require_client_auth=True))
        body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
        cert = base64.b64encode(base64.b64decode(body)).decode().rstrip("=")
    else:
        port = server.add_insecure_port(at)
    server.start()
    line = "1|1|%s|%s|grpc|%s" % (network, path if network == "unix" else "127.0.0.1:%d" % port, cert)
    if os.environ.get("PLUGIN_MULTIPLEX_GRPC"):
        line += "|false"
    os.write(_handshake, (line + "\n").encode())
    os.close(_handshake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's
    try:
        stop.wait()
    finally:
        server.stop(0.2).wait(1)
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)  # whatever threads the model left behind


def __getattr__(name):
    if name == "Detector":
        from .detector import Detector
        return Detector
    raise AttributeError("module 'vaeguard' has no attribute %r" % name)
