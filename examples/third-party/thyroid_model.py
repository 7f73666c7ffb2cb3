"""The pipeline of the package thyroid-model-damir-bogdan as a classifier.

It takes rows as the guard has them, numbers and one-hot categories in the order
of the columns of raw.csv, and makes the data frame of them that the pipeline
reads. Its codes of a column are those of the values that occur in a batch, so
two rows that hold every value are added to each: a row's answer must not depend
on the others.
"""

import pathlib
import sys

import joblib
import numpy as np
import pandas as pd

import vaeguard.sklearn

try:
    import thyroid_model_damir_bogdan as package
    from thyroid_model_damir_bogdan import load_pipeline
except ImportError as err:
    sys.exit("%s: pip install thyroid-model-damir-bogdan==0.1.0, in Python 3.10" % err)

folder = pathlib.Path(package.__file__).parent
# the pipeline was pickled in a program that had its functions
for name in ("replace_question_mark", "drop_columns", "ordinal_encoder"):
    setattr(sys.modules["__main__"], name, getattr(load_pipeline, name))
pipeline = joblib.load(folder / "pipeline.joblib")
classes = [str(c) for c in joblib.load(folder / "label_encoder.joblib").classes_]

CATEGORIES = {"sex": ["F", "M", "?"], "referral_source": ["SVHC", "SVHD", "SVI", "STMW", "other"]}
CATEGORIES.update((c, ["f", "t"]) for c in load_pipeline.ordinal)
IGNORED = ["TBG_measured", "TBG"]
COLUMNS = [c for c in pd.read_csv(folder / "raw.csv", nrows=0).columns if c not in ("Class", *IGNORED)]
WIDTH = sum(len(CATEGORIES.get(c, [0])) for c in COLUMNS)


def predict(x):
    columns, at = {}, 0
    for c in COLUMNS:
        values = CATEGORIES.get(c)
        if values is None:
            columns[c] = x[:, at].astype(float)
            at += 1
            continue
        columns[c] = np.array(values, object)[x[:, at : at + len(values)].argmax(1)]
        at += len(values)
    frame = pd.DataFrame(columns)
    every = frame.iloc[[0, 0]].copy()
    for c in load_pipeline.ordinal:
        every[c] = ["f", "t"]
    frame = pd.concat([frame, every], ignore_index=True)
    for c in IGNORED:
        frame[c] = "?"
    return pipeline.predict_proba(frame)[: len(x)]


if __name__ == "__main__":
    vaeguard.sklearn.serve_function(predict, input_shape=(WIDTH,), num_classes=len(classes), name="thyroid")
