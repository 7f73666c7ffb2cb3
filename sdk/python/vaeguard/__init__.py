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
__all__ = ["Classifier", "Error", "ConfigError", "Detector", "serve", "OUTPUT", "LOGITS", "PROBABILITIES"]

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
        """Called once before the first predict. Paths in config are relative to base_dir."""

    def predict(self, x):
        """(N, input…) float32 -> (N, classes), of the kind `output`."""
        raise NotImplementedError

    # Optional:
    #   gradient(x, dy): (N, input…), (N, classes) -> (N, input…), no mean over the batch
    #   forward(x, outputs): -> ({name: array}, pullback), pullback({name: dy}) -> dx
    #   fit(x, y, val_x, val_y, options, seed, output_dir, progress): -> config dict for a later configure


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
            out[name].append(bytes(v).decode())
        elif kind == "str":
            out[name] = bytes(v).decode()
        else:
            out[name] = bytes(v) if name != "data" else v
    return out


def _signed(n):
    return n - (1 << 64) if n >> 63 else n


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


# --- the server ----------------------------------------------------------------------------------


class _Server:
    """Answers the protocol's calls from a Classifier."""

    def __init__(self, c):
        self.c = c
        self.lock = threading.RLock()  # a Python model is rarely safe for two calls at once

    # what the author gave

    def has(self, name):
        return callable(getattr(self.c, name, None))

    def gradient_kind(self):
        kind = self.c.gradient_kind
        return kind or ("exact" if self.has("gradient") or self.has("forward") else "none")

    def ready(self):
        c = self.c
        if c.input_shape is None or not c.num_classes:
            raise Error("failed_precondition", "the classifier has no input_shape or num_classes: it is not configured, or not trained")

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
        a = np.asarray(a)
        if a.shape != (n,) + tuple(shape):
            raise Error("internal", "the classifier gave %s of shape %s, want %s" % (name, a.shape, (n,) + tuple(shape)))
        if a.dtype.kind not in "fiu":
            raise Error("internal", "the classifier gave %s of dtype %s, want float32" % (name, a.dtype))
        a = np.ascontiguousarray(a, np.float32)
        if not np.isfinite(a).all():
            raise Error("internal", "the classifier gave a %s that is not finite in row %d" % (name, np.argwhere(~np.isfinite(a))[0][0]))
        return a

    def cotangents(self, entries, n):
        out = {}
        for e in entries:
            name, dy = e.get("key", ""), np.array(_array("cotangent", e.get("value")), np.float32)
            want = (n,) + self.shape_of(name)
            if dy.shape != want:
                raise Error("invalid_argument", "cotangent of %s has shape %s, want %s" % (name, dy.shape, want))
            out[name] = dy
        if not out:
            raise Error("invalid_argument", "no cotangents")
        return out

    def chunks(self, n):
        step = self.c.max_batch or max(n, 1)
        return [slice(i, min(i + step, n)) for i in range(0, n, step)] or [slice(0, 0)]

    def outputs(self, x, names):
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
        parts = []
        for s in self.chunks(len(x)):
            xs, dys = x[s], {k: v[s] for k, v in cotangents.items()}
            if list(dys) == [OUTPUT] and self.has("gradient"):
                dx = self.c.gradient(xs, dys[OUTPUT])
            else:
                _, pullback = self.c.forward(xs, sorted(dys))
                dx = pullback(dys)
            parts.append(self.checked("dx", dx, len(xs), xs.shape[1:]))
        return np.concatenate(parts)

    # the calls

    def describe(self, _):
        c = self.c
        with self.lock:
            return {
                "name": c.name, "version": c.version, "input_shape": tuple(c.input_shape or ()),
                "layout": {"flat": 1, "nhwc": 2, "nchw": 3}[c.layout], "lo": np.atleast_1d(c.lo), "hi": np.atleast_1d(c.hi),
                "num_classes": c.num_classes, "classes": list(c.classes), "output": {LOGITS: 1, PROBABILITIES: 2}[c.output],
                "max_batch": c.max_batch, "gradient": {"none": 1, "exact": 2, "estimated": 3}[self.gradient_kind()],
                "differentiate": self.has("forward"), "hidden": [{"name": k, "shape": v} for k, v in c.hidden.items()],
                "trainable": self.has("fit"), "ready": c.input_shape is not None and bool(c.num_classes),
                "batch_invariant": c.batch_invariant, "digest": c.digest,
                "config_schema": json.dumps(c.schema).encode() if c.schema else b"",
            }

    def configure(self, m):
        config = json.loads(m.get("config_json") or b"{}") or {}
        with self.lock:
            try:
                self.c.configure(config, base_dir=m.get("base_dir", ""), input_shape=tuple(m["input_shape"]) or None,
                                 classes=m.get("classes", 0), seed=m.get("seed", 0) & ((1 << 64) - 1))
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

    def differentiate(self, steps):
        if not self.has("forward"):
            raise Error("unimplemented", "this classifier does not serve Differentiate")
        x = pullback = names = None
        for m in steps:
            if "forward" in m:
                pullback = None  # frees the old tape before the next is made
                with self.lock:
                    x = self.input(m["forward"].get("x"))
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
                if x is None:
                    raise Error("failed_precondition", "backward without a forward")
                with self.lock:
                    dys = self.cotangents(m["backward"]["cotangents"], len(x))
                    for name in dys:
                        if name not in names:
                            raise Error("invalid_argument", "cotangent of %r: the forward did not ask for it" % name)
                    dx = self.checked("dx", pullback(dys), len(x), x.shape[1:]) if pullback else self.pull(x, dys)
                yield {"dx": _tensor(dx)}
            else:
                raise Error("invalid_argument", "neither forward nor backward")

    def fit(self, steps):
        if not self.has("fit"):
            raise Error("unimplemented", "this classifier is not trainable")
        o, rows = None, {1: ([], []), 2: ([], [])}
        for m in steps:
            if "options" in m:
                o = m["options"]
            elif "rows" in m:
                x, y = rows[m["rows"].get("split", 1)]
                x.append(np.array(_array("x", m["rows"].get("x")), np.float32))
                y.append(np.array(_array("labels", m["rows"].get("labels")), np.int64))
        if o is None or not rows[1][0]:
            raise Error("invalid_argument", "Fit without options or rows")
        x, y = (np.concatenate(a) for a in rows[1])
        vx, vy = (np.concatenate(a) if a else None for a in rows[2])
        events, finished = [], threading.Event()
        arrived = threading.Condition()

        def progress(epoch, step, steps, **metrics):
            with arrived:
                events.append({"progress": {"epoch": epoch, "step": step, "steps": steps,
                                            "metrics": [{"key": k, "value": float(v)} for k, v in sorted(metrics.items())]}})
                arrived.notify()

        result = {}

        def work():
            try:
                with self.lock:
                    result["config"] = self.c.fit(x, y, vx, vy, json.loads(o.get("options_json") or b"{}"),
                                                  o.get("seed", 0) & ((1 << 64) - 1), o.get("output_dir", ""), progress)
            except BaseException as e:  # handed to the caller's thread
                result["error"] = e
            with arrived:
                finished.set()
                arrived.notify()

        threading.Thread(target=work, daemon=True).start()
        while True:
            with arrived:
                while not events and not finished.is_set():
                    arrived.wait()
                batch, events[:] = list(events), []
            yield from batch
            if finished.is_set() and not events:
                break
        if "error" in result:
            raise result["error"]
        yield {"done": {"config_json": json.dumps(result["config"]).encode(), "files": _files(o.get("output_dir", "")), "digest": self.c.digest}}


