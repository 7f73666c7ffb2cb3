#!/usr/bin/python3
"""Writes the models of this folder: NAME.onnx, exported by skl2onnx 1.16 from
scikit-learn, and NAME.bin, little-endian float32: 20 rows of 4 features, and
predict_proba of them.

    pip install skl2onnx==1.16.0 onnx==1.15.0 && python3 models.py
"""
import pathlib

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = pathlib.Path(__file__).parent
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
MODELS = {  # name: (model, labels, options)
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), Y, {"zipmap": False}),
    "logistic_zipmap": (LogisticRegression(max_iter=500), Y, {}),
    "logistic_binary": (make_pipeline(Normalizer("l2"), LogisticRegression()), Y == 2, {"zipmap": False}),
    "logistic_ovr": (LogisticRegression(multi_class="ovr"), Y, {"zipmap": False}),
    "mlp": (make_pipeline(MinMaxScaler(), MLPClassifier((12, 8), max_iter=300, random_state=0)), Y, {"zipmap": False}),
    "forest": (RandomForestClassifier(8, max_depth=4, random_state=0), Y, {"zipmap": False}),
    "forest_binary": (RandomForestClassifier(5, max_depth=3, random_state=0), Y == 1, {"zipmap": False}),
    "tree": (DecisionTreeClassifier(max_depth=4, random_state=0), Y, {}),
    "boosting": (GradientBoostingClassifier(n_estimators=6, random_state=0), Y, {"zipmap": False}),
    "boosting_binary": (GradientBoostingClassifier(n_estimators=6, random_state=0), Y == 2, {"zipmap": False}),
}

rows = X[np.random.default_rng(0).permutation(len(X))[:20]] + np.float32(0.013)
for name, (model, y, options) in MODELS.items():
    model.fit(X, y.astype(np.int64))
    onx = to_onnx(model, X[:1], options={id(model): options} if options else None, target_opset={"": 15, "ai.onnx.ml": 3})
    (HERE / f"{name}.onnx").write_bytes(onx.SerializeToString())
    p = model.predict_proba(rows)
    (HERE / f"{name}.bin").write_bytes(np.concatenate([rows.ravel(), p.ravel()]).astype("<f4").tobytes())
