"""A gradient against central differences of predict."""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from ._client import Client
from ._findings import LOGITS, ROWS, Doubles, Findings
from ._protobuf import Message
from .classifier import OUTPUT, Floats

DIRECTIONS = 8
STEPS = (1e-2, 1e-3)  # shares of the legal range, or of the rows' deviation
JITTER = 0.05
RELATIVE, COSINE, SCALE, NOISE = 0.05, 0.98, 1.25, 2.0**-21
ESTIMATED = 3  # on the wire


class Fit(NamedTuple):
    """How well differences of one step fit the gradient."""

    ok: bool
    error: float  # the median relative one
    cosine: float
    factor: float  # of the gradient, relative to the differences
    at: Tuple[int, int]  # row and direction of the worst
    change: float  # there
    claim: float  # the gradient's, there
    gradient: Doubles  # all derivatives
    soft: Doubles  # of the probabilities


def gradient(
    out: Findings,
    client: Client,
    info: Message,
    x: Floats,
    y: Floats,
    lo: Optional[Doubles],
    hi: Optional[Doubles],
    drawn: bool,
    r: np.random.RandomState,
) -> None:
    """Adds whether the gradient is one. drawn: x are not rows of data, but random ones of the legal range."""
    scale = _scale(x, lo, hi, drawn)
    x = _inside(x + r.uniform(-JITTER, JITTER, x.shape) * scale, scale, lo, hi)  # parts equal pixels, where a max pooling has two slopes
    weights = r.randn(*y.shape)
    if y.shape[1] > 1:
        weights = weights - weights.mean(1, keepdims=True)  # what moves all classes alike does not matter
    v: Floats = weights.astype(np.float32)
    dx: Doubles = client.gradient(x, {OUTPUT: v}).astype(np.float64)
    signs = r.choice([-1.0, 1.0], (DIRECTIONS, *x.shape))
    best: Optional[Fit] = None
    for step in STEPS:
        fit = _fit(client, x, v, dx, signs, step * scale)
        if fit and (best is None or (fit.ok, -fit.error) > (best.ok, -best.error)):
            best = fit
    if best is None:
        out.add("warn", "gradient", "inconclusive: all derivatives are below the noise floor of float32")
        return
    text = f"median relative error {best.error:.2g}, cosine {best.cosine:.4f} over {len(best.gradient)} derivatives"
    if best.ok:
        out.add("pass", "gradient", text)
        return
    row, direction = best.at
    text += f"; along direction {direction}, row {row} changes by {best.change:.4g}, its gradient says {best.claim:.4g}"
    text += f"; looks like: {_looks(best, y.shape[1], info['output'] == LOGITS)}"
    out.add("warn" if info.get("gradient") == ESTIMATED else "fail", "gradient", text)


def _scale(x: Floats, lo: Optional[Doubles], hi: Optional[Doubles], drawn: bool) -> Doubles:
    """The width of each feature."""
    spread = 4 * x.std(0, dtype=np.float64)
    if lo is None or hi is None:
        return np.where(spread > 0, spread, np.maximum(1, np.abs(x.mean(0))))
    if drawn:
        return hi - lo
    return np.where(spread > 0, np.minimum(hi - lo, spread), hi - lo)


def _inside(x: Doubles, scale: Doubles, lo: Optional[Doubles], hi: Optional[Doubles]) -> Floats:
    """x, mirrored to where the largest step stays legal."""
    if lo is not None and hi is not None:
        margin = 1.01 * STEPS[0] * scale
        x = np.where(x < lo + margin, 2 * (lo + margin) - x, x)
        x = np.clip(np.where(x > hi - margin, 2 * (hi - margin) - x, x), lo + margin, hi - margin)
    return x.astype(np.float32)


def _fit(client: Client, x: Floats, v: Floats, dx: Doubles, signs: Doubles, step: Doubles) -> Optional[Fit]:
    """The derivatives of Σ v·y along all directions; None if too few are above the noise."""
    diff: List[float] = []
    grad: List[float] = []
    soft: List[float] = []
    where: List[Tuple[int, int]] = []
    for k, s in enumerate(signs):
        up, down = (x + step * s).astype(np.float32), (x - step * s).astype(np.float32)
        moved = up.astype(np.float64) - down  # what float32 made of the step
        a: Doubles = client.predict(up).astype(np.float64)
        b: Doubles = client.predict(down).astype(np.float64)
        d, g = ((a - b) * v).sum(1), (dx * moved).reshape(len(x), -1).sum(1)
        e = ((softmax(a) - softmax(b)) * v).sum(1)
        keep = np.maximum(np.abs(d), np.abs(g)) > 8 * NOISE * np.maximum(np.abs(a), np.abs(b)).sum(1)
        diff += d[keep].tolist()
        grad += g[keep].tolist()
        soft += e[keep].tolist()
        where += [(int(n), k) for n in np.flatnonzero(keep)]
    if len(diff) < 8:
        return None
    d, g = np.array(diff), np.array(grad)
    rel = np.abs(d - g) / np.maximum(np.maximum(np.abs(d), np.abs(g)), 1e-300)
    dot, dd, gg = float((d * g).sum()), float((d * d).sum()), float((g * g).sum())
    cosine, factor = (dot / float(np.sqrt(dd * gg)), dot / dd) if dd > 0 and gg > 0 else (0.0, 0.0)
    error, worst = float(np.median(rel)), int(rel.argmax())
    ok = error <= RELATIVE or (cosine >= COSINE and 1 / SCALE <= factor <= SCALE)
    return Fit(ok, error, cosine, factor, where[worst], float(d[worst]), float(g[worst]), g, np.array(soft))


def _looks(f: Fit, classes: int, logits: bool) -> str:
    """What a wrong gradient looks like."""

    def near(want: float) -> bool:
        return want / SCALE < f.factor < want * SCALE

    if not f.gradient.any():
        return "it is always zero"
    if f.cosine <= -0.95:
        return "the wrong sign"
    if f.cosine >= 0.95:
        if near(1 / ROWS):
            return "a mean over the batch instead of a sum"
        if near(ROWS):
            return "each row counted N times"
        if near(1 / classes):
            return "a mean over the classes instead of a sum"
        return f"off by a factor of {f.factor:.3g}"
    g, s = f.gradient, f.soft
    if logits and s.any() and (s * g).sum() / np.sqrt((s**2).sum() * (g**2).sum()) >= 0.95:
        return "the gradient of the probabilities, where the output is logits"
    return "is it in the layout of the input, and of the sum Σ dy·y?"


def softmax(z: Doubles) -> Doubles:
    e = np.exp(z - z.max(1, keepdims=True))
    p: Doubles = e / e.sum(1, keepdims=True)
    return p
