"""Keras networks from a vaeguard spec, with weights from its safetensors files.

A spec's layers have Keras's names and options and its files Keras's layouts, so
a layer is the Keras class of that name and its weights go in as they are.
"""
import os

import numpy as np
import tensorflow as tf
import yaml
from safetensors.numpy import load_file

# Options of vaeguard alone, at the values that mean what Keras does anyway.
INERT = {"kernel_l1": 0, "kernel_l2": 0}
UNKNOWN = {"residual": "has no Keras class"}


def read_spec(directory):
    """The resolved spec and the directory of a detector, also of a run's."""
    inside = os.path.join(directory, "detector")
    directory = inside if os.path.exists(os.path.join(inside, "detector.yaml")) else directory
    with open(os.path.join(directory, "detector.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f), directory


def component(entry):
    """(name, options) of a component: a bare name, or a mapping of one key."""
    if isinstance(entry, str):
        return entry, {}
    (name, options), = entry.items()
    return name, dict(options or {})


def layer(entry):
    """The Keras layer of one entry of a list of layers."""
    name, options = component(entry)
    if name in UNKNOWN:
        raise SystemExit(f"layer {name} {UNKNOWN[name]}: compare a detector without it")
    for key, value in INERT.items():
        if options.pop(key, value) != value:
            raise SystemExit(f"layer {name}: {key} is not supported here")
    if name == "activation":
        return tf.keras.layers.Activation(options.get("activation", "linear"))
    special = {"conv2d": "Conv2D", "conv2d_transpose": "Conv2DTranspose", "depthwise_conv2d": "DepthwiseConv2D",
               "max_pooling2d": "MaxPooling2D", "average_pooling2d": "AveragePooling2D", "leaky_relu": "LeakyReLU",
               "global_average_pooling2d": "GlobalAveragePooling2D", "up_sampling2d": "UpSampling2D", "zero_padding2d": "ZeroPadding2D"}
    kind = getattr(tf.keras.layers, special.get(name) or "".join(w.title() for w in name.split("_")))
    for key in ("pool_size", "strides"):
        if options.get(key) in (None, 0):
            options.pop(key, None)
    return kind(**options)


def sequential(shape, entries, *more):
    """A tf.keras.Sequential of the entries, then of more, on inputs of shape."""
    net = tf.keras.Sequential([tf.keras.layers.InputLayer(tuple(shape))])
    for entry in entries:
        net.add(layer(entry))
    for extra in more:
        net.add(extra)
    return net


def assign(net, weights, prefix):
    """Put weights named PREFIX i.kernel and so on into layer i of net.

    Every variable must be there with its shape, and nothing may be left over.
    """
    left = {k for k in weights if k.startswith(prefix)}
    for i, l in enumerate(net.layers):
        values = []
        for v in l.weights:
            name = f"{prefix}{i}.{v.name.split('/')[-1].split(':')[0].replace('depthwise_kernel', 'kernel')}"
            if name not in weights or weights[name].shape != tuple(v.shape):
                raise SystemExit(f"weights have {name} as {weights[name].shape if name in weights else 'nothing'}, Keras wants {tuple(v.shape)}")
            values.append(weights[name])
            left.discard(name)
        if values:
            l.set_weights(values)
    if left:
        raise SystemExit(f"weights have {sorted(left)[0]}, which the layers do not")


def classifier(spec, directory, shape):
    """The classifier that vaeguard trained, answering probabilities."""
    config = spec["classifier"].get("config") or {}
    weights = load_file(os.path.join(directory, "classifier", "weights.safetensors"))
    last = max(int(k.split(".")[0]) for k in weights)
    classes = weights[f"{last}.kernel"].shape[-1]
    net = sequential(shape, config["layers"], tf.keras.layers.Dense(classes))
    assign(net, weights, "")
    net.add(tf.keras.layers.Softmax())
    return net


def autoencoder(spec, shape, weights=None):
    """(encoder, decoder) of a detector of method ae; weights None: fresh ones."""
    if spec["detector"]["method"] != "ae":
        raise SystemExit(f"the detector's method is {spec['detector']['method']}: AdversarialAE is vaeguard's method ae")
    if spec["vae"].get("normalize", "none") != "none":
        raise SystemExit("vae.normalize is set, which AdversarialAE does not know")
    encoder = sequential(shape, spec["vae"]["encoder"])
    decoder = sequential((spec["vae"]["latent_dim"],), spec["vae"]["decoder"])
    if weights is not None:
        assign(encoder, weights, "encoder.")
        assign(decoder, weights, "decoder.")
    return encoder, decoder


def probabilities(net, x, batch=500):
    """What a network answers on rows, batch by batch."""
    return np.concatenate([net(x[i:i + batch]).numpy() for i in range(0, len(x), batch)])


def values(net, prefix):
    """The weights of a network under the names that assign reads."""
    return {f"{prefix}{i}.{v.name.split('/')[-1].split(':')[0]}": v.numpy() for i, l in enumerate(net.layers) for v in l.weights}
