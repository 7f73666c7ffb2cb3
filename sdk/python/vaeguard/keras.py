"""Guard a Keras model on TensorFlow:

    import vaeguard.keras
    vaeguard.keras.serve(tf.keras.models.load_model("model.keras"), lo=0, hi=1)

Predict, exact gradients by GradientTape, Differentiate with one forward pass,
and hidden layers by name. Images are NHWC, as Keras has them by default.

A model that ends in softmax answers probabilities; its logits are taken
instead where its last layer is a Dense with a softmax, or a Softmax: gradients
of probabilities vanish where a model is sure.
"""
import hashlib

import numpy as np
import tensorflow as tf

from . import LOGITS, OUTPUT, PROBABILITIES, Classifier, serve as _serve


class Keras(Classifier):
    """A built keras.Model with one input (N, input…) and one output (N, classes).

    output: "logits", "probabilities", or None: logits if the last layer shows them,
    else what the last layer's activation says.
    hidden: names of layers to offer as hidden layers.
    """

    def __init__(self, model, output=None, lo=(), hi=(), classes=(), hidden=(), max_batch=0, name=None, version="0.1.0"):
        self.model = model
        self.name, self.version = name or model.name, version
        self.input_shape = _example(model.inputs[0])
        if len(model.inputs) != 1 or len(model.outputs) != 1 or None in self.input_shape:
            raise ValueError("the model has %d inputs of shape %s and %d outputs, want one of each, of fixed shape"
                             % (len(model.inputs), self.input_shape, len(model.outputs)))
        self.num_classes = _example(model.outputs[0])[-1]
        images = len(self.input_shape) == 3
        self.layout = ("nchw" if tf.keras.backend.image_data_format() == "channels_first" else "nhwc") if images else "flat"
        self.lo, self.hi, self.classes, self.max_batch = lo, hi, classes, max_batch
        self.digest = _digest(model)
        last, softmax = model.layers[-1], _ends_in_softmax(model.layers[-1])
        self.head = None  # (kernel, bias) to be applied to the last layer's input
        end = model.outputs[0]
        if softmax and output in (None, LOGITS):
            end = last.input
            if hasattr(last, "kernel"):
                self.head = (last.kernel, last.bias if last.use_bias else None)
        elif not softmax and output == PROBABILITIES and _activation(last) == "linear":
            raise ValueError("output is declared as probabilities, but the last layer, %s, has no softmax" % last.name)
        self.output = output or (LOGITS if softmax or _activation(last) == "linear" else PROBABILITIES)
        self.names = list(hidden)
        ends = [end] + [model.get_layer(n).output for n in self.names]
        self.net = tf.keras.Model(model.inputs, ends)
        self.hidden = {n: _example(t) for n, t in zip(self.names, ends[1:])}
        self._call = tf.function(self._outputs, reduce_retracing=True)

    def _outputs(self, x):
        ends = self.net(x, training=False)
        ends = list(ends) if isinstance(ends, (list, tuple)) else [ends]
        if self.head:
            ends[0] = tf.matmul(ends[0], self.head[0])
            if self.head[1] is not None:
                ends[0] += self.head[1]
        return [tf.cast(e, tf.float32) for e in ends]

    def predict(self, x):
        return self._call(tf.convert_to_tensor(x))[0].numpy()

    def gradient(self, x, dy):
        _, pullback = self.forward(x, [OUTPUT])
        return pullback({OUTPUT: dy})

    def forward(self, x, outputs):
        x = tf.convert_to_tensor(x)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            ends = self._call(x)
        live = dict(zip([OUTPUT] + ["hidden/" + n for n in self.names], ends))

        def pullback(cotangents):
            names = list(cotangents)
            return tape.gradient([live[n] for n in names], x, [tf.convert_to_tensor(cotangents[n]) for n in names],
                                 unconnected_gradients=tf.UnconnectedGradients.ZERO).numpy()

        return {n: live[n].numpy() for n in outputs}, pullback


def _example(t):
    return tuple(None if d is None else int(d) for d in t.shape[1:])


def _activation(layer):
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def _ends_in_softmax(layer):
    return type(layer).__name__ == "Softmax" or (_activation(layer) == "softmax" and
                                                  (hasattr(layer, "kernel") and len(layer.kernel.shape) == 2 or type(layer).__name__ == "Activation"))


def _digest(model):
    h = hashlib.sha256()
    for w in model.get_weights():
        h.update(str(w.shape).encode() + np.ascontiguousarray(w).tobytes())
    return "sha256:" + h.hexdigest()


def serve(model, **options):
    """The whole main of a plugin around a Keras model; options as Keras."""
    _serve(Keras(model, **options))
