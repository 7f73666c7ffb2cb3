"""Check a plugin without vaeguard: python -m vaeguard.check model.py

Runs model.py up to its serve, puts the classifier behind a real gRPC connection
in this process, and asks whether it is what it says: shapes, finiteness, sums of
probabilities, the same answer twice and in another batch, gradients against
central differences. Exit status 0: nothing failed; 1: a check failed; 2: usage.
"""
import argparse
import contextlib
import json
import os
import runpy
import sys

import numpy as np

import vaeguard

ROWS, DIRECTIONS = 16, 8
STEPS = (1e-2, 1e-3)  # shares of the legal range, or of the rows' deviation
SUM, SAME, SAME_WARN = 1e-3, 1e-4, 1e-6  # relative to the largest output, but not below 1
JITTER = 0.05
RELATIVE, COSINE, SCALE, NOISE = 0.05, 0.98, 1.25, 2.0 ** -21


class _Found(BaseException):
    pass


def load(path):
    """The classifier that the program at path hands to vaeguard.serve."""
    found = []

    def capture(classifier):
        found.append(classifier)
        raise _Found

    argv, first = sys.argv, sys.path[0]
    sys.argv, sys.path[0], vaeguard._instead_of_serving = [path], os.path.dirname(os.path.abspath(path)), capture
    try:
        runpy.run_path(path, run_name="__main__")
    except _Found:
        pass
    finally:
        sys.argv, sys.path[0], vaeguard._instead_of_serving = argv, first, None
    if not found:
        raise SystemExit("vaeguard.check: %s did not call serve" % path)
    return found[0]


class Client:
    """The host's end of the protocol, for one classifier."""

    def __init__(self, channel):
        self.channel = channel

    def _call(self, name, request, response, m):
        call = self.channel.unary_unary("/vaeguard.classifier.v1.Classifier/" + name)
        return vaeguard._decode(response, call(vaeguard._encode(request, m)))

    def describe(self):
        return self._call("Describe", {}, vaeguard._DESCRIBE, {})

    def configure(self, config, base_dir, input_shape=(), classes=0, seed=0):
        m = {"config_json": json.dumps(config), "base_dir": base_dir, "input_shape": input_shape, "classes": classes, "seed": seed}
        return [(d.get("pointer", ""), d.get("message", "")) for d in self._call("Configure", vaeguard._CONFIGURE, vaeguard._CONFIGURED, m)["diagnostics"]]

    def predict(self, x, outputs=()):
        got = _arrays(self._call("Predict", vaeguard._PREDICT, vaeguard._OUTPUTS, {"x": vaeguard._tensor(x), "outputs": outputs}))
        return got if outputs else got[vaeguard.OUTPUT]

    def gradient(self, x, cotangents):
        m = {"x": vaeguard._tensor(x), "cotangents": vaeguard._tensors(cotangents)}
        return vaeguard._array("dx", self._call("Gradient", vaeguard._GRADIENT, vaeguard._GRADIENT_RESPONSE, m)["dx"])

    def differentiate(self, x, cotangents):
        """One forward and one backward step: (outputs, dx)."""
        steps = [{"forward": {"x": vaeguard._tensor(x), "outputs": sorted(cotangents)}}, {"backward": {"cotangents": vaeguard._tensors(cotangents)}}]
        call = self.channel.stream_stream("/vaeguard.classifier.v1.Classifier/Differentiate")
        got = [vaeguard._decode(vaeguard._DIFF_RESPONSE, b) for b in call(vaeguard._encode(vaeguard._DIFF, s) for s in steps)]
        return _arrays(got[0]["outputs"]), vaeguard._array("dx", got[1]["dx"])


def _arrays(m):
    return {e["key"]: vaeguard._array(e["key"], e["value"]) for e in m["outputs"]}


