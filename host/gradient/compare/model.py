import os

import joblib

import vaeguard.sklearn

vaeguard.sklearn.serve(joblib.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "forest.joblib")), name="forest")
