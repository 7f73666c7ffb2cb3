"""Guard a PyTorch module:

    import vaeguard.torch
    vaeguard.torch.serve(model, input_shape=(1, 28, 28), num_classes=10, lo=0, hi=1)

Predict, gradients by autograd, Differentiate with one forward pass, and hidden
layers by hooks. Images are NCHW, as torch has them; the host transposes.

A module that vaeguard is to train (classifier.train in a spec):

    vaeguard.torch.serve_trainable(lambda input_shape, classes: torch.nn.Sequential(…), lo=0, hi=1)
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Sequence, Tuple

import numpy as np
import torch

from ._errors import ConfigError
from .classifier import LOGITS, OUTPUT, Classifier, Floats, Progress, Pullback, Range
from .serve import serve as _serve


class Torch(Classifier):
    """A torch.nn.Module as a classifier.

    module: maps (N, input…) to (N, num_classes); put into eval mode, its parameters frozen, inputs in their dtype.
    borrowed: the module is the caller's, who goes on with it: it is in eval mode while it answers alone, and left as it was; once
        its weights have changed it is refused.
    output: "logits" (default, and better) or "probabilities".
    hidden: names of submodules (module.named_modules) to offer as hidden layers.
    device, threads: where and with how many threads it runs.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        input_shape: Sequence[int],
        num_classes: int,
        output: str = LOGITS,
        lo: Range = (),
        hi: Range = (),
        classes: Sequence[str] = (),
        hidden: Sequence[str] = (),
        max_batch: int = 0,
        device: Any = "cpu",
        threads: Optional[int] = None,
        name: Optional[str] = None,
        version: str = "0.1.0",
        borrowed: bool = False,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self.borrowed = borrowed
        self.module = module if borrowed else _frozen(module.to(device))
        self.device = device
        self.dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        self.name, self.version = name or type(module).__name__, version
        shape = tuple(input_shape)
        self.input_shape, self.num_classes, self.output = shape, num_classes, output
        self.layout = "nchw" if len(shape) == 3 else "flat"
        self.lo, self.hi, self.classes, self.max_batch = lo, hi, classes, max_batch
        self.digest, self.versions = _digest(self.module), _versions(self.module)
        self.taps = {n: self.module.get_submodule(n) for n in hidden}
        self.hidden: Dict[str, Sequence[int]] = {}
        if self.taps:
            got, _ = self.forward(np.zeros((1, *shape), np.float32), ["hidden/" + n for n in self.taps])
            self.hidden = {n: got["hidden/" + n].shape[1:] for n in self.taps}

    def _input(self, x: Floats) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device, self.dtype)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """The module in eval mode with frozen parameters, and afterwards as it was. One that was trained on is another model."""
        if self.borrowed and (now := _versions(self.module)) != self.versions:
            if _digest(self.module) != self.digest:
                raise RuntimeError(
                    f"the weights of the {type(self.module).__name__} have changed since it was given to the guard, whose threshold "
                    "is of the model as it was: fit the guard again, or give it copy.deepcopy(module) before you train on"
                )
            self.versions = now
        training = [m for m in self.module.modules() if m.training] if self.borrowed else []
        learning = [p for p in self.module.parameters() if p.requires_grad] if self.borrowed else []
        try:
            if training:
                self.module.eval()
            for p in learning:
                p.requires_grad_(False)
            yield
        finally:
            for m in training:
                m.training = True
            for p in learning:
                p.requires_grad_(True)

    def predict(self, x: Floats) -> Floats:
        with torch.no_grad(), self._answering():
            at = self._input(x)
            return _array(self.module(at.clone() if self.borrowed else at))  # x may be the user's

    def gradient(self, x: Floats, dy: Floats) -> Any:
        _, pullback = self.forward(x, [OUTPUT])
        return pullback({OUTPUT: dy})

    def forward(self, x: Floats, outputs: Sequence[str]) -> Tuple[Dict[str, Floats], Pullback]:
        at = self._input(x).requires_grad_(True)
        seen: Dict[str, torch.Tensor] = {}
        hooks: List[Any] = []
        for name in outputs:
            if name != OUTPUT:

                def hook(_: Any, __: Any, y: Any, name: str = name) -> torch.Tensor:
                    if not isinstance(y, torch.Tensor):
                        raise TypeError(f"the module {name[7:]} gives {type(y).__name__}, a hidden layer has to give a tensor")
                    seen[name] = y
                    return y.clone()  # what follows may work in place

                hooks.append(self.taps[name[7:]].register_forward_hook(hook))
        try:
            with self._answering():
                seen[OUTPUT] = self.module(at.clone() if self.borrowed else at)  # the first layer may work in place
        finally:
            for h in hooks:
                h.remove()
        missing = [name for name in outputs if name not in seen]
        if missing:
            raise ValueError(f"the module did not run {', '.join(n[7:] for n in missing)}")
        live = {name: seen[name] for name in outputs}

        def pullback(cotangents: Dict[str, Floats]) -> Floats:
            names = list(cotangents)
            dys = [self._input(cotangents[n]) for n in names]
            (dx,) = torch.autograd.grad([live[n] for n in names], at, dys, retain_graph=True, allow_unused=True)
            return np.zeros(tuple(at.shape), np.float32) if dx is None else _array(dx)

        return {n: _array(v) for n, v in live.items()}, pullback