def _files(folder):
    import hashlib
    out = []
    for root, _, names in sorted(os.walk(folder)):
        for n in sorted(names):
            path = os.path.join(root, n)
            with open(path, "rb") as f:
                out.append({"name": os.path.relpath(path, folder).replace(os.sep, "/"), "sha256": hashlib.sha256(f.read()).hexdigest()})
    return out


def _code(e):
    import grpc
    if isinstance(e, Error):
        return getattr(grpc.StatusCode, e.kind.upper(), grpc.StatusCode.INTERNAL)
    if isinstance(e, MemoryError):
        return grpc.StatusCode.RESOURCE_EXHAUSTED
    return grpc.StatusCode.INTERNAL


def _abort(context, e):
    if not isinstance(e, Error):
        traceback.print_exception(type(e), e, e.__traceback__)
        sys.stderr.flush()
        e = Error("resource_exhausted" if isinstance(e, MemoryError) else "internal", "%s: %s" % (type(e).__name__, e))
    context.abort(_code(e), str(e))


def handlers(classifier):
    """The gRPC handlers of a classifier, for a server of one's own."""
    import grpc
    server = _Server(classifier)

    def unary(f, request, response):
        def call(m, context):
            try:
                return f(m)
            except Exception as e:
                _abort(context, e)
        return grpc.unary_unary_rpc_method_handler(call, lambda b: _decode(request, b), lambda v: _encode(response, v))

    def stream(f, request, response):
        def call(it, context):
            try:
                yield from f(it)
            except grpc.RpcError:
                raise
            except Exception as e:
                _abort(context, e)
        return grpc.stream_stream_rpc_method_handler(call, lambda b: _decode(request, b), lambda v: _encode(response, v))

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
    def stdin():
        while os.read(0, 4096):
            pass
        os._exit(0)

    def parent(pid):
        while not stop.wait(1):
            if os.getppid() != pid:
                os._exit(0)

    if os.environ.pop("VAEGUARD_DEATH_WATCH", "") == "stdin":
        threading.Thread(target=stdin, daemon=True).start()
    threading.Thread(target=parent, args=(os.getppid(),), daemon=True).start()


