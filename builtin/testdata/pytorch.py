"""An independent implementation of vaeguard's layers, auto-encoder and scores in PyTorch.

    pytorch.py layers CASE.safetensors…   each layer's forward pass and gradients
    pytorch.py detector DIR X.npy RESULT.npz   reconstructions and scores of a trained detector

Everything is computed in float64 from the definitions, not from vaeguard's code.
It prints the largest differences and exits 1 if one exceeds 1e-4 (relative to
max(1, |value|)).
"""
import json
import math
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

TOLERANCE = 1e-4


def read_safetensors(path):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        body = f.read()
    meta = header.pop("__metadata__", {})
    out = {}
    for name, t in header.items():
        lo, hi = t["data_offsets"]
        assert t["dtype"] == "F32", t
        out[name] = torch.from_numpy(np.frombuffer(body[lo:hi], "<f4").astype(np.float64).reshape(t["shape"]))
    return out, meta


def pair(v):
    return (v, v) if isinstance(v, (int, float)) else tuple(v)


def activation(name, x, alpha=None):
    if isinstance(name, dict):
        (name, options), = name.items()
        options = options or {}
        alpha = options.get("negative_slope", options.get("alpha"))
    return {
        None: lambda: x, "": lambda: x, "linear": lambda: x, "relu": lambda: F.relu(x),
        "leaky_relu": lambda: F.leaky_relu(x, 0.2 if alpha is None else alpha),
        "elu": lambda: F.elu(x, 1.0 if alpha is None else alpha), "selu": lambda: F.selu(x),
        "gelu": lambda: F.gelu(x), "silu": lambda: F.silu(x), "softplus": lambda: torch.logaddexp(x, torch.zeros_like(x)),
        "tanh": lambda: torch.tanh(x), "sigmoid": lambda: torch.sigmoid(x), "softmax": lambda: torch.softmax(x, -1),
    }[name]()


