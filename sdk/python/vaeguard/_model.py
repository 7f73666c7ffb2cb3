"""A Classifier as the server sees it: what it declares, its optional methods, its answers cut to max_batch and checked."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple, cast

import numpy as np

from ._errors import Error
from .classifier import OUTPUT, Classifier, Floats


class Model:
    """A Classifier whose answers are cut to max_batch and checked."""

    def __init__(self, classifier: Classifier) -> None:
        self.c = classifier
        self.optional: Any = classifier  # gradient, forward and fit are found by their names

    def has(self, name: str) -> bool:
        return callable(getattr(self.c, name, None))

    def gradient_kind(self) -> str:
        return self.c.gradient_kind or ("exact" if self.has("gradient") or self.has("forward") else "none")

    def is_ready(self) -> bool:
        return self.c.input_shape is not None and bool(self.c.num_classes)

    def input_shape(self) -> Tuple[int, ...]:
        """Of a classifier that can answer; Error, failed_precondition, of any other."""
        if self.c.input_shape is None or not self.is_ready():
            raise Error("failed_precondition", "the classifier has no input_shape or num_classes: it is not configured, or not trained")
        return tuple(self.c.input_shape)

    def shape_of(self, name: str) -> Tuple[int, ...]:
        """The shape of a named output, per example. Error, invalid_argument, of an unknown one."""
        if name == OUTPUT:
            return (self.c.num_classes,)
        if name.startswith("hidden/") and name[7:] in self.c.hidden:
            return tuple(self.c.hidden[name[7:]])
        known = [OUTPUT] + ["hidden/" + h for h in self.c.hidden]
        raise Error("invalid_argument", f"unknown output {name!r}; known: {', '.join(known)}")

    def checked(self, name: str, answer: Any, n: int, shape: Sequence[int]) -> Floats:
        """What the author's code computed, as float32 of shape (n, shape…); Error, internal, if it is something else."""
        if answer is None:
            raise Error("internal", f"the classifier gave no {name}: does the method return it?")
        a, want = np.asarray(answer), (n, *shape)
        if a.shape != want:
            raise Error("internal", f"the classifier gave {name} of shape {a.shape}, want {want}")
        if a.dtype.kind not in "fiu":
            raise Error("internal", f"the classifier gave {name} of dtype {a.dtype}, want float32")
        with np.errstate(over="ignore"):
            floats = cast(Floats, np.ascontiguousarray(a, np.float32))
        if not np.isfinite(floats).all():
            raise Error("internal", f"the classifier gave {name} that is not finite in row {np.argwhere(~np.isfinite(floats))[0][0]}")
        return floats

    def forward(self, x: Floats, names: List[str]) -> Tuple[Dict[str, Floats], Any]:
        """The named outputs of at most max_batch rows, and their pullback."""
        got, pullback = self.optional.forward(x, names)
        return {k: self.checked(k, got[k], len(x), self.shape_of(k)) for k in names}, pullback

    def outputs(self, x: Floats, names: List[str]) -> Dict[str, Floats]:
        """The named outputs of any number of rows."""
        if not len(x):
            return {k: np.zeros((0, *self.shape_of(k)), np.float32) for k in names}
        parts = []
        for s in self._chunks(len(x)):
            xs = x[s]
            if names == [OUTPUT]:
                parts.append({OUTPUT: self.checked(OUTPUT, self.c.predict(xs), len(xs), self.shape_of(OUTPUT))})
            elif self.has("forward"):
                parts.append(self.forward(xs, names)[0])
            else:
                raise Error("unimplemented", "this classifier has no hidden layers")
        return {k: np.concatenate([p[k] for p in parts]) for k in names}

    def pull(self, x: Floats, cotangents: Dict[str, Floats]) -> Floats:
        """Pulls cotangents of named outputs back to any number of rows."""
        if self.gradient_kind() == "none":
            raise Error("unimplemented", "this classifier has no gradient")
        if not len(x):
            return x
        parts = []
        for s in self._chunks(len(x)):
            xs, dys = x[s], {k: v[s] for k, v in cotangents.items()}
            if list(dys) == [OUTPUT] and self.has("gradient"):
                dx = self.optional.gradient(xs, dys[OUTPUT])
            elif not self.has("forward"):
                what = "no hidden layers" if self.has("gradient") else "no gradient"
                raise Error("unimplemented", "this classifier has " + what)
            else:
                _, pullback = self.optional.forward(xs, sorted(dys))
                dx = pullback(dys)
            parts.append(self.checked("dx", dx, len(xs), xs.shape[1:]))
        return np.concatenate(parts)

    def whole(self, n: int) -> bool:
        """Whether n rows go into one call."""
        return 0 < n <= (self.c.max_batch or n)

    def _chunks(self, n: int) -> List[slice]:
        step = self.c.max_batch or n
        return [slice(i, min(i + step, n)) for i in range(0, n, step)]
