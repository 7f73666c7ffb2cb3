"""Write a vaeguard classifier plugin in Python: subclass Classifier, call serve.

    import numpy as np, vaeguard

    class Linear(vaeguard.Classifier):
        name, input_shape, num_classes = "linear", (64,), 10
        def configure(self, config, base_dir, **_):
            self.w = np.load(os.path.join(base_dir, config["weights"]))
        def predict(self, x):                  # (N, 64) float32 -> (N, 10) logits
            return x @ self.w
        def gradient(self, x, dy):             # (N, 64), (N, 10) -> (N, 64)
            return dy @ self.w.T

    vaeguard.serve(Linear())

The SDK speaks go-plugin's gRPC protocol with mutual TLS, cuts batches to
max_batch, checks shapes and finiteness, turns exceptions into typed errors with
the traceback in the host's log, keeps standard output clean and ends with its
host. It needs grpcio and numpy alone. Importing it changes nothing in the process.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._errors import ConfigError, Error
from ._handlers import handlers
from .classifier import LOGITS, OUTPUT, PROBABILITIES, Classifier, Floats, Progress, Pullback
from .function import Function
from .handshake import claim_stdout
from .schema import check_config
from .serve import serve

__version__ = "0.1.0"
__all__ = [
    "LOGITS",
    "OUTPUT",
    "PROBABILITIES",
    "Classifier",
    "ConfigError",
    "Detector",
    "Error",
    "Floats",
    "Function",
    "Guard",
    "Progress",
    "Pullback",
    "check_config",
    "claim_stdout",
    "from_alibi",
    "handlers",
    "serve",
]

_LAZY = ("check", "detect", "detector", "keras", "ray", "sklearn", "spark", "torch")  # imported on first use
_HOMES = {"Detector": "detector", "Guard": "guard", "from_alibi": "detect"}  # names that come with their module on first use


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module("." + _HOMES[name], __name__), name)
    if name in _LAZY:
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'vaeguard' has no attribute {name!r}")
