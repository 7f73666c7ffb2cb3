"""Trains a random forest on tumours, as somebody did long ago, and writes it with rows for the guard."""
import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

x, y = load_breast_cancer(return_X_y=True)
order = np.random.RandomState(0).permutation(len(x))
x, y = x[order].astype(np.float32), y[order]
for name, rows in {"train": slice(0, 340), "calibration": slice(340, 450), "test": slice(450, None)}.items():
    np.savez(name + ".npz", x=x[rows], y=y[rows])
forest = RandomForestClassifier(100, random_state=0).fit(x[:340], y[:340])
joblib.dump(forest, "forest.joblib")
print("test accuracy %.3f" % forest.score(x[450:], y[450:]))
