"""Guard a PyTorch module:

    import vaeguard.torch
    vaeguard.torch.serve(model, input_shape=(1, 28, 28), num_classes=10, lo=0, hi=1)

Predict, gradients by autograd, Differentiate with one forward pass, and hidden
layers by hooks. Images are NCHW, as torch has them; the host transposes.

A module that vaeguard is to train (classifier.train in a spec):

    vaeguard.torch.serve_trainable(lambda input_shape, classes: torch.nn.Sequential(…), lo=0, hi=1)
"""
import hashlib
import os

import numpy as np
import torch

from . import LOGITS, OUTPUT, Classifier, ConfigError, serve as _serve


class Torch(Classifier):
    """A torch.nn.Module as a classifier.

    module: maps (N, input…) to (N, num_classes); put into eval mode, its parameters frozen, inputs in their dtype.
    output: "logits" (default, and better) or "probabilities".
    hidden: names of submodules (module.named_modules) to offer as hidden layers.
    device, threads: where and with how many threads it runs.
    """

    def __init__(self, module, input_shape, num_classes, output=LOGITS, lo=(), hi=(), classes=(), hidden=(), max_batch=0,
                 device="cpu", threads=None, name=None, version="0.1.0"):
        if threads:
            torch.set_num_threads(threads)
        self.module = module.to(device).eval()
        for p in self.module.parameters():
            p.requires_grad_(False)
        for m in self.module.modules():
            if getattr(m, "inplace", False):
                m.inplace = False  # the same numbers, and hidden layers stay what they were
        self.device = device
        self.dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        self.name, self.version = name or type(module).__name__, version
        self.input_shape, self.num_classes, self.output = tuple(input_shape), num_classes, output
        self.layout = "nchw" if len(self.input_shape) == 3 else "flat"
        self.lo, self.hi, self.classes, self.max_batch = lo, hi, classes, max_batch
        self.digest = _digest(self.module)
        self.taps = {n: self.module.get_submodule(n) for n in hidden}
        self.hidden = {}
        if self.taps:
            got, _ = self.forward(np.zeros((1,) + self.input_shape, np.float32), ["hidden/" + n for n in self.taps])
            self.hidden = {n: got["hidden/" + n].shape[1:] for n in self.taps}

    def _input(self, x):
        return torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device, self.dtype)

    def predict(self, x):
        with torch.no_grad():
            return _array(self.module(self._input(x)))

    def gradient(self, x, dy):
        _, pullback = self.forward(x, [OUTPUT])
        return pullback({OUTPUT: dy})

    def forward(self, x, outputs):
        x = self._input(x).requires_grad_(True)
        seen, hooks = {}, []
        for name in outputs:
            if name != OUTPUT:
                def hook(_, __, y, name=name):
                    if not isinstance(y, torch.Tensor):
                        raise TypeError("the module %s gives %s, a hidden layer has to give a tensor" % (name[7:], type(y).__name__))
                    seen[name] = y
                    return y.clone()  # what follows may work in place
                hooks.append(self.taps[name[7:]].register_forward_hook(hook))
        try:
            seen[OUTPUT] = self.module(x)
        finally:
            for h in hooks:
                h.remove()
        missing = [name for name in outputs if name not in seen]
        if missing:
            raise ValueError("the module did not run %s" % ", ".join(n[7:] for n in missing))
        live = {name: seen[name] for name in outputs}

        def pullback(cotangents):
            names = list(cotangents)
            dx, = torch.autograd.grad([live[n] for n in names], x, [self._input(cotangents[n]) for n in names], retain_graph=True,
                                      allow_unused=True)
            return np.zeros(tuple(x.shape), np.float32) if dx is None else _array(dx)

        return {n: _array(v) for n, v in live.items()}, pullback


def _array(t):
    return t.detach().float().cpu().numpy()


class Trainable(Torch):
    """A module that the host trains: Adam on the cross entropy.

    make(input_shape, classes): a new module that answers logits; images are NCHW.
    Options of classifier.train: epochs (5), batch_size (128), learning_rate (0.001).
    The weights are kept as an .npz, without pickle. options: as Torch's, without shapes.
    """

    input_shape, num_classes = None, 0
    schema = {"type": "object", "additionalProperties": False, "properties": {"weights": {"type": "string", "format": "path"}}}

    def __init__(self, make, name=None, version="0.1.0", lo=(), hi=(), **options):
        self.make, self.options = make, dict(options, name=name or "torch", version=version, lo=lo, hi=hi)
        self.name, self.version, self.lo, self.hi = self.options["name"], version, lo, hi

    def configure(self, config, base_dir, input_shape=None, classes=0, seed=0):
        if input_shape:
            self.layout = "nchw" if len(input_shape) == 3 else "flat"  # training rows come like this
        if "weights" not in config:
            return
        try:
            with np.load(os.path.join(base_dir, config["weights"]), allow_pickle=False) as f:
                saved = {k: f[k] for k in f.files}
            shape, classes = tuple(int(d) for d in saved.pop("input_shape")), int(saved.pop("num_classes"))
        except (OSError, ValueError, KeyError) as e:
            raise ConfigError(("/weights", "%s: %s" % (config["weights"], e)))
        module = self.make(shape, classes)
        module.load_state_dict({k: torch.from_numpy(v) for k, v in saved.items()})
        super().__init__(module, shape, classes, **self.options)

    def fit(self, x, y, val_x, val_y, options, seed, output_dir, progress):
        epochs, batch, rate = (options.get(k, d) for k, d in (("epochs", 5), ("batch_size", 128), ("learning_rate", 1e-3)))
        torch.manual_seed(seed % 2 ** 63)
        classes = int(max(y.max(), -1 if val_y is None else val_y.max())) + 1
        module = self.make(x.shape[1:], classes)
        optimizer, steps = torch.optim.Adam(module.parameters(), lr=rate), -(-len(x) // batch)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        for epoch in range(1, epochs + 1):
            order, total = torch.randperm(len(x)), 0.0
            module.train()
            for step in range(steps):
                rows = order[step * batch:(step + 1) * batch]
                loss = torch.nn.functional.cross_entropy(module(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss) * len(rows)
            metrics = {"loss": total / len(x)}
            if val_x is not None and len(val_x):
                with torch.no_grad():
                    z, t = module.eval()(torch.from_numpy(val_x)), torch.from_numpy(val_y)
                    metrics.update(val_loss=float(torch.nn.functional.cross_entropy(z, t)), val_accuracy=float((z.argmax(1) == t).float().mean()))
            progress(epoch, steps, steps, **metrics)
        saved = {k: v.numpy() for k, v in module.state_dict().items()}
        np.savez(os.path.join(output_dir, "weights.npz"), input_shape=np.array(x.shape[1:]), num_classes=classes, **saved)
        return {"weights": "weights.npz"}


def _digest(module):
    h = hashlib.sha256()
    for name, v in sorted(module.state_dict().items()):
        h.update(name.encode())
        h.update(np.ascontiguousarray(v.cpu().contiguous().view(torch.uint8).numpy() if v.dim() else v.cpu().double().numpy()).tobytes())
    return "sha256:" + h.hexdigest()


def serve(module, **options):
    """The whole main of a plugin around a torch module; options as Torch."""
    _serve(Torch(module, **options))


def serve_trainable(make, **options):
    """The whole main of a plugin around a module that the host trains; options as Trainable."""
    _serve(Trainable(make, **options))
