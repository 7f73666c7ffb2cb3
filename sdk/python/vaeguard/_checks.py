"""Checks whether a classifier is what it declares."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt

from ._client import Client
from ._findings import FLAT, NO_GRADIENT, OUTSIDE, PROBABILITIES, ROWS, SAME_WARN, SUM, Doubles, Findings, brief
from ._gradient import gradient
from ._protobuf import Message
from .classifier import OUTPUT, Floats


def run(client: Client, data: Optional[npt.ArrayLike] = None, seed: int = 0) -> Findings:
    """All checks of a configured classifier. data: rows in its own layout, or None for random ones."""
    out, info = Findings(), client.describe()
    if not _described(out, info):
        return out
    shape: Tuple[int, ...] = tuple(info["input_shape"])
    r = np.random.RandomState(seed)
    lo, hi = _legal(info, "lo"), _legal(info, "hi")
    if data is not None:
        rows: Floats = np.asarray(data, np.float32)
        if not len(rows) or rows.shape[1:] != shape:
            out.add("fail", "info", f"the data has rows of shape {rows.shape[1:]}, the classifier takes {shape}")
            return out
        if lo is not None and hi is not None:
            _range(out, rows, lo, hi)
        x = rows[np.arange(ROWS) * len(rows) // ROWS]
    elif lo is None or hi is None:
        x = r.randn(ROWS, *shape).astype(np.float32)
    else:
        x = r.uniform(lo, hi, (ROWS, *shape)).astype(np.float32)
    y = client.predict(x)
    good = _outputs(out, y, info["output"] == PROBABILITIES)
    out.compare("repeat", "the same call twice", y, client.predict(x))
    out.compare("batch", f"batches of 1 and of {ROWS}", y, np.concatenate([client.predict(row[None]) for row in x]), SAME_WARN)
    if info.get("gradient") == NO_GRADIENT:
        out.add("pass", "gradient", "none declared")
    elif good:
        gradient(out, client, info, x, y, lo, hi, data is None, r)
        if info.get("differentiate"):
            _differentiate(out, client, info, x, y, r)
    return out


def _described(out: Findings, info: Message) -> bool:
    """Adds what is wrong with a description; whether nothing is."""
    if not info.get("ready"):
        if info.get("trainable"):
            out.add("warn", "info", "not trained: nothing but its description was checked; give the trained one by --config")
        else:
            out.add("fail", "info", "not ready: it has no input_shape or num_classes after configure")
        return False
    shape, k, lo, hi = tuple(info["input_shape"]), info.get("num_classes", 0), info["lo"], info["hi"]
    size = int(np.prod(shape))
    if len(lo) != len(hi) or len(lo) not in (0, 1, size) or not (np.array(lo) < np.array(hi)).all():
        want = f"want one each, or {size} (one per feature), lo below hi"
        out.add("fail", "info", f"legal range of {len(lo)} and {len(hi)} numbers: {want}")
        return False
    if info["classes"] and len(info["classes"]) != k:
        out.add("fail", "info", f"{len(info['classes'])} class names for {k} classes")
        return False
    if info.get("layout") != FLAT and len(shape) != 3:
        out.add("fail", "info", f"an image layout wants three dimensions, input_shape is {shape}")
        return False
    out.add("pass", "info", f"takes {shape}, {k} classes")
    return True


def _legal(info: Message, end: str) -> Optional[Doubles]:
    """One end of the legal range, of the input's shape; None if unknown."""
    if not info[end]:
        return None
    shape = tuple(info["input_shape"])
    return np.broadcast_to(np.array(info[end], np.float64), int(np.prod(shape))).reshape(shape)


def _range(out: Findings, data: Floats, lo: Doubles, hi: Doubles) -> None:
    least, most, bottom, top = float(data.min()), float(data.max()), float(lo.min()), float(hi.max())
    legal = f"the legal range is {bottom:.4g} to {top:.4g}"
    off = np.maximum(lo - data, data - hi) / (hi - lo)
    outside, at = int((off > OUTSIDE).sum()), tuple(int(i) for i in np.unravel_index(off.argmax(), off.shape))
    looks = "rows in another unit than the model's, or a range that is not its own"
    if least >= 0 and 2 < most <= 255 and top <= 1:
        looks = f"pixels of 0 to 255 for a model of {bottom:.4g} to {top:.4g}"
    elif least >= 0 and most <= 1 and top >= 255:
        looks = "pixels of 0 to 1 for a model of 0 to 255"
    if outside:
        where = f"most in row {at[0]} at {at[1:]}: {data[at]:.4g}"
        text = f"{legal}, but {outside} of {data.size} numbers of the data lie outside, {where}; looks like: {looks}"
        out.add("fail" if off.max() > 1 else "warn", "range", text)
    elif most - least < 0.02 * (top - bottom):
        out.add("warn", "range", f"{legal}, and the data has {least:.4g} to {most:.4g} alone; looks like: {looks}")
    else:
        out.add("pass", "range", f"{legal}, the data has {least:.4g} to {most:.4g}")


def _outputs(out: Findings, y: Floats, probabilities: bool) -> bool:
    """Adds whether outputs are what they are declared as; False if not even a gradient of them means anything."""
    off, least = np.abs(y.sum(1, dtype=np.float64) - 1), float(y.min())
    are = off.max() <= SUM and least >= -SUM
    if probabilities and not are:
        i = int(off.argmax())
        text = f"declared as probabilities, but row {i}, {brief(y[i])}, has the sum {y[i].sum():.4g}; are these logits?"
        out.add("fail", "probabilities", text)
        return False
    if are and not probabilities and y.shape[1] > 1:
        text = "declared as logits, but every row is non-negative and sums to 1; are these probabilities?"
        out.add("warn", "probabilities", text)
    else:
        out.add("pass", "probabilities", f"rows sum to 1 within {off.max():.1g}" if probabilities else "finite logits")
    return True


def _differentiate(out: Findings, client: Client, info: Message, x: Floats, y: Floats, r: np.random.RandomState) -> None:
    names = ["hidden/" + h["name"] for h in info["hidden"]]
    dy: Floats = r.choice([-1.0, 1.0], y.shape).astype(np.float32)
    outs, dx = client.differentiate(x, {OUTPUT: dy})
    out.compare("differentiate", "the outputs of forward and predict", y, outs[OUTPUT], SAME_WARN)
    out.compare("differentiate", "the gradients of pullback and gradient", client.gradient(x, {OUTPUT: dy}), dx, SAME_WARN)
    for name, a in client.outputs(x, names).items() if names else ():
        out.add("pass", "hidden", f"layer {name[7:]} has shape {a.shape[1:]}")
        client.gradient(x, {name: np.ones_like(a)})