@contextlib.contextmanager
def connect(classifier):
    """A Client of classifier over a connection of its own."""
    import grpc
    from concurrent import futures
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=limits)
    server.add_generic_rpc_handlers((vaeguard.handlers(classifier),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel("127.0.0.1:%d" % port, options=limits + [("grpc.enable_http_proxy", 0)]) as channel:
            yield Client(channel)
    finally:
        server.stop(None)


class Findings(list):
    """(severity, check, message): pass, warn or fail."""

    def add(self, severity, check, message):
        self.append((severity, check, message))

    def compare(self, check, what, a, b, warn=0.0):
        d = float(np.abs(a.astype(np.float64) - b).max(initial=0) / max(1.0, float(np.abs(a).max(initial=0))))
        text = "%s differ by %.2g" % (what, d)
        if not d <= SAME:
            row = int(np.abs(a.astype(np.float64) - b).reshape(len(a), -1).max(1).argmax())
            self.add("fail", check, text + ", most in row %d: %s and %s; dropout or batch statistics still at work?" % (row, _brief(a[row]), _brief(b[row])))
        else:
            self.add("warn" if d > warn else "pass", check, text)


def _brief(a):
    return np.array2string(np.ravel(a)[:4], precision=5, separator=", ")


def run(client, data=None, seed=0):
    """All checks of a configured classifier. data: rows in its own layout, or None for random ones."""
    out, info = Findings(), client.describe()
    if not info.get("ready"):
        if info.get("trainable"):
            out.add("warn", "info", "not trained: nothing but its description was checked; give the trained one by --config")
        else:
            out.add("fail", "info", "not ready: it has no input_shape or num_classes after configure")
        return out
    shape, k = tuple(info["input_shape"]), info.get("num_classes", 0)
    size = int(np.prod(shape))
    if len(info["lo"]) != len(info["hi"]) or len(info["lo"]) not in (0, 1, size) or not (np.array(info["lo"]) < np.array(info["hi"])).all():
        out.add("fail", "info", "legal range of %d and %d numbers: want one each, or %d (one per feature), lo below hi" % (len(info["lo"]), len(info["hi"]), size))
        return out
    if info["classes"] and len(info["classes"]) != k:
        out.add("fail", "info", "%d class names for %d classes" % (len(info["classes"]), k))
        return out
    if info.get("layout") != 1 and len(shape) != 3:
        out.add("fail", "info", "an image layout wants three dimensions, input_shape is %s" % (shape,))
        return out
    out.add("pass", "info", "takes %s, %d classes" % (shape, k))
    r = np.random.RandomState(seed)
    lo, hi = (np.broadcast_to(np.array(info[n], np.float64), size).reshape(shape) if info["lo"] else None for n in ("lo", "hi"))
    if data is not None:
        data = np.asarray(data, np.float32)
        if not len(data) or data.shape[1:] != shape:
            out.add("fail", "info", "the data has rows of shape %s, the classifier takes %s" % (data.shape[1:], shape))
            return out
        _range(out, data, lo, hi)
        x = data[np.arange(ROWS) * len(data) // ROWS]
    else:
        x = (r.randn(ROWS, *shape) if lo is None else r.uniform(lo, hi, (ROWS,) + shape)).astype(np.float32)
    y = client.predict(x)
    good = _outputs(out, y, info["output"] == 2)
    out.compare("repeat", "the same call twice", y, client.predict(x))
    out.compare("batch", "batches of 1 and of %d" % ROWS, y, np.concatenate([client.predict(row[None]) for row in x]), SAME_WARN)
    if info.get("gradient") == 1:
        out.add("pass", "gradient", "none declared")
    elif good:
        _gradient(out, client, info, x, y, lo, hi, data is None, r)
        if info.get("differentiate"):
            _differentiate(out, client, info, x, y, r)
    return out


def _range(out, data, lo, hi):
    if lo is None:
        return
    least, most = float(data.min()), float(data.max())
    legal = "the legal range is %.4g to %.4g" % (lo.min(), hi.max())
    off = np.maximum(lo - data, data - hi) / (hi - lo)
    outside, at = int((off > 1e-6).sum()), np.unravel_index(off.argmax(), off.shape)
    looks = ("pixels of 0 to 255 for a model of %.4g to %.4g" % (lo.min(), hi.max()) if 0 <= least and 2 < most <= 255 and hi.max() <= 1
             else "pixels of 0 to 1 for a model of 0 to 255" if 0 <= least and most <= 1 and hi.max() >= 255
             else "rows in another unit than the model's, or a range that is not its own")
    if outside:
        text = "%s, but %d of %d numbers of the data lie outside, most in row %d at %s: %.4g; looks like: %s" % (
            legal, outside, data.size, at[0], tuple(int(i) for i in at[1:]), data[at], looks)
        out.add("fail" if off.max() > 1 else "warn", "range", text)
    elif most - least < 0.02 * (hi.max() - lo.min()):
        out.add("warn", "range", "%s, and the data has %.4g to %.4g alone; looks like: %s" % (legal, least, most, looks))
    else:
        out.add("pass", "range", "%s, the data has %.4g to %.4g" % (legal, least, most))


def _outputs(out, y, probabilities):
    off, least = np.abs(y.sum(1, dtype=np.float64) - 1), float(y.min())
    are = off.max() <= SUM and least >= -SUM
    if probabilities and not are:
        i = int(off.argmax())
        out.add("fail", "probabilities", "declared as probabilities, but row %d, %s, has the sum %.4g; are these logits?" % (i, _brief(y[i]), y[i].sum()))
        return False
    if are and not probabilities and y.shape[1] > 1:
        out.add("warn", "probabilities", "declared as logits, but every row is non-negative and sums to 1; are these probabilities?")
    else:
        out.add("pass", "probabilities", "rows sum to 1 within %.1g" % off.max() if probabilities else "finite logits")
    return True


def _gradient(out, client, info, x, y, lo, hi, drawn, r):
    spread = 4 * x.std(0, dtype=np.float64)
    scale = np.where(spread > 0, spread, np.maximum(1, np.abs(x.mean(0))))
    if lo is not None:
        scale = hi - lo if drawn else np.where(spread > 0, np.minimum(hi - lo, spread), hi - lo)
    x = x + r.uniform(-JITTER, JITTER, x.shape) * scale  # parts what is equal, where a max pooling has two slopes
    if lo is not None:
        margin = 1.01 * STEPS[0] * scale
        x = np.where(x < lo + margin, 2 * (lo + margin) - x, x)
        x = np.clip(np.where(x > hi - margin, 2 * (hi - margin) - x, x), lo + margin, hi - margin)
    x = x.astype(np.float32)
    v = r.randn(*y.shape)
    v = (v - v.mean(1, keepdims=True) if y.shape[1] > 1 else v).astype(np.float32)  # what moves all classes alike is no matter
    dx = client.gradient(x, {vaeguard.OUTPUT: v}).astype(np.float64)
    signs = r.choice([-1.0, 1.0], (DIRECTIONS,) + x.shape)
    best = None
    for step in STEPS:
        diff, grad, where, soft = [], [], [], []
        for k, s in enumerate(signs):
            up, down = ((x + t * step * scale * s).astype(np.float32) for t in (1, -1))
            moved = up.astype(np.float64) - down  # what float32 made of the step
            a, b = client.predict(up).astype(np.float64), client.predict(down).astype(np.float64)
            d, g = ((a - b) * v).sum(1), (dx * moved).reshape(len(x), -1).sum(1)
            e = ((_softmax(a) - _softmax(b)) * v).sum(1)
            keep = np.maximum(np.abs(d), np.abs(g)) > 8 * NOISE * np.maximum(np.abs(a), np.abs(b)).sum(1)
            diff, grad, soft = diff + d[keep].tolist(), grad + g[keep].tolist(), soft + e[keep].tolist()
            where += [(int(n), k) for n in np.flatnonzero(keep)]
        if len(diff) < 8:
            continue
        d, g = np.array(diff), np.array(grad)
        rel = np.abs(d - g) / np.maximum(np.maximum(np.abs(d), np.abs(g)), 1e-300)
        dot, dd, gg = (d * g).sum(), (d * d).sum(), (g * g).sum()
        cosine, factor = (dot / np.sqrt(dd * gg), dot / dd) if dd > 0 and gg > 0 else (0.0, 0.0)
        m = float(np.median(rel))
        ok = m <= RELATIVE or cosine >= COSINE and 1 / SCALE <= factor <= SCALE
        if best is None or (ok, -m) > (best[0], -best[1]):
            best = ok, m, cosine, factor, where[int(rel.argmax())], d[rel.argmax()], g[rel.argmax()], g, np.array(soft), len(d)
    if best is None:
        out.add("warn", "gradient", "inconclusive: all derivatives are under the noise floor of float32")
        return
    ok, m, cosine, factor, at, d, g, grad, soft, n = best
    text = "median relative error %.2g, cosine %.4f over %d derivatives" % (m, cosine, n)
    if ok:
        out.add("pass", "gradient", text)
        return
    looks = ""
    if not grad.any():
        looks = "it is always zero"
    elif cosine <= -0.95:
        looks = "the wrong sign"
    elif cosine >= 0.95:
        near = lambda want: want / SCALE < factor < want * SCALE  # noqa: E731
        looks = ("a mean over the batch instead of a sum" if near(1 / ROWS) else "each row counted N times" if near(ROWS)
                 else "a mean over the classes instead of a sum" if near(1 / y.shape[1]) else "off by a factor of %.3g" % factor)
    elif info["output"] == 1 and soft.any() and (soft * grad).sum() / np.sqrt((soft ** 2).sum() * (grad ** 2).sum()) >= 0.95:
        looks = "the gradient of the probabilities, where the output is logits"
    else:
        looks = "is it in the layout of the input, and of the sum Σ dy·y?"
    text += "; along direction %d, row %d changes by %.4g, its gradient says %.4g; looks like: %s" % (at[1], at[0], d, g, looks)
    out.add("warn" if info.get("gradient") == 3 else "fail", "gradient", text)


def _softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _differentiate(out, client, info, x, y, r):
    names = ["hidden/" + h["name"] for h in info["hidden"]]
    dy = r.choice([-1.0, 1.0], y.shape).astype(np.float32)
    outs, dx = client.differentiate(x, {vaeguard.OUTPUT: dy})
    out.compare("differentiate", "the outputs of forward and predict", y, outs[vaeguard.OUTPUT], SAME_WARN)
    out.compare("differentiate", "the gradients of pullback and gradient", client.gradient(x, {vaeguard.OUTPUT: dy}), dx, SAME_WARN)
    for name, a in client.predict(x, names).items() if names else ():
        out.add("pass", "hidden", "layer %s has shape %s" % (name[7:], a.shape[1:]))
        client.gradient(x, {name: np.ones_like(a)})


def main(argv=None):
    """The command line. Returns the exit status."""
    import grpc
    p = argparse.ArgumentParser(prog="python -m vaeguard.check", description=__doc__.split("\n\n")[0])
    p.add_argument("model", help="a program that calls vaeguard.serve")
    p.add_argument("--config", help="a JSON file for configure")
    p.add_argument("--data", help="an .npy of rows (N, input…), in the classifier's layout")
    p.add_argument("--input-shape", default="", help="of the data, as 28,28,1, for classifiers that learn it")
    p.add_argument("--classes", type=int, default=0)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args(argv)
    if not os.path.isfile(a.model):
        p.error("no file %s" % a.model)
    classifier, config, base = load(a.model), {}, os.getcwd()
    if a.config:
        base = os.path.dirname(os.path.abspath(a.config))
        with open(a.config, encoding="utf-8") as f:
            config = json.load(f)
    with connect(classifier) as client:
        try:
            bad = client.configure(config, base, tuple(int(d) for d in a.input_shape.split(",") if d), a.classes, a.seed)
            findings = [("fail", "configure", "%s: %s" % d if d[0] else d[1]) for d in bad] or run(client, np.load(a.data) if a.data else None, a.seed)
        except grpc.RpcError as e:
            findings = [("fail", "call", "%s: %s" % (e.code().name.lower(), e.details()))]
    for f in findings:
        print("%-4s  %s: %s" % f)
    return int(any(f[0] == "fail" for f in findings))


if __name__ == "__main__":
    sys.exit(main())
