"""Writes the rows of a data set of scikit-learn, in four parts, and a random forest trained on the first."""
import sys

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier

x, y = {"digits": load_digits, "breast_cancer": load_breast_cancer}[sys.argv[1]](return_X_y=True)
if sys.argv[1] == "digits":
    x = x / 16
order = np.random.RandomState(0).permutation(len(x))
x, y = x[order].astype(np.float32), y[order]
if sys.argv[1] == "breast_cancer":  # columns of one size, so that one eps fits all
    x = (x - x[:round(0.6 * len(x))].mean(0)) / x[:round(0.6 * len(x))].std(0)
ends = [0] + [round(len(x) * share) for share in (0.6, 0.7, 0.85, 1)]
for name, lo, hi in zip(["train", "validation", "calibration", "test"], ends, ends[1:]):
    np.savez(name + ".npz", x=x[lo:hi], y=y[lo:hi])
forest = RandomForestClassifier(100, random_state=0).fit(x[:ends[1]], y[:ends[1]])
joblib.dump(forest, "forest.joblib")