def serve(classifier):
    """The whole main of a plugin: answers the host's calls until the host is done."""
    if os.environ.get("VAEGUARD_PLUGIN") != "classifier":
        sys.exit("This program is a classifier plugin for vaeguard. Name it in a spec as classifier.command, or try: python -m vaeguard.check "
                 + sys.argv[0])
    stop = threading.Event()
    _watch_host(stop)
    handshake_fd = os.dup(1)  # from here on, prints go to the host's log
    os.dup2(2, 1)
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
        context.add_callback(lambda: None)
        while context.is_active() and not stop.wait(0.2):
            pass
        return
        yield b""

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[
        ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((
        handlers(classifier),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": unary(lambda b, c: b"\x08\x01")}),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": unary(shutdown)}),
        grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": grpc.unary_stream_rpc_method_handler(silent, same, same)}),
        grpc.method_handlers_generic_handler("plugin.GRPCBroker", {"StartStream": grpc.stream_stream_rpc_method_handler(silent, same, same)}),
    ))
    folder = tempfile.mkdtemp(prefix="vg", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or None)
    path = os.path.join(folder, "s")
    client = os.environ.get("PLUGIN_CLIENT_CERT", "")
    cert = ""
    if client:
        key, pem = _certificate()
        server.add_secure_port("unix:" + path, grpc.ssl_server_credentials([(key, pem)], root_certificates=client.encode(), require_client_auth=True))
        body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
        cert = base64.b64encode(base64.b64decode(body)).decode().rstrip("=")
    else:
        server.add_insecure_port("unix:" + path)
    server.start()
    line = "1|1|unix|%s|grpc|%s" % (path, cert)
    if os.environ.get("PLUGIN_MULTIPLEX_GRPC"):
        line += "|false"
    os.write(handshake_fd, (line + "\n").encode())
    os.close(handshake_fd)
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
