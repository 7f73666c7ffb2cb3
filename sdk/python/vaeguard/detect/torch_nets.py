"""Modules of PyTorch in a spec's words. Its images have their channels first, and vaeguard's have them last: where a
vector is made of an image, or an image of a vector, the weights next to it are put in the other order."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ..classifier import Floats
from .nets import Builder, Net, Shape, UnsupportedError, size


def read_torch(module: Any, inputs: Optional[Shape], free: bool = False) -> Net:
    """A torch Sequential, nested ones included. inputs are per example, images as vaeguard has them (NHWC). free: nothing
    that has weights already follows, so that it may end in an image made a vector, in vaeguard's order.
    """
    walk = _Walk(inputs)
    for name, part in _leaves(module, ""):
        kind = type(part).__name__
        if kind in ("Identity", "Dropout1d"):
            continue
        if kind not in _READERS:
            raise UnsupportedError(f"module {name} is {kind}, which has no counterpart; there are {', '.join(sorted(_READERS))}")
        try:
            _READERS[kind](walk, part)
        except UnsupportedError as e:
            raise UnsupportedError(f"module {name}, {kind}: {e}") from None
    if walk.order is not None and not free:
        raise UnsupportedError("it ends in an image made a vector: let a Linear layer follow")
    return walk.b.net(inputs, walk.shape)


def _leaves(module: Any, name: str) -> List[Tuple[str, Any]]:
    if type(module).__name__ not in ("Sequential", "ModuleList"):
        return [(name or type(module).__name__, module)]
    return [leaf for n, part in module.named_children() for leaf in _leaves(part, f"{name}.{n}" if name else n)]


class _Walk:
    """Where a net has got to. shape: NHWC or a vector's; None: not known. order: of a vector that was an image, for
    each number of vaeguard's (H, W, C) where torch's (C, H, W) has it; None: the same."""

    def __init__(self, shape: Optional[Shape]) -> None:
        self.b = Builder()
        self.shape = shape
        self.order: Optional[Any] = None

    def known(self) -> Shape:
        if self.shape is None:
            raise UnsupportedError("the shape that it takes is not known here")
        return self.shape

    def image(self) -> Shape:
        if self.shape is not None and len(self.shape) != 3:
            raise UnsupportedError(f"takes an image, and what comes has the shape {self.shape}")
        return self.known()

    def activate(self, activation: Any) -> None:
        """Gives an activation to the layer before, or makes it one of its own."""
        layers, at = self.b.layers, len(self.b.layers) - 1
        while at >= 0 and isinstance(layers[at], dict) and next(iter(layers[at])) == "cropping2d":
            at -= 1
        if at >= 0:
            layer = layers[at]
            if isinstance(layer, dict):
                ((name, options),) = layer.items()
                if (
                    name in ("dense", "conv2d", "conv2d_transpose", "depthwise_conv2d")
                    and "activation" not in options
                    and activation != "softmax"
                ):
                    options["activation"] = activation
                    return
        self.b.add("activation", {"activation": activation})


def _pair(v: Any) -> Tuple[int, int]:
    a, b = (v, v) if isinstance(v, int) else v
    return int(a), int(b)


def _array(t: Any) -> Floats:
    a: Floats = t.detach().float().cpu().numpy()
    return a


def _linear(w: _Walk, m: Any) -> None:
    if w.shape is not None and len(w.shape) == 3:
        raise UnsupportedError("a Linear layer on an image: want a Flatten before it")
    if w.shape is not None and w.shape[-1] != m.in_features:
        raise UnsupportedError(f"takes {m.in_features} numbers, and {w.shape[-1]} come")
    kernel = _array(m.weight).T
    if w.order is not None:
        kernel, w.order = kernel[w.order], None
    weights = {"kernel": kernel}
    if m.bias is not None:
        weights["bias"] = _array(m.bias)
    w.b.add("dense", {"units": m.out_features, "use_bias": None if m.bias is not None else False}, weights)
    w.shape = (m.out_features,)


def _conv(w: _Walk, m: Any) -> None:
    h, wide, c = w.image()
    k, s = _pair(m.kernel_size), _pair(m.stride)
    if _pair(m.dilation) != (1, 1) or m.padding_mode != "zeros":
        raise UnsupportedError("want no dilation, and zeros for padding")
    if c != m.in_channels:
        raise UnsupportedError(f"takes {m.in_channels} channels, and {c} come")
    depthwise = m.groups == m.in_channels and m.groups > 1
    if m.groups != 1 and not depthwise:
        raise UnsupportedError(f"has {m.groups} groups, want 1 or as many as channels")
    options: Dict[str, Any] = {"kernel_size": k, "strides": s, "use_bias": None if m.bias is not None else False}
    if m.padding == "same":
        options["padding"] = "same"
        p = None
    else:
        p = (0, 0) if m.padding == "valid" else _pair(m.padding)
        if s == (1, 1) and all(2 * a == b - 1 for a, b in zip(p, k)):
            options["padding"], p = "same", None
    if p and any(p):
        w.b.add("zero_padding2d", {"padding": p})
        h, wide = h + 2 * p[0], wide + 2 * p[1]
    weights = {"kernel": _array(m.weight).transpose(2, 3, 1, 0)}
    if depthwise:
        multiplier = m.out_channels // m.in_channels
        weights = {"kernel": _array(m.weight).reshape(c, multiplier, *k).transpose(2, 3, 0, 1)}
        options["depth_multiplier"] = multiplier
    else:
        options["filters"] = m.out_channels
    if m.bias is not None:
        weights["bias"] = _array(m.bias)
    w.b.add("depthwise_conv2d" if depthwise else "conv2d", options, weights)
    same = options.get("padding") == "same"
    out = [-(-a // b) if same else (a - q) // b + 1 for a, q, b in zip((h, wide), k, s)]
    w.shape = (out[0], out[1], m.out_channels)


def _transposed(w: _Walk, m: Any) -> None:
    h, wide, c = w.image()
    k, s, p, more = _pair(m.kernel_size), _pair(m.stride), _pair(m.padding), _pair(m.output_padding)
    if _pair(m.dilation) != (1, 1) or m.groups != 1:
        raise UnsupportedError("want neither dilation nor groups")
    if c != m.in_channels:
        raise UnsupportedError(f"takes {m.in_channels} channels, and {c} come")
    options = {
        "filters": m.out_channels,
        "kernel_size": k,
        "strides": s,
        "padding": "valid",
        "output_padding": more if any(s) and all(a < b for a, b in zip(more, s)) else None,
        "use_bias": None if m.bias is not None else False,
    }
    weights = {"kernel": _array(m.weight).transpose(2, 3, 1, 0)}
    if m.bias is not None:
        weights["bias"] = _array(m.bias)
    w.b.add("conv2d_transpose", options, weights)
    out = [(a - 1) * b + q + extra for a, b, q, extra in zip((h, wide), s, k, more)]
    if any(p):
        w.b.add("cropping2d", {"cropping": p})
        out = [a - 2 * q for a, q in zip(out, p)]
    w.shape = (out[0], out[1], m.out_channels)


def _flatten(w: _Walk, m: Any) -> None:
    if m.start_dim != 1 or m.end_dim != -1:
        raise UnsupportedError(f"flattens dimensions {m.start_dim} to {m.end_dim}, want all but the first")
    shape = w.known()
    if len(shape) == 3:
        h, wide, c = shape
        w.order = np.arange(size(shape)).reshape(c, h, wide).transpose(1, 2, 0).ravel()
    w.b.add("flatten")
    w.shape = (size(shape),)


def _unflatten(w: _Walk, m: Any) -> None:
    shape = tuple(int(d) for d in m.unflattened_size)
    if m.dim not in (1, -1) or len(shape) not in (1, 3):
        raise UnsupportedError("want dimension 1 made channels, height and width")
    if len(shape) == 1:
        return
    c, h, wide = shape
    if w.shape is not None and size(w.shape) != size(shape):
        raise UnsupportedError(f"makes {shape} of {size(w.shape)} numbers")
    order = np.arange(size(shape)).reshape(c, h, wide).transpose(1, 2, 0).ravel()
    if w.order is not None:
        w.order = None
        w.b.add("reshape", {"target_shape": (h, wide, c)})
        w.shape = (h, wide, c)
        return
    layers, at = w.b.layers, len(w.b.layers) - 1
    while at >= 0 and isinstance(layers[at], dict) and next(iter(layers[at])) in ("activation", "leaky_relu", "dropout"):
        at -= 1
    last = layers[at] if at >= 0 else None
    if not (isinstance(last, dict) and "dense" in last):
        raise UnsupportedError("an image made of numbers that no Linear layer gives: put one before it")
    for name in ("kernel", "bias"):
        key = f"{at}.{name}"
        if key in w.b.weights:
            w.b.weights[key] = np.ascontiguousarray(w.b.weights[key][..., order])
    w.b.add("reshape", {"target_shape": (h, wide, c)})
    w.shape = (h, wide, c)


def _batch_norm(w: _Walk, m: Any) -> None:
    if w.order is not None:
        raise UnsupportedError("it stands on an image made a vector: let a Linear layer stand between")
    if m.momentum is None or not m.track_running_stats:
        raise UnsupportedError("want moving averages with a momentum")
    weights = {"moving_mean": _array(m.running_mean), "moving_variance": _array(m.running_var)}
    if m.affine:
        weights.update(gamma=_array(m.weight), beta=_array(m.bias))
    options = {"momentum": 1 - m.momentum, "epsilon": m.eps, "center": bool(m.affine), "scale": bool(m.affine)}
    w.b.add("batch_normalization", options, weights)


def _layer_norm(w: _Walk, m: Any) -> None:
    if len(m.normalized_shape) != 1 or w.order is not None or (w.shape is not None and len(w.shape) != 1):
        raise UnsupportedError("want a vector to normalise")
    affine = bool(m.elementwise_affine)
    weights = {"gamma": _array(m.weight), "beta": _array(m.bias)} if affine else {}
    w.b.add("layer_normalization", {"epsilon": m.eps, "center": affine, "scale": affine}, weights)


def _pool(name: str) -> Callable[[_Walk, Any], None]:
    def read(w: _Walk, m: Any) -> None:
        h, wide, c = w.image()
        k = _pair(m.kernel_size)
        s = _pair(m.stride if m.stride is not None else m.kernel_size)
        if _pair(m.padding) != (0, 0) or m.ceil_mode or _pair(getattr(m, "dilation", 1)) != (1, 1):
            raise UnsupportedError("want no padding, no dilation and no ceil_mode")
        w.b.add(name, {"pool_size": k, "strides": s})
        w.shape = ((h - k[0]) // s[0] + 1, (wide - k[1]) // s[1] + 1, c)

    return read


def _global(w: _Walk, m: Any) -> None:
    if _pair(m.output_size) != (1, 1):
        raise UnsupportedError("want one number a channel")
    w.b.add("global_average_pooling2d", {"keepdims": True})
    w.shape = (1, 1, w.image()[2])


def _up(w: _Walk, m: Any) -> None:
    h, wide, c = w.image()
    factor = m.scale_factor
    if factor is None or m.mode != "nearest" or any(float(f) != int(f) for f in np.ravel(factor)):
        raise UnsupportedError("want whole factors, and nearest neighbours")
    a, b = (int(f) for f in np.broadcast_to(np.ravel(factor), 2))
    w.b.add("up_sampling2d", {"size": (a, b)})
    w.shape = (h * a, wide * b, c)


def _pad(w: _Walk, m: Any) -> None:
    left, right, top, bottom = m.padding
    h, wide, c = w.image()
    w.b.add("zero_padding2d", {"padding": [[top, bottom], [left, right]]})
    w.shape = (h + top + bottom, wide + left + right, c)


def _softmax(w: _Walk, m: Any) -> None:
    if m.dim not in (1, -1) or (w.shape is not None and len(w.shape) != 1):
        raise UnsupportedError("want a vector, and dim=1")
    w.activate("softmax")


def _gelu(w: _Walk, m: Any) -> None:
    if getattr(m, "approximate", "none") != "none":
        raise UnsupportedError("want the exact GELU")
    w.activate("gelu")


def _plain(name: str) -> Callable[[_Walk, Any], None]:
    return lambda w, m: w.activate(name)


_READERS: Mapping[str, Callable[[_Walk, Any], None]] = {
    "Linear": _linear,
    "Conv2d": _conv,
    "ConvTranspose2d": _transposed,
    "Flatten": _flatten,
    "Unflatten": _unflatten,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "MaxPool2d": _pool("max_pooling2d"),
    "AvgPool2d": _pool("average_pooling2d"),
    "AdaptiveAvgPool2d": _global,
    "Upsample": _up,
    "ZeroPad2d": _pad,
    "Dropout": lambda w, m: w.b.add("dropout", {"rate": m.p}),
    "Dropout2d": lambda w, m: w.b.add("dropout", {"rate": m.p}),
    "ReLU": _plain("relu"),
    "LeakyReLU": lambda w, m: w.activate({"leaky_relu": {"negative_slope": float(m.negative_slope)}}),
    "ELU": lambda w, m: w.activate({"elu": {"alpha": float(m.alpha)}}),
    "SELU": _plain("selu"),
    "GELU": _gelu,
    "SiLU": _plain("silu"),
    "Softplus": _plain("softplus"),
    "Tanh": _plain("tanh"),
    "Sigmoid": _plain("sigmoid"),
    "Softmax": _softmax,
}
