"""The call Fit: its rows are gathered, the classifier is trained in a thread, its progress is streamed."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from ._errors import Error
from ._protobuf import Message, unsigned
from ._server import Server
from .classifier import Floats
from .wire import array

Labels = npt.NDArray[np.int64]

_TRAIN, _VALIDATION = 1, 2  # the splits, on the wire


class Data(NamedTuple):
    """What a Fit was sent."""

    options: Message
    x: Floats
    y: Labels
    val_x: Optional[Floats]
    val_y: Optional[Labels]


def fit(server: Server, steps: Iterable[Message], alive: Callable[[], bool]) -> Iterator[Message]:
    """Trains the classifier of server. alive says whether the events are still received."""
    if not server.model.has("fit"):
        raise Error("unimplemented", "this classifier is not trainable")
    data = gather(steps)
    arrived = threading.Condition()
    events: List[Message] = []
    result: Dict[str, Any] = {}

    def progress(epoch: int, step: int, steps: int, **metrics: float) -> None:
        if not alive():
            raise Error("unavailable", "the receiver is gone")
        entries = [{"key": k, "value": float(v)} for k, v in sorted(metrics.items())]
        with arrived:
            events.append({"progress": {"epoch": epoch, "step": step, "steps": steps, "metrics": entries}})
            arrived.notify()

    def work() -> None:
        try:
            result["done"] = _train(server, data, progress)
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


def _train(server: Server, data: Data, progress: Callable[..., None]) -> Message:
    o = data.options
    options, seed, folder = json.loads(o.get("options_json") or b"{}") or {}, unsigned(o.get("seed", 0)), o.get("output_dir", "")
    with server.lock:
        server.epoch += 1
        config = server.model.optional.fit(data.x, data.y, data.val_x, data.val_y, options, seed, folder, progress)
        if not isinstance(config, dict):
            raise Error("internal", f"fit returned {type(config).__name__}, want the config of a later configure, a dict")
        server.c.configure(config, base_dir=folder, **server.given)  # exactly what a later start does
        return {"config_json": json.dumps(config).encode(), "files": _files(folder), "digest": server.c.digest}


def gather(steps: Iterable[Message]) -> Data:
    """Collects a Fit's options and rows, and checks them."""
    o: Optional[Message] = None
    parts: Dict[int, Tuple[List[Floats], List[Labels]]] = {_TRAIN: ([], []), _VALIDATION: ([], [])}
    for m in steps:
        if "options" in m:
            o = m["options"]
            continue
        r = m.get("rows") or {}
        x: Floats = np.array(array("x", r.get("x")), np.float32)
        y: Labels = np.array(array("labels", r.get("labels")), np.int64)
        split = r.get("split", _TRAIN)
        if split not in parts or y.ndim != 1 or len(y) != len(x) or (y < 0).any() or not np.isfinite(x).all():
            raise Error(
                "invalid_argument",
                f"fit: rows of shape {x.shape} with labels of shape {y.shape}, split {split}: want finite rows and a label ≥ 0 each",
            )
        parts[split][0].append(x)
        parts[split][1].append(y)
    n = [sum(map(len, parts[k][1])) for k in (_TRAIN, _VALIDATION)]
    if o is None or not n[0] or n != [o.get("n_train", 0), o.get("n_validation", 0)]:
        announced = o or {}
        raise Error(
            "invalid_argument",
            f"fit: {n[0]} + {n[1]} rows came, {announced.get('n_train')} + {announced.get('n_validation', 0)} were announced",
        )
    if len({a.shape[1:] for k in parts for a in parts[k][0]}) != 1:
        raise Error("invalid_argument", "fit: rows of several shapes")
    train, val = parts[_TRAIN], parts[_VALIDATION]
    val_x, val_y = (np.concatenate(val[0]), np.concatenate(val[1])) if val[0] else (None, None)
    return Data(o, np.concatenate(train[0]), np.concatenate(train[1]), val_x, val_y)


def _files(folder: str) -> List[Message]:
    """All files in folder with their digests, in a fixed order."""
    out = []
    for root, _, names in sorted(os.walk(folder)):
        for n in sorted(names):
            path = os.path.join(root, n)
            with open(path, "rb") as f:
                digest = hashlib.sha256(f.read()).hexdigest()
            out.append({"name": os.path.relpath(path, folder).replace(os.sep, "/"), "sha256": digest})
    return out
