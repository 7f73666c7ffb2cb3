"""Layers of Keras in a spec's words. Keras's are what the words are taken from, so names and numbers carry over."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import numpy as np

from .nets import Builder, Net, Shape, UnsupportedError

ACTIVATIONS = ("linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "sigmoid", "softmax")
_ALIASES = {"swish": "silu", "identity": "linear", "softmax_v2": "softmax"}  # the last is tf.nn.softmax

_SKIPPED = ("InputLayer", "ActivityRegularization", "Identity")


def read_keras(model: Any, inputs: Optional[Shape]) -> Net:
    """A Keras Sequential, or another model whose layers follow one on the other."""
    if not hasattr(model, "layers"):
        raise UnsupportedError(f"{type(model).__name__} is no Sequential")
    if not getattr(model, "built", False) or _shape(model, "input_shape") is None:
        if inputs is None:
            raise UnsupportedError("its input shape is not known: begin with an Input layer")
        model.build((None, *inputs))
    b = Builder()
    _layers(model, b)
    return b.net(_shape(model, "input_shape"), _shape(model, "output_shape"))


def _layers(model: Any, b: Builder) -> None:
    before = None
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            before = layer.output if hasattr(layer, "output") else None
            continue
        if type(model).__name__ == "Functional" and before is not None and layer.input is not before:
            raise UnsupportedError(f"layer {layer.name} does not take what the layer before it gives: want a Sequential")
        before = layer.output if hasattr(layer, "_inbound_nodes") and layer._inbound_nodes else None
        if kind in _SKIPPED:
            continue
        if kind in ("Sequential", "Functional"):
            _layers(layer, b)
            continue
        if kind not in _READERS:
            raise UnsupportedError(f"layer {layer.name} is {kind}, which has no counterpart; there are {', '.join(sorted(_READERS))}")
        if layer.get_config().get("data_format") == "channels_first":
            raise UnsupportedError(f"layer {layer.name} has its channels first: want channels_last, Keras's default")
        _READERS[kind](layer, layer.get_config(), b)


def _shape(model: Any, name: str) -> Optional[Shape]:
    try:
        shape = getattr(model, name)
    except (AttributeError, ValueError, RuntimeError):
        return None
    if shape is None or any(d is None for d in shape[1:]):
        return None
    return tuple(int(d) for d in shape[1:])


def _activation(layer: Any) -> Any:
    f = getattr(layer, "activation", None)
    name = getattr(f, "__name__", None) or type(f).__name__.lower()
    name = _ALIASES.get(name, name)
    if f is None:
        return None
    if name == "leakyrelu":
        return {"leaky_relu": {"negative_slope": _slope(f)}}
    if name not in ACTIVATIONS:
        raise UnsupportedError(f"layer {layer.name} has the activation {name}; there are {', '.join(ACTIVATIONS)}")
    return None if name == "linear" else name


def _slope(layer: Any) -> float:
    return float(getattr(layer, "negative_slope", getattr(layer, "alpha", 0.3)))


def _linear(layer: Any, config: Mapping[str, Any], *more: Tuple[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Options and weights that layers with a kernel share."""
    for key in ("dilation_rate", "groups"):
        if any(d != 1 for d in np.ravel(config.get(key, 1))):
            raise UnsupportedError(f"layer {layer.name} has {key} {config[key]}, want 1")
    options: Dict[str, Any] = dict(more)
    options["activation"] = _activation(layer)
    options["use_bias"] = None if config.get("use_bias", True) else False
    for key in ("l1", "l2"):
        regularizer = getattr(layer, "kernel_regularizer", None) or getattr(layer, "depthwise_regularizer", None)
        if regularizer is not None and float(getattr(regularizer, key, 0) or 0):
            options["kernel_" + key] = float(getattr(regularizer, key))
    values = [np.asarray(w) for w in layer.get_weights()]
    if not values:
        raise UnsupportedError(f"layer {layer.name} has no weights yet: begin with an Input layer")
    return options, dict(zip(("kernel", "bias"), values))