def same_pads(size, k, s, d=1):
    k = (k - 1) * d + 1
    total = max((-(-size // s) - 1) * s + k - size, 0)
    return total // 2, total - total // 2


def pad_same(x, k, s, d=(1, 1), value=0.0):  # NCHW
    t, b = same_pads(x.shape[2], k[0], s[0], d[0])
    l, r = same_pads(x.shape[3], k[1], s[1], d[1])
    return F.pad(x, (l, r, t, b), value=value)


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def conv2d(o, p, x):
    k, s, d = pair(o["kernel_size"]), pair(o.get("strides", 1)), pair(o.get("dilation_rate", 1))
    x = nchw(x)
    if o.get("padding", "valid") == "same":
        x = pad_same(x, k, s, d)
    y = F.conv2d(x, p["kernel"].permute(3, 2, 0, 1), p.get("bias"), stride=s, dilation=d)
    return activation(o.get("activation"), nhwc(y))


def conv2d_transpose(o, p, x):
    k, s = pair(o["kernel_size"]), pair(o.get("strides", 1))
    h, w = x.shape[1:3]
    y = F.conv_transpose2d(nchw(x), p["kernel"].permute(3, 2, 0, 1), stride=s)
    same = o.get("padding", "valid") == "same"
    more = o.get("output_padding")
    more = (None, None) if more is None else pair(more)
    out, lead = [], []
    for n, kk, ss, m in ((h, k[0], s[0], more[0]), (w, k[1], s[1], more[1])):
        if m is None:
            m = ss - kk % 2 if same else max(ss - kk, 0)
        out.append((n - 1) * ss + m + (kk % 2 if same else kk))
        lead.append(max((n - 1) * ss + kk - out[-1], 0) // 2)
    y = F.pad(y, (0, max(0, lead[1] + out[1] - y.shape[3]), 0, max(0, lead[0] + out[0] - y.shape[2])))
    y = nhwc(y[:, :, lead[0]:lead[0] + out[0], lead[1]:lead[1] + out[1]])
    if "bias" in p:
        y = y + p["bias"]
    return activation(o.get("activation"), y)


def depthwise_conv2d(o, p, x):
    k, s = pair(o["kernel_size"]), pair(o.get("strides", 1))
    w = p["kernel"]
    x = nchw(x)
    if o.get("padding", "valid") == "same":
        x = pad_same(x, k, s)
    y = F.conv2d(x, w.permute(2, 3, 0, 1).reshape(-1, 1, k[0], k[1]), p.get("bias"), stride=s, groups=w.shape[2])
    return activation(o.get("activation"), nhwc(y))


def pool(o, x, kind):
    k = pair(o.get("pool_size", 2))
    s = o.get("strides")
    s = k if s in (None, 0, [0, 0]) else pair(s)
    x = nchw(x)
    same = o.get("padding", "valid") == "same"
    if kind == "max":
        return nhwc(F.max_pool2d(pad_same(x, k, s, value=-math.inf) if same else x, k, s))
    ones = torch.ones_like(x)
    if same:
        x, ones = pad_same(x, k, s), pad_same(ones, k, s)
    return nhwc(F.avg_pool2d(x, k, s) / F.avg_pool2d(ones, k, s))


def zero_padding2d(o, x):
    v = o.get("padding", 1)
    (t, b), (l, r) = [pair(e) for e in pair(v)]
    return F.pad(x, (0, 0, l, r, t, b))


def cropping2d(o, x):
    (t, b), (l, r) = [pair(e) for e in pair(o.get("cropping", 0))]
    return F.pad(x, (0, 0, -l, -r, -t, -b))


def resizing_matrix(n, m, kind):
    """m×n: the weights of a resized dimension."""
    i, j = torch.arange(m, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None, :]
    if kind == "nearest":
        return (j == torch.floor((2 * i + 1) * n / (2 * m))).double()
    if kind == "area":
        return (torch.minimum((i + 1) * n / m, j + 1) - torch.maximum(i * n / m, j)).clamp(min=0) * m / n
    x = ((i + 0.5) * n / m - 0.5 - j).abs()
    if kind == "bicubic":
        w = torch.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2) * (x < 2)
    elif kind.startswith("lanczos"):
        r = int(kind[-1])
        w = torch.sinc(x) * torch.sinc(x / r) * (x < r)
    else:
        w = (1 - x).clamp(min=0)
    return w / w.sum(1, keepdim=True)


def resizing(o, x):
    h, w, (n, m) = o["height"], o["width"], x.shape[1:3]
    if o.get("crop_to_aspect_ratio"):
        a, b = max(min(n, m * h // w), 1), max(min(m, n * w // h), 1)
        x = x[:, (n - a) // 2:(n - a) // 2 + a, (m - b) // 2:(m - b) // 2 + b]
        n, m = a, b
    kind = o.get("interpolation", "bilinear")
    return torch.einsum("an,bm,inmc->iabc", resizing_matrix(n, h, kind), resizing_matrix(m, w, kind), x)


def batch_normalization(o, p, x, training):
    eps = o.get("epsilon", 1e-3)
    axes = tuple(range(x.dim() - 1))
    mean, var = (x.mean(axes), x.var(axes, unbiased=False)) if training else (p["moving_mean"], p["moving_variance"])
    y = (x - mean) / torch.sqrt(var + eps)
    return y * p.get("gamma", 1.0) + p.get("beta", 0.0)


def layer_normalization(o, p, x):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + o.get("epsilon", 1e-3)) * p.get("gamma", 1.0) + p.get("beta", 0.0)


def under(p, prefix):
    return {n[len(prefix):]: v for n, v in p.items() if n.startswith(prefix)}


def residual(o, p, x, training):
    y = sequence(o["layers"], under(p, "layers."), x, training)
    s = under(p, "shortcut.")
    if s:
        k = s["kernel"]
        if k.dim() == 2:
            short = x @ k
        else:
            stride = (-(-x.shape[1] // y.shape[1]), -(-x.shape[2] // y.shape[2]))
            short = nhwc(F.conv2d(nchw(x), k.permute(3, 2, 0, 1), stride=stride))
        x = short + s["bias"] if "bias" in s else short
    return activation(o.get("activation"), x + y)


def layer(name, o, p, x, training):
    if name == "dense":
        y = x @ p["kernel"]
        return activation(o.get("activation"), y + p["bias"] if "bias" in p else y)
    if name == "up_sampling2d":
        k = pair(o.get("size", 2))
        if o.get("interpolation", "nearest") == "bilinear":
            return nhwc(F.interpolate(nchw(x), scale_factor=k, mode="bilinear", align_corners=False))
        return x.repeat_interleave(int(k[0]), 1).repeat_interleave(int(k[1]), 2)
    return {
        "conv2d": lambda: conv2d(o, p, x), "conv2d_transpose": lambda: conv2d_transpose(o, p, x),
        "depthwise_conv2d": lambda: depthwise_conv2d(o, p, x),
        "max_pooling2d": lambda: pool(o, x, "max"), "average_pooling2d": lambda: pool(o, x, "average"),
        "global_average_pooling2d": lambda: x.mean((1, 2), keepdim=o.get("keepdims", False)), "zero_padding2d": lambda: zero_padding2d(o, x),
        "cropping2d": lambda: cropping2d(o, x), "resizing": lambda: resizing(o, x),
        "flatten": lambda: x.reshape(len(x), -1), "reshape": lambda: x.reshape(len(x), *o["target_shape"]),
        "dropout": lambda: x, "gaussian_noise": lambda: x,
        "batch_normalization": lambda: batch_normalization(o, p, x, training),
        "layer_normalization": lambda: layer_normalization(o, p, x),
        "rescaling": lambda: x * o.get("scale", 1.0) + o.get("offset", 0.0),
        "activation": lambda: activation(o.get("function", o.get("activation", o.get("name"))), x),
        "leaky_relu": lambda: F.leaky_relu(x, o.get("negative_slope", 0.3)),
        "residual": lambda: residual(o, p, x, training),
    }[name]()


def sequence(layers, p, x, training=False):
    for i, item in enumerate(layers):
        name, o = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        x = layer(name, o or {}, under(p, f"{i}."), x, training)
    return x


def difference(a, b):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return ((a - b).abs() / torch.clamp(b.abs(), min=1)).max().item() if a.numel() else 0.0


def check_layers(paths):
    worst = 0.0
    for path in paths:
        t, meta = read_safetensors(path)
        case = json.loads(meta["case"])
        x = t["x"].clone().requires_grad_(True)
        p = {n: v.clone().requires_grad_(True) for n, v in under(t, "param/").items()}
        y = sequence(case["layers"], p, x, case.get("training", False))
        y.backward(t["dy"])
        report = {"forward": difference(t["y"], y.detach()), "input gradient": difference(t["dx"], x.grad)}
        for n, g in under(t, "grad/").items():
            report["gradient of " + n] = difference(g, p[n].grad)
        bad = {k: v for k, v in report.items() if not v <= TOLERANCE}
        print(("FAIL" if bad else "ok  "), case["name"], "largest difference %.2g" % max(report.values()), bad or "")
        worst = max([worst] + list(report.values()))
    return worst


def check_detector(folder, x_file, result_file):
    import yaml
    with open(folder + "/detector.yaml") as f:
        spec = yaml.safe_load(f)
    with open(folder + "/meta.json") as f:
        json.load(f)
    w, _ = read_safetensors(folder + "/weights.safetensors")
    x = torch.from_numpy(np.load(x_file).astype(np.float64))
    clf = spec["classifier"]
    cw, _ = read_safetensors(folder + "/classifier/weights.safetensors")
    layers = clf["config"].get("layers")
    if layers is None:
        layers = (["flatten"] if x.dim() > 2 else []) + [{"dense": {"units": u, "activation": clf["config"].get("activation", "relu")}} for u in clf["config"]["hidden"]]

    def classify(v):
        return sequence(layers + [{"dense": {}}], cw, v)

    v = spec["vae"]
    mean, std = (w["normalize.mean"], w["normalize.std"]) if "normalize.mean" in w else (0.0, 1.0)
    code = sequence(v["encoder"], under(w, "encoder."), (x - mean) / std).reshape(len(x), -1)

    def decode(z):
        return sequence(v["decoder"], under(w, "decoder."), z) * std + mean

    if "mean.kernel" in w:
        mu = code @ w["mean.kernel"] + w["mean.bias"]
        log_var = code @ w["log_var.kernel"] + w["log_var.bias"]
        if v.get("log_var") == "softplus":
            log_var = F.softplus(log_var)
        draws = [mu + torch.exp(0.5 * log_var) * e for e in w["noise"]] if "noise" in w else [mu]
    else:
        mu, draws = code, [code]
    log_p = torch.log_softmax(classify(x), -1)
    t = spec["detector"].get("temperature", 1)
    log_pt = torch.log_softmax(log_p / t, -1)
    kl = torch.stack([(log_pt.exp() * (log_pt - torch.log_softmax(classify(decode(z)), -1))).sum(-1) for z in draws]).mean(0)
    result = np.load(result_file)
    report = {"scores": difference(result["instance_score"], kl), "reconstructions": difference(result["reconstruction"], decode(mu)),
              "latent": difference(result["latent"], mu)}
    print(folder, {k: "%.2g" % d for k, d in report.items()})
    return max(report.values())


if __name__ == "__main__":
    torch.set_num_threads(2)
    worst = check_layers(sys.argv[2:]) if sys.argv[1] == "layers" else check_detector(*sys.argv[2:5])
    sys.exit(0 if worst <= TOLERANCE else 1)
