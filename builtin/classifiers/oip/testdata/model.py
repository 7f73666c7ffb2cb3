"""Writes a folder for MLServer: python model.py FOLDER HTTP_PORT GRPC_PORT METRICS_PORT. Prints rows and what the model says of them."""
import json
import os
import sys

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

folder, http, grpc, metrics = sys.argv[1], *map(int, sys.argv[2:])
x, y = load_digits(return_X_y=True)
x = (x / 16).astype(np.float32)
model = LogisticRegression(max_iter=300).fit(x[:1200], y[:1200])
joblib.dump(model, os.path.join(folder, "model.joblib"))


def write(name, settings):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(settings, f)


write("settings.json", {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0, "debug": False})
os.mkdir(os.path.join(folder, "told"))
common = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": os.path.join(folder, "model.joblib")}}
write("model-settings.json", dict(common, name="digits"))
write("told/model-settings.json", dict(common, name="told", inputs=[{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
                                       outputs=[{"name": "predict_proba", "datatype": "FP64", "shape": [-1, 10]}]))
rows = x[1200:1240]
json.dump({"rows": rows.tolist(), "want": model.predict_proba(rows).tolist()}, sys.stdout)
