"""A linear classifier with known numbers, and faults on demand."""

print("printed before anything else")
import os
import sys
import time

import numpy as np

import vaeguard

print("printed while importing")


def weights(n, k):
    i, j = np.mgrid[:n, :k]
    return np.sin(1 + i * k + j).astype(np.float32)


class Linear(vaeguard.Classifier):
    name, version = "linear", "1.2.3"
    layout, lo, hi = "nhwc", -1, 1
    classes = ("a", "b", "c")
    digest = "sha256:linear"
    hidden = {"double": (2, 3, 2)}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "fault": {"type": "string"},
            "count": {"type": "string", "format": "path"},
            "max_batch": {"type": "integer", "minimum": 0},
            "pid": {"type": "string", "format": "path"},
            "scale": {"type": "number"},
            "names": {"type": "array", "items": {"type": "string"}},
        },
    }

    def configure(self, config, base_dir, input_shape=None, classes=0, seed=0):
        self.config, self.base = config, base_dir
        if config.get("scale", 1) == 13:
            raise vaeguard.ConfigError(("/scale", "13 brings bad luck"))
        if config.get("fault") == "configure":
            raise KeyError("weights")
        if input_shape not in (None, (2, 3, 2)):
            raise vaeguard.ConfigError(("", f"the data has shape {input_shape}, this classifier takes (2, 3, 2)"))
        if "pid" in config:
            with open(os.path.join(base_dir, config["pid"]), "w") as f:
                f.write(str(os.getpid()))
        self.max_batch = config.get("max_batch", 0)
        self.w = weights(12, 3)
        self.input_shape, self.num_classes = (2, 3, 2), 3

    def first(self):
        """Whether the fault was not shown before, in any process."""
        try:
            os.close(os.open(os.path.join(self.base, self.config["count"]), os.O_CREAT | os.O_EXCL))
            return True
        except FileExistsError:
            return False

    def predict(self, x):
        print("printed in predict")
        os.system("echo printed by a child")
        assert x.dtype == np.float32
        assert x.flags.writeable
        assert x.flags.c_contiguous
        y = x.reshape(len(x), -1) @ self.w
        x[:] = 0  # a model may scribble on its input
        fault = self.config.get("fault")
        if fault == "exception":
            raise ValueError("boom \N{SNOWMAN}")
        if fault == "typed":
            raise vaeguard.Error("failed_precondition", "the model sleeps")
        if fault == "dtype":
            return y.astype(str)
        if fault == "complex":
            return y.astype(complex)
        if fault == "shape":
            return y[:, :2]
        if fault == "none":
            return None
        if fault == "nan":
            y[1, 2] = np.nan
        if fault == "overflow":
            return y.astype(np.float64) * 1e200
        if fault == "strided":
            return np.asfortranarray(np.repeat(y, 2, axis=1))[:, ::2].astype(np.float64)
        if fault == "lists":
            return y.tolist()
        if fault == "memory" and len(x) > 2:
            raise MemoryError("three rows are too many")
        if fault == "batch" and len(x) > self.max_batch:
            raise AssertionError(f"{len(x)} rows")
        if fault == "kill" and self.first():
            os.kill(os.getpid(), 9)
        if fault == "exit" and self.first():
            sys.exit(3)  # an exception like any other, not the end of the plugin
        if fault == "_exit" and self.first():
            os._exit(3)
        if fault == "hang":
            time.sleep(1000)
        return y

    def forward(self, x, outputs):
        shape = x.shape

        def pullback(cotangents):
            dx = np.zeros(shape, np.float32)
            for name, dy in cotangents.items():
                dx += (dy @ self.w.T).reshape(shape) if name == vaeguard.OUTPUT else 2 * dy
            return dx

        return {vaeguard.OUTPUT: x.reshape(len(x), -1) @ self.w, "hidden/double": 2 * x}, pullback


vaeguard.serve(Linear())
