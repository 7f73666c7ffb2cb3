"""A scikit-learn forest as a plugin. It has no gradients: predict-only."""
import os

import joblib

import vaeguard.sklearn

# joblib files are programs: load none that you do not trust.
forest = joblib.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "forest.joblib"))
vaeguard.sklearn.serve(forest, name="forest")