def _versions(module: torch.nn.Module) -> List[int]:
    """Grow where a tensor of the module is written to."""
    return [t._version for t in (*module.parameters(), *module.buffers())]


def _frozen(module: torch.nn.Module) -> torch.nn.Module:
    """The module in eval mode for good, without gradients of its parameters."""
    module.eval()
    for p in module.parameters():
        p.requires_grad_(False)
    for m in module.modules():
        if getattr(m, "inplace", False):
            m.inplace = False  # the same numbers, and hidden layers stay what they were
    return module


def _array(t: torch.Tensor) -> Floats:
    a: Floats = t.detach().float().cpu().numpy()
    return a


class Trainable(Torch):
    """A module that the host trains: Adam on the cross entropy.

    make(input_shape, classes): a new module that answers logits; images are NCHW.
    Options of classifier.train: epochs (5), batch_size (128), learning_rate (0.001).
    The weights are kept as an .npz, without pickle. options: as Torch's, without shapes.
    """

    input_shape, num_classes = None, 0
    schema = {"type": "object", "additionalProperties": False, "properties": {"weights": {"type": "string", "format": "path"}}}

    def __init__(
        self,
        make: Callable[[Tuple[int, ...], int], torch.nn.Module],
        name: Optional[str] = None,
        version: str = "0.1.0",
        lo: Range = (),
        hi: Range = (),
        **options: Any,
    ) -> None:
        self.make, self.options = make, dict(options, name=name or "torch", version=version, lo=lo, hi=hi)
        self.name, self.version, self.lo, self.hi = self.options["name"], version, lo, hi

    def configure(
        self,
        config: Dict[str, Any],
        base_dir: str,
        input_shape: Optional[Tuple[int, ...]] = None,
        classes: int = 0,
        seed: int = 0,
    ) -> None:
        if input_shape:
            self.layout = "nchw" if len(input_shape) == 3 else "flat"  # training rows come like this
        if "weights" not in config:
            return
        try:
            with np.load(os.path.join(base_dir, config["weights"]), allow_pickle=False) as f:
                saved = {k: f[k] for k in f.files}
            shape, classes = tuple(int(d) for d in saved.pop("input_shape")), int(saved.pop("num_classes"))
        except (OSError, ValueError, KeyError) as e:
            raise ConfigError(("/weights", f"{config['weights']}: {e}")) from None
        module = self.make(shape, classes)
        module.load_state_dict({k: torch.from_numpy(v) for k, v in saved.items()})
        super().__init__(module, shape, classes, **self.options)

    def fit(
        self,
        x: Floats,
        y: Any,
        val_x: Optional[Floats],
        val_y: Any,
        options: Dict[str, Any],
        seed: int,
        output_dir: str,
        progress: Progress,
    ) -> Dict[str, Any]:
        epochs, batch, rate = (options.get(k, d) for k, d in (("epochs", 5), ("batch_size", 128), ("learning_rate", 1e-3)))
        torch.manual_seed(seed % 2**63)
        classes = int(max(y.max(), -1 if val_y is None else val_y.max())) + 1
        module = self.make(x.shape[1:], classes)
        optimizer, steps = torch.optim.Adam(module.parameters(), lr=rate), -(-len(x) // batch)
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        for epoch in range(1, epochs + 1):
            order, total = torch.randperm(len(x)), 0.0
            module.train()
            for step in range(steps):
                rows = order[step * batch : (step + 1) * batch]
                loss = torch.nn.functional.cross_entropy(module(inputs[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss) * len(rows)
            metrics = {"loss": total / len(x)}
            if val_x is not None and len(val_x):
                with torch.no_grad():
                    z, t = module.eval()(torch.from_numpy(val_x)), torch.from_numpy(val_y)
                    metrics["val_loss"] = float(torch.nn.functional.cross_entropy(z, t))
                    metrics["val_accuracy"] = float((z.argmax(1) == t).float().mean())
            progress(epoch, steps, steps, **metrics)
        saved = {k: v.numpy() for k, v in module.state_dict().items()}
        np.savez(os.path.join(output_dir, "weights.npz"), input_shape=np.array(x.shape[1:]), num_classes=classes, **saved)
        return {"weights": "weights.npz"}


def _digest(module: torch.nn.Module) -> str:
    h = hashlib.sha256()
    for name, v in sorted(module.state_dict().items()):
        h.update(name.encode())
        a = v.cpu().contiguous().view(torch.uint8).numpy() if v.dim() else v.cpu().double().numpy()
        h.update(np.ascontiguousarray(a).tobytes())
    return "sha256:" + h.hexdigest()


def serve(module: torch.nn.Module, **options: Any) -> NoReturn:
    """The whole main of a plugin around a torch module; options as Torch."""
    _serve(Torch(module, **options))


def serve_trainable(make: Callable[[Tuple[int, ...], int], torch.nn.Module], **options: Any) -> NoReturn:
    """The whole main of a plugin around a module that the host trains; options as Trainable."""
    _serve(Trainable(make, **options))