def _window(config: Mapping[str, Any], *names: str) -> Tuple[Tuple[str, Any], ...]:
    return tuple((n, config.get(n)) for n in names)


def _dense(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
    b.add("dense", *_linear(layer, c, ("units", c["units"])))


def _conv(name: str, *more: str) -> Callable[[Any, Mapping[str, Any], Builder], None]:
    def read(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
        b.add(name, *_linear(layer, c, *_window(c, *more, "kernel_size", "strides", "padding")))

    return read


def _pool(name: str) -> Callable[[Any, Mapping[str, Any], Builder], None]:
    return lambda layer, c, b: b.add(name, dict(_window(c, "pool_size", "strides", "padding")))


def _options(name: str, *keys: str) -> Callable[[Any, Mapping[str, Any], Builder], None]:
    return lambda layer, c, b: b.add(name, {k: c[k] for k in keys})


def _norm(name: str, *keys: str) -> Callable[[Any, Mapping[str, Any], Builder], None]:
    def read(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
        rank = len(layer.input.shape) if hasattr(layer, "input") else 0
        axis = [a - rank if a > 0 and rank else a for a in np.ravel(c.get("axis", -1))]
        if axis != [-1]:
            raise UnsupportedError(f"layer {layer.name} normalises axis {c['axis']}, want the last one")
        weights = {k: getattr(layer, k) for k in ("gamma", "beta", "moving_mean", "moving_variance") if getattr(layer, k, None) is not None}
        b.add(name, {k: c[k] for k in keys}, {k: np.asarray(w) for k, w in weights.items()})

    return read


def _up(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
    b.add("up_sampling2d", {"size": c["size"], "interpolation": c["interpolation"]})


def _relu(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
    if c.get("max_value") is not None or c.get("threshold"):
        raise UnsupportedError(f"layer {layer.name} is a ReLU with a limit or a threshold")
    if c.get("negative_slope"):
        b.add("leaky_relu", {"negative_slope": c["negative_slope"]})
    else:
        b.add("activation", {"activation": "relu"})


def _softmax(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
    b.add("activation", {"activation": "softmax"})


def _rescaling(layer: Any, c: Mapping[str, Any], b: Builder) -> None:
    if np.ndim(c["scale"]) or np.ndim(c["offset"]):
        raise UnsupportedError(f"layer {layer.name} rescales each channel on its own")
    b.add("rescaling", {"scale": c["scale"], "offset": c["offset"]})


_READERS: Dict[str, Callable[[Any, Mapping[str, Any], Builder], None]] = {
    "Dense": _dense,
    "Conv2D": _conv("conv2d", "filters"),
    "Conv2DTranspose": _conv("conv2d_transpose", "filters", "output_padding"),
    "DepthwiseConv2D": _conv("depthwise_conv2d", "depth_multiplier"),
    "MaxPooling2D": _pool("max_pooling2d"),
    "AveragePooling2D": _pool("average_pooling2d"),
    "GlobalAveragePooling2D": _options("global_average_pooling2d", "keepdims"),
    "UpSampling2D": _up,
    "ZeroPadding2D": _options("zero_padding2d", "padding"),
    "Cropping2D": _options("cropping2d", "cropping"),
    "Flatten": lambda layer, c, b: b.add("flatten"),
    "Reshape": _options("reshape", "target_shape"),
    "Dropout": _options("dropout", "rate"),
    "GaussianNoise": _options("gaussian_noise", "stddev"),
    "BatchNormalization": _norm("batch_normalization", "momentum", "epsilon", "center", "scale"),
    "LayerNormalization": _norm("layer_normalization", "epsilon", "center", "scale"),
    "Rescaling": _rescaling,
    "Activation": lambda layer, c, b: b.add("activation", {"activation": _activation(layer) or "linear"}),
    "LeakyReLU": lambda layer, c, b: b.add("leaky_relu", {"negative_slope": _slope(layer)}),
    "ReLU": _relu,
    "ELU": lambda layer, c, b: b.add("activation", {"activation": {"elu": {"alpha": float(c["alpha"])}}}),
    "Softmax": _softmax,
}
