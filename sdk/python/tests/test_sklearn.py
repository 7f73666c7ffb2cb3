import os
import tempfile
import unittest
import warnings

import numpy as np

try:
    import joblib
    import sklearn.datasets
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
    from sklearn.svm import SVC, LinearSVC

    import vaeguard.sklearn
except ImportError as e:
    raise unittest.SkipTest(str(e)) from e

from differences import gradient_error

TOLERANCE = 1e-4  # float32 inputs, a step of 1e-3


def fitted(model, sets=("iris", None)):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged is good enough
        x, y = getattr(sklearn.datasets, "load_" + sets[0])(return_X_y=True)
        x, y = x[: sets[-1]], y[: sets[-1]]  # the first hundred irises are of two classes
        return model.fit(x, y), x[::9].astype(np.float32)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class Sklearn(unittest.TestCase):
    def exact(self, model, *sets):
        model, x = fitted(model, sets or ("iris", None))
        c = vaeguard.sklearn.Sklearn(model)
        self.assertEqual((c.gradient_kind, c.output), ("exact", "logits"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if hasattr(model, "predict_proba"):
                np.testing.assert_allclose(softmax(c.predict(x)), model.predict_proba(x.astype(np.float64)), atol=1e-6)
            np.testing.assert_array_equal(model.classes_[c.predict(x).argmax(1)], model.predict(x))
        self.assertLess(gradient_error(c, x), TOLERANCE)

    def test_linear(self):
        for name, model in {
            "softmax": LogisticRegression(),
            "discriminant": LinearDiscriminantAnalysis(),
            "ridge": RidgeClassifier(),
            "svm": LinearSVC(),
            "sgd": SGDClassifier(loss="log_loss", random_state=0),
            "hinge": SGDClassifier(random_state=0),
        }.items():
            with self.subTest(name):
                self.exact(model)

    def test_two_classes(self):
        for name, model in {
            "logistic": LogisticRegression(max_iter=50),
            "liblinear": LogisticRegression(solver="liblinear"),
            "ridge": RidgeClassifier(),
            "svc": SVC(kernel="linear", max_iter=2000),
        }.items():
            with self.subTest(name):
                self.exact(make_pipeline(StandardScaler(), model), "breast_cancer", None)

    def test_mlp(self):
        for f in ("relu", "tanh", "logistic", "identity"):
            with self.subTest(f):
                self.exact(MLPClassifier((9, 7), activation=f, max_iter=60, random_state=1))
        self.exact(make_pipeline(StandardScaler(), MLPClassifier((8,), activation="tanh", max_iter=30, random_state=1)), "iris", 100)

    def test_scalers(self):
        for s in (StandardScaler(with_mean=False), MinMaxScaler((-1, 2)), MaxAbsScaler(), RobustScaler()):
            with self.subTest(type(s).__name__):
                self.exact(make_pipeline(s, StandardScaler(), LogisticRegression()))

    def test_predict_only(self):
        for name, model in {
            "forest": RandomForestClassifier(5, random_state=0),
            "kernel": SVC(probability=True),
            "features": make_pipeline(PolynomialFeatures(2), LogisticRegression(max_iter=50)),
        }.items():
            with self.subTest(name):
                model, x = fitted(model)
                c = vaeguard.sklearn.Sklearn(model)
                self.assertEqual((c.gradient_kind, c.output, c.input_shape, c.classes), ("none", "probabilities", (4,), ["0", "1", "2"]))
                np.testing.assert_allclose(c.predict(x).sum(1), 1, atol=1e-6)

    def test_refused(self):
        with self.assertRaises(ValueError):
            vaeguard.sklearn.Sklearn(fitted(SVC())[0])

    def test_digest_of_a_forest(self):
        rows = np.random.default_rng(0).normal(size=(60, 4))
        forest = RandomForestClassifier(5, random_state=0).fit(rows, rows[:, 0] > 0)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "forest.joblib")
            joblib.dump(forest, file)
            digests = {vaeguard.sklearn.Sklearn(joblib.load(file)).digest for _ in range(3)}
        self.assertEqual(len(digests), 1)
        other = RandomForestClassifier(5, random_state=1).fit(rows, rows[:, 0] > 0)
        self.assertNotIn(vaeguard.sklearn.Sklearn(other).digest, digests)

    def test_digest(self):
        a, b, c = (vaeguard.sklearn.Sklearn(fitted(LogisticRegression(C=v))[0]).digest for v in (1, 1, 2))
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_function(self):
        c = vaeguard.sklearn.Function(lambda x: 1 / (1 + np.exp(-x.sum(1))), (4,), 2)
        np.testing.assert_allclose(c.predict(np.zeros((3, 4), np.float32)), np.full((3, 2), 0.5))


if __name__ == "__main__":
    unittest.main()
