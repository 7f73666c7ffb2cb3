"""The protocol's calls, answered from a Classifier."""

from __future__ import annotations

import json
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List

import numpy as np

from ._errors import ConfigError, Error
from ._model import Model
from ._protobuf import Message, unsigned
from .classifier import OUTPUT, Classifier, Floats
from .schema import check_config
from .wire import GRADIENTS, KINDS, LAYOUTS, array, tensor, tensors


class Server:
    """Answers the protocol's calls from a Classifier, one call at a time."""

    def __init__(self, classifier: Classifier) -> None:
        self.c, self.model = classifier, Model(classifier)
        self.lock = threading.RLock()  # a Python model is rarely safe for two calls at once
        self.given: Dict[str, Any] = {"input_shape": None, "classes": 0, "seed": 0}  # the last configure's
        self.epoch = 0  # configures and fits so far: a tape does not outlive one

    def describe(self, _: Message) -> Message:
        c = self.c
        with self.lock:
            kind = self.model.gradient_kind()
            for what, value, known in (("layout", c.layout, LAYOUTS), ("output", c.output, KINDS), ("gradient_kind", kind, GRADIENTS)):
                if value not in known:
                    raise Error("internal", f"the classifier's {what} is {value!r}, want {' or '.join(known)}")
            return {
                "name": c.name,
                "version": c.version,
                "input_shape": tuple(c.input_shape or ()),
                "layout": LAYOUTS[c.layout],
                "lo": np.ravel(c.lo),
                "hi": np.ravel(c.hi),
                "num_classes": c.num_classes,
                "classes": [str(v) for v in c.classes],
                "output": KINDS[c.output],
                "max_batch": c.max_batch,
                "gradient": GRADIENTS[kind],
                "differentiate": self.model.has("forward"),
                "hidden": [{"name": k, "shape": v} for k, v in c.hidden.items()],
                "trainable": self.model.has("fit"),
                "ready": self.model.is_ready(),
                "batch_invariant": c.batch_invariant,
                "digest": c.digest,
                "config_schema": json.dumps(c.schema).encode() if c.schema else b"",
            }

    def configure(self, m: Message) -> Message:
        try:
            config = json.loads(m.get("config_json") or b"{}")
        except ValueError as e:
            return {"diagnostics": [{"pointer": "", "message": f"not JSON: {e}"}]}
        config = {} if config is None else config
        given = {"input_shape": tuple(m["input_shape"]) or None, "classes": m.get("classes", 0), "seed": unsigned(m.get("seed", 0))}
        with self.lock:
            try:
                check_config(self.c, config)
                self.epoch += 1
                self.c.configure(config, base_dir=m.get("base_dir", ""), **given)
                self.given = given
            except ConfigError as e:
                return {"diagnostics": [{"pointer": p, "message": s} for p, s in e.diagnostics]}
        return {}

    def predict(self, m: Message) -> Message:
        with self.lock:
            x = self._input(m.get("x"))
            return {"outputs": tensors(self.model.outputs(x, self._names(m["outputs"])))}

    def gradient(self, m: Message) -> Message:
        with self.lock:
            x = self._input(m.get("x"))
            return {"dx": tensor(self.model.pull(x, self._cotangents(m["cotangents"], len(x))))}

    def differentiate(self, steps: Iterable[Message], _: Callable[[], bool]) -> Iterator[Message]:
        if not self.model.has("forward"):
            raise Error("unimplemented", "this classifier does not serve Differentiate")
        x: Any = None
        pullback: Any = None
        names: List[str] = []
        epoch = -1
        for m in steps:
            if "forward" in m:
                pullback = None  # frees the old tape before the next is made
                with self.lock:
                    x, epoch = self._input(m["forward"].get("x")), self.epoch
                    names = self._names(m["forward"]["outputs"])
                    if self.model.whole(len(x)):
                        outs, pullback = self.model.forward(x, names)
                    else:
                        outs = self.model.outputs(x, names)
                yield {"outputs": {"outputs": tensors(outs)}}
            elif "backward" in m:
                with self.lock:
                    if x is None or epoch != self.epoch:
                        raise Error("failed_precondition", "backward without a forward")
                    if self.model.gradient_kind() == "none":
                        raise Error("unimplemented", "this classifier has no gradient")
                    dys = self._cotangents(m["backward"]["cotangents"], len(x))
                    for name in dys:
                        if name not in names:
                            raise Error("invalid_argument", f"cotangent of {name!r}: the forward did not ask for it")
                    dx = self.model.checked("dx", pullback(dys), len(x), x.shape[1:]) if pullback else self.model.pull(x, dys)
                yield {"dx": tensor(dx)}
            else:
                raise Error("invalid_argument", "neither forward nor backward")

    def _input(self, t: Any) -> Floats:
        shape = self.model.input_shape()
        x: Floats = np.array(array("x", t), np.float32)  # a writable copy of its own
        if x.shape[1:] != shape or x.ndim == 0:
            raise Error("invalid_argument", f"x has shape {x.shape}, want N×{shape} ({self.c.layout})")
        if not np.isfinite(x).all():
            raise Error("invalid_argument", f"x: row {np.argwhere(~np.isfinite(x))[0][0]} is not finite")
        return x

    def _names(self, outputs: List[str]) -> List[str]:
        """The outputs that are asked for, known and sorted; no name means OUTPUT."""
        for name in outputs:
            self.model.shape_of(name)
        return sorted(set(outputs or [OUTPUT]))

    def _cotangents(self, entries: List[Message], n: int) -> Dict[str, Floats]:
        out = {}
        for e in entries:
            name: str = e.get("key", "")
            dy: Floats = np.array(array("cotangent", e.get("value")), np.float32)
            want = (n, *self.model.shape_of(name))
            if dy.shape != want:
                raise Error("invalid_argument", f"cotangent of {name} has shape {dy.shape}, want {want}")
            if not np.isfinite(dy).all():
                raise Error("invalid_argument", f"cotangent of {name}: row {np.argwhere(~np.isfinite(dy))[0][0]} is not finite")
            out[name] = dy
        if not out:
            raise Error("invalid_argument", "no cotangents")
        return out
