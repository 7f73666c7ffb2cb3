"""Guard a Keras model on TensorFlow:

    import vaeguard.keras
    vaeguard.keras.serve(tf.keras.models.load_model("model.keras"), lo=0, hi=1)

Predict, exact gradients by GradientTape, Differentiate with one forward pass,
and hidden layers by name. Images are NHWC, as Keras has them by default.

A model that ends in softmax answers probabilities; its logits are taken
instead where its last layer is a Dense with a softmax, or a Softmax: gradients
of probabilities vanish where a model is sure.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, NoReturn, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from .classifier import LOGITS, OUTPUT, PROBABILITIES, Classifier, Floats, Pullback, Range
from .serve import serve as _serve


class Keras(Classifier):
    """A built keras.Model with one input (N, input…) and one output (N, classes).

    output: "logits", "probabilities", or None: logits if the last layer shows them,
    else what the last layer's activation says.
    hidden: names of layers to offer as hidden layers.
    """

    def __init__(
        self,
        model: Any,
        output: Optional[str] = None,
        lo: Range = (),
        hi: Range = (),
        classes: Sequence[str] = (),
        hidden: Sequence[str] = (),
        max_batch: int = 0,
        name: Optional[str] = None,
        version: str = "0.1.0",
    ) -> None:
        self.model = model
        self.name, self.version = name or model.name, version
        shape = _example(model.inputs[0])
        if len(model.inputs) != 1 or len(model.outputs) != 1 or None in shape:
            has = f"{len(model.inputs)} inputs of shape {shape} and {len(model.outputs)} outputs"
            raise ValueError(f"the model has {has}, want one of each, of fixed shape")
        self.input_shape = shape
        self.num_classes = _example(model.outputs[0])[-1]
        images = len(shape) == 3
        self.layout = ("nchw" if tf.keras.backend.image_data_format() == "channels_first" else "nhwc") if images else "flat"
        self.lo, self.hi, self.classes, self.max_batch = lo, hi, classes, max_batch
        self.digest = _digest(model)
        last, softmax = model.layers[-1], _ends_in_softmax(model.layers[-1])
        self.head: Optional[Tuple[Any, Any]] = None  # (kernel, bias) to be applied to the last layer's input
        end = model.outputs[0]
        if softmax and output in (None, LOGITS):
            end = last.input
            if hasattr(last, "kernel"):
                self.head = (last.kernel, last.bias if last.use_bias else None)
        elif not softmax and output == PROBABILITIES and _activation(last) == "linear":
            raise ValueError(f"output is declared as probabilities, but the last layer, {last.name}, has no softmax")
        self.output = output or (LOGITS if softmax or _activation(last) not in _PROBABLE else PROBABILITIES)
        self.names = list(hidden)
        ends = [end] + [model.get_layer(n).output for n in self.names]
        self.net = tf.keras.Model(model.inputs, ends)
        self.hidden = {n: _example(t) for n, t in zip(self.names, ends[1:])}
        self._call = tf.function(self._outputs, reduce_retracing=True)

    def _outputs(self, x: Any) -> List[Any]:
        ends = self.net(x, training=False)
        ends = list(ends) if isinstance(ends, (list, tuple)) else [ends]
        if self.head:
            ends[0] = tf.matmul(ends[0], self.head[0])
            if self.head[1] is not None:
                ends[0] += self.head[1]
        return [tf.cast(e, tf.float32) for e in ends]

    def predict(self, x: Floats) -> Any:
        return self._call(tf.convert_to_tensor(x))[0].numpy()

    def gradient(self, x: Floats, dy: Floats) -> Any:
        _, pullback = self.forward(x, [OUTPUT])
        return pullback({OUTPUT: dy})

    def forward(self, x: Floats, outputs: Sequence[str]) -> Tuple[Dict[str, Any], Pullback]:
        at = tf.convert_to_tensor(x)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(at)
            ends = self._call(at)
        live = dict(zip([OUTPUT] + ["hidden/" + n for n in self.names], ends))

        def pullback(cotangents: Dict[str, Floats]) -> Any:
            names = list(cotangents)
            dys = [tf.convert_to_tensor(cotangents[n]) for n in names]
            zero = tf.UnconnectedGradients.ZERO
            return tape.gradient([live[n] for n in names], at, dys, unconnected_gradients=zero).numpy()

        return {n: live[n].numpy() for n in outputs}, pullback


def _example(t: Any) -> Tuple[Any, ...]:
    return tuple(None if d is None else int(d) for d in t.shape[1:])


# Activations whose numbers may add up to 1; those of others, such as relu, are scores.
_PROBABLE = ("softmax", "sigmoid", "hard_sigmoid")


def _activation(layer: Any) -> str:
    name: str = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return name[:-3] if name.endswith("_v2") else name  # tf.nn.softmax


def _ends_in_softmax(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind == "Softmax":
        return True
    dense = hasattr(layer, "kernel") and len(layer.kernel.shape) == 2
    return _activation(layer) == "softmax" and (dense or kind == "Activation")


def _digest(model: Any) -> str:
    h = hashlib.sha256()
    for w in model.get_weights():
        h.update(str(w.shape).encode() + np.ascontiguousarray(w).tobytes())
    return "sha256:" + h.hexdigest()


def serve(model: Any, **options: Any) -> NoReturn:
    """The whole main of a plugin around a Keras model; options as Keras."""
    _serve(Keras(model, **options))
