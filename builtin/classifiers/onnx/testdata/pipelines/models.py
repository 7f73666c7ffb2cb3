#!/usr/bin/python3
"""Writes the models of this folder: NAME.onnx, exported by skl2onnx from
scikit-learn, and NAME.bin, little-endian float32: 12 rows of 4 features, and
what ONNX Runtime answers: the scores of the last output.

    pip install skl2onnx==1.20.0 scikit-learn==1.9.1 onnxruntime==1.32.0 && python3 models.py
"""
import pathlib
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, PowerTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)


def regression():
    return LogisticRegression(max_iter=500)


def machine(**options):
    return SVC(random_state=0, **options)


MODELS = {  # name: (model, labels)
    "select": (make_pipeline(SelectKBest(k=2), regression()), Y),
    "polynomial": (make_pipeline(PolynomialFeatures(2), StandardScaler(), regression()), Y),
    "imputer": (make_pipeline(SimpleImputer(), regression()), Y),
    "columns": (make_pipeline(make_column_transformer((StandardScaler(), [0, 2]), ("passthrough", [1])), regression()), Y),
    "bins": (make_pipeline(make_column_transformer((StandardScaler(), [0, 1]), (KBinsDiscretizer(3, encode="onehot-dense"), [2, 3])), regression()), Y),
    "onehot": (make_pipeline(OneHotEncoder(handle_unknown="ignore"), regression()), Y),
    "ordinal": (make_pipeline(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), regression()), Y),
    "power": (make_pipeline(PowerTransformer(), regression()), Y),
    "binarizer": (make_pipeline(Binarizer(threshold=2), regression()), Y),
    "calibrated": (CalibratedClassifierCV(LinearSVC(), cv=2), Y),
    "rest": (OneVsRestClassifier(regression()), Y),
    "svc_radial": (make_pipeline(StandardScaler(), machine(probability=True)), Y),
    "svc_binary": (make_pipeline(StandardScaler(), machine(probability=True)), Y == 1),
    "svc_polynomial": (make_pipeline(StandardScaler(), machine(kernel="poly", degree=2, coef0=1, probability=True)), Y),
    "svc_linear": (make_pipeline(StandardScaler(), machine(kernel="linear", probability=True)), Y),
    "svc_sigmoid": (make_pipeline(StandardScaler(), machine(kernel="sigmoid", probability=True)), Y),
    "svc_votes": (make_pipeline(StandardScaler(), machine()), Y),
    "svc_pairs": (make_pipeline(StandardScaler(), machine(decision_function_shape="ovo")), Y),
}

for name, (model, y) in MODELS.items():
    x = np.round(X) if name in ("onehot", "ordinal") else X.copy()
    if name == "imputer":
        x[::7, 2] = np.nan  # none of the rows below
    rows = X[np.random.default_rng(0).permutation(len(X))[:12]]
    rows = np.round(rows) if name in ("onehot", "ordinal") else rows + np.float32(0.013)
    model.fit(x, y.astype(np.int64))
    onx = to_onnx(model, x[:1], options={"zipmap": False}, target_opset={"": 15, "ai.onnx.ml": 3})
    session = onnxruntime.InferenceSession(onx.SerializeToString())
    scores = session.run(None, {"X": rows})[-1]
    (HERE / f"{name}.onnx").write_bytes(onx.SerializeToString())
    (HERE / f"{name}.bin").write_bytes(np.concatenate([rows.ravel(), scores.ravel()]).astype("<f4").tobytes())
