"""Guard any function of an array: XGBoost, LightGBM, JAX, a remote call, code of one's own.

vaeguard.Function(booster.inplace_predict)
vaeguard.Function(predict, gradient=lambda x, dy: ...)
vaeguard.Function.jax(apply)  # its gradients by jax.vjp
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from .classifier import OUTPUT, PROBABILITIES, Classifier, Floats, Pullback, Range

Gradient = Callable[[Floats, Floats], npt.ArrayLike]
"""gradient(x, dy): (N, input…), (N, classes) -> Σ_c dy[n, c]·∂output[n, c]/∂x[n], (N, input…), no mean over the batch."""


class Function(Classifier):
    """Any function (N, input…) float32 -> (N, classes).

    input_shape, num_classes: () and 0 if they are to be learnt from the first rows.
    output: "probabilities" (default) or "logits".
    gradient: Gradient; None: predict-only. A function that gives (N,), the probability of the second of two classes, as
    xgboost.Booster.inplace_predict does, is completed, and has no gradient.
    """

    def __init__(
        self,
        f: Callable[[Any], Any],
        input_shape: Sequence[int] = (),
        num_classes: int = 0,
        output: str = PROBABILITIES,
        layout: str = "flat",
        lo: Range = (),
        hi: Range = (),
        classes: Sequence[str] = (),
        max_batch: int = 0,
        name: str = "function",
        version: str = "0.1.0",
        digest: str = "",
        gradient: Optional[Gradient] = None,
    ) -> None:
        self.f, self.num_classes, self.output, self.layout = f, num_classes, output, layout
        self.input_shape = tuple(input_shape) or None
        self.lo, self.hi, self.classes, self.max_batch = lo, hi, classes, max_batch
        self.name, self.version, self.digest = name, version, digest
        if gradient:
            self.gradient = gradient

    def predict(self, x: Floats) -> npt.NDArray[Any]:
        y = np.asarray(self.f(x))
        if y.ndim == 1 and len(y) == len(x) and self.num_classes in (0, 2) and self.output == PROBABILITIES:
            y = np.stack([1 - y, y], axis=1)
        return y

    def learn(self, x: Floats) -> None:
        """Takes from some rows what is not known: their shape, the number of classes, an image's layout (NHWC)."""
        if self.input_shape is None:
            self.input_shape = tuple(x.shape[1:])
            if len(self.input_shape) == 3 and self.layout == "flat":
                self.layout = "nhwc"
        if not self.num_classes:
            y = self.predict(x)
            if y.ndim != 2:
                raise ValueError(f"the model gives an array of shape {y.shape} for {len(x)} rows, want ({len(x)}, classes)")
            self.num_classes = y.shape[1]

    @staticmethod
    def jax(f: Callable[[Any], Any], **options: Any) -> Function:
        """A function of JAX's arrays, with its gradients by jax.vjp; options as Function's."""
        return _Jax(f, **options)


class _Jax(Function):
    def __init__(self, f: Callable[[Any], Any], **options: Any) -> None:
        import jax

        super().__init__(jax.jit(f), **options)

    def forward(self, x: Floats, outputs: Sequence[str]) -> Tuple[Dict[str, Floats], Pullback]:
        import jax

        y, vjp = jax.vjp(self.f, x)

        def pullback(cotangents: Dict[str, Floats]) -> Floats:
            (dx,) = vjp(cotangents[OUTPUT].astype(y.dtype))
            return np.asarray(dx, np.float32)

        return {OUTPUT: np.asarray(y, np.float32)}, pullback
