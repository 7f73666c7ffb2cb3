"""Guard a PyTorch module:

    import vaeguard.torch
    vaeguard.torch.serve(model, input_shape=(1, 28, 28), num_classes=10, lo=0, hi=1)

Predict, gradients by autograd, Differentiate with one forward pass, and hidden
layers by hooks. Images are NCHW, as torch has them; the host transposes.
"""
import hashlib

import numpy as np
import torch

from . import LOGITS, OUTPUT, Classifier, serve as _serve


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


def _digest(module):
    h = hashlib.sha256()
    for name, v in sorted(module.state_dict().items()):
        h.update(name.encode())
        h.update(np.ascontiguousarray(v.cpu().contiguous().view(torch.uint8).numpy() if v.dim() else v.cpu().double().numpy()).tobytes())
    return "sha256:" + h.hexdigest()


def serve(module, **options):
    """The whole main of a plugin around a torch module; options as Torch."""
    _serve(Torch(module, **options))
