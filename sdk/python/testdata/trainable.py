"""Nearest class mean, trained by the host."""

import hashlib
import os

import numpy as np

import vaeguard


class Means(vaeguard.Classifier):
    name = "means"
    schema = {"type": "object", "properties": {"means": {"type": "string", "format": "path"}}, "additionalProperties": False}
    input_shape, num_classes = None, 0

    def configure(self, config, base_dir, input_shape=None, classes=0, seed=0):
        if "means" in config:
            path = os.path.join(base_dir, config["means"])
            self.means = np.load(path)
            with open(path, "rb") as f:
                self.digest = "sha256:" + hashlib.sha256(f.read()).hexdigest()
            self.input_shape, self.num_classes = self.means.shape[1:], len(self.means)

    def predict(self, x):  # -‖x − m‖² + ‖x‖²
        return 2 * x @ self.means.T - (self.means**2).sum(1)

    def gradient(self, x, dy):
        return 2 * dy @ self.means

    def fit(self, x, y, val_x, val_y, options, seed, output_dir, progress):
        if options.get("fault"):
            raise RuntimeError("the loss is not a number")
        k = y.max() + 1
        for epoch in range(1, options.get("epochs", 1) + 1):
            self.means = np.stack([x[y == c].mean(0) for c in range(k)]).astype(np.float32)
            progress(epoch, 1, 1, accuracy=float((self.predict(val_x).argmax(1) == val_y).mean()) if val_x is not None else 0)
        np.save(os.path.join(output_dir, "means.npy"), self.means)
        return {"means": "means.npy"}


vaeguard.serve(Means())
