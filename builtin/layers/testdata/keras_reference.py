"""Writes keras.json: what Keras 3 makes of every layer, forward and backward.

    pip install keras jax tensorflow-cpu
    KERAS_BACKEND=jax python keras_reference.py > keras.json

Each case is a layer as a spec writes it, its params under vaeguard's names, an
input x, a gradient dy at the result y, and the gradients of sum(y * dy) at x
and at the params. TestKeras compares.
"""

import json
import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
import tensorflow as tf
from keras import layers as kl

rng = np.random.default_rng(7)

# (layer of a spec, the same in Keras, shape of an example, training)
D, C, T, W = "dense", "conv2d", "conv2d_transpose", "depthwise_conv2d"
CASES = []


def case(name, options, make, shape, training=False):
    CASES.append(({name: options}, make, shape, training))


for act in ["linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "sigmoid", "softmax"]:
    # Keras's name gelu stands for the exact form.
    case("activation", {"activation": act}, lambda act=act: kl.Activation(act), (6,))
case(D, {"units": 3, "activation": "relu"}, lambda: kl.Dense(3, activation="relu"), (5,))
case(D, {"units": 3, "activation": "softmax"}, lambda: kl.Dense(3, activation="softmax"), (2, 4))
for pad in ["same", "valid"]:
    for k, s, shape in [(3, 1, (5, 4, 2)), (2, 1, (4, 5, 1)), (4, 2, (6, 5, 2)), ([2, 3], 2, (5, 5, 2)), (3, [1, 2], (5, 6, 1)), (1, 2, (5, 4, 2)), (2, 3, (7, 5, 1))]:
        o = {"filters": 2, "kernel_size": k, "strides": s, "padding": pad, "activation": "tanh"}
        case(C, o, lambda o=o: kl.Conv2D(**o), shape)
        p = dict(o, activation="linear")
        case(T, p, lambda p=p: kl.Conv2DTranspose(**p), (3, 4, 2))
    for k, s, m in [(3, 1, 1), (3, 2, 2), (2, 2, 1)]:
        o = {"kernel_size": k, "strides": s, "padding": pad, "depth_multiplier": m}
        case(W, o, lambda o=o: kl.DepthwiseConv2D(**o), (5, 6, 2))
    for k, s in [(2, None), (3, 2), ([2, 3], 1)]:
        o = {"pool_size": k, "padding": pad}
        if s:
            o["strides"] = s
        case("max_pooling2d", o, lambda o=o: kl.MaxPooling2D(**o), (5, 4, 2))
        case("average_pooling2d", o, lambda o=o: kl.AveragePooling2D(**o), (5, 4, 2))
case("global_average_pooling2d", {}, lambda: kl.GlobalAveragePooling2D(), (3, 4, 2))
for interpolation in ["nearest", "bilinear"]:
    for size in [2, [3, 2]]:
        o = {"size": size, "interpolation": interpolation}
        case("up_sampling2d", o, lambda o=o: kl.UpSampling2D(**o), (3, 4, 2))
case("zero_padding2d", {"padding": [[1, 0], [2, 3]]}, lambda: kl.ZeroPadding2D(((1, 0), (2, 3))), (2, 3, 2))
case("zero_padding2d", {}, lambda: kl.ZeroPadding2D(), (2, 3, 1))
case("flatten", {}, lambda: kl.Flatten(), (2, 3, 2))
case("reshape", {"target_shape": [-1, 2]}, lambda: kl.Reshape((-1, 2)), (2, 3, 2))
case("dropout", {"rate": 0.3}, lambda: kl.Dropout(0.3), (4,))
case("gaussian_noise", {"stddev": 0.3}, lambda: kl.GaussianNoise(0.3), (4,))
case("rescaling", {"scale": 0.5, "offset": -1}, lambda: kl.Rescaling(0.5, -1), (4,))
case("leaky_relu", {}, lambda: kl.LeakyReLU(), (6,))
for training in [False, True]:
    case("batch_normalization", {}, lambda: kl.BatchNormalization(), (3, 2, 2), training)
    case("batch_normalization", {"momentum": 0.9, "scale": False}, lambda: kl.BatchNormalization(momentum=0.9, scale=False), (4,), training)
case("layer_normalization", {}, lambda: kl.LayerNormalization(), (3, 5))
case("layer_normalization", {"center": False}, lambda: kl.LayerNormalization(center=False), (5,))


class Residual(keras.Layer):
    def __init__(self, inner, shortcut, activation):
        super().__init__()
        self.inner, self.shortcut, self.activation = inner, shortcut, keras.activations.get(activation)

    def build(self, shape):
        self.inner.build(shape)
        if self.shortcut:
            self.shortcut.build(shape)

    def call(self, x, training=False):
        y = self.inner(x)
        return self.activation(y + (self.shortcut(x) if self.shortcut else x))


case("residual", {"layers": [{D: {"units": 4, "activation": "tanh"}}], "activation": "relu"},
     lambda: Residual(kl.Dense(4, activation="tanh"), None, "relu"), (4,))
case("residual", {"layers": [{C: {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}}], "shortcut": "projection"},
     lambda: Residual(kl.Conv2D(3, 3, strides=2, padding="same"), kl.Conv2D(3, 1, strides=2, padding="same"), "linear"), (5, 4, 2))

for pad in ["same", "valid"]:
    for k, s, p in [(3, 2, 0), (3, 2, 1), (4, 2, 0), (2, 2, 1), ([3, 2], [2, 3], [0, 2]), (1, 3, 2), (2, 4, 3), (3, 1, 0), (5, 3, 1)]:
        o = {"filters": 2, "kernel_size": k, "strides": s, "padding": pad, "output_padding": p}
        case(T, o, lambda o=o: kl.Conv2DTranspose(**o), (2, 3, 2))
case("cropping2d", {}, lambda: kl.Cropping2D(), (2, 3, 1))
for cropping in [1, [2, 1], [[0, 1], [2, 0]]]:
    case("cropping2d", {"cropping": cropping}, lambda c=cropping: kl.Cropping2D(c), (5, 4, 2))
for interpolation in ["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"]:
    for shape, h, w in [((4, 6, 1), 7, 3), ((7, 5, 2), 3, 5), ((2, 1, 1), 5, 4), ((3, 9, 1), 9, 6)]:
        o = {"height": h, "width": w, "interpolation": interpolation}
        case("resizing", o, lambda o=o: kl.Resizing(**o), shape)
for shape, h, w in [((5, 8, 1), 4, 4), ((7, 3, 2), 5, 5)]:
    o = {"height": h, "width": w, "crop_to_aspect_ratio": True}
    case("resizing", o, lambda o=o: kl.Resizing(**o), shape)


class Area(keras.Layer):
    """tf.image.resize by area, whose gradient TensorFlow does not have: as the linear map that it is."""

    def __init__(self, height, width):
        super().__init__()
        self.size = (height, width)

    def build(self, shape):
        size = int(np.prod(shape[1:]))
        basis = np.eye(size, dtype=np.float32).reshape(size, *shape[1:])
        self.map = tf.image.resize(basis, self.size, method="area").numpy().reshape(size, -1)

    def call(self, x):
        return (x.reshape(len(x), -1) @ self.map).reshape(len(x), *self.size, x.shape[-1])


for shape, h, w in [((4, 6, 1), 7, 3), ((7, 5, 2), 3, 5), ((2, 1, 1), 5, 4), ((3, 9, 1), 9, 6)]:
    case("resizing", {"height": h, "width": w, "interpolation": "area"}, lambda h=h, w=w: Area(h, w), shape)


def name_of(layer, variable):
    """vaeguard's name of a variable."""
    if not isinstance(layer, Residual):
        return variable.name
    inner = any(v is variable for v in layer.inner.variables)
    return ("layers.0." if inner else "shortcut.") + variable.name


def numbers(a):
    return [float(f"{v:.8g}") for v in np.asarray(a, np.float32).ravel()]


def run(spec, make, shape, training):
    layer = make()
    layer.build((None,) + shape)
    for v in layer.variables:
        if v.dtype == "float32":
            low, high = (0.5, 1.5) if "variance" in v.name or "gamma" in v.name else (-0.7, 0.7)
            v.assign(rng.uniform(low, high, v.shape).astype(np.float32))
    x = rng.standard_normal((3,) + shape).astype(np.float32)
    trainable = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    kwargs = {"training": training} if training or "batch_normalization" in spec or "dropout" in spec or "gaussian_noise" in spec else {}

    def forward(trainable, x):
        return layer.stateless_call(trainable, rest, x, **kwargs)

    y, after = forward(trainable, x)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    grads, dx = jax.grad(lambda t, x: (forward(t, x)[0] * dy).sum(), argnums=(0, 1))(trainable, x)
    params = {name_of(layer, v): numbers(v.value) for v in layer.variables if v.dtype == "float32"}
    gradients = {name_of(layer, v): numbers(g) for v, g in zip(layer.trainable_variables, grads)}
    out = {
        "layer": spec, "in": list(shape), "out": list(y.shape[1:]), "training": training,
        "params": params, "x": numbers(x), "dy": numbers(dy), "y": numbers(y), "dx": numbers(dx), "grads": gradients,
    }
    if training:
        out["statistics"] = {name_of(layer, v): numbers(a) for v, a in zip(layer.non_trainable_variables, after) if v.dtype == "float32"}
    return out


jax.config.update("jax_default_matmul_precision", "highest")
lines = [json.dumps(run(*c)) for c in CASES]
print('{"keras": "' + keras.__version__ + '", "cases": [\n' + ",\n".join(lines) + "\n]}")
