"""The recipes of host/engines against vaeguard detect on the same rows; see test_arrow.py for what they need."""

import importlib
import os
import sys
import tempfile
import unittest

import numpy as np
from test_arrow import BINARY, COLUMNS, GUARD, digits, expected, has

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "host", "engines", "recipes")


@unittest.skipUnless(has("pandas", "pyarrow"), "no pandas, program or detector")
class Recipes(unittest.TestCase):
    def setUp(self):
        import pandas as pd

        sys.path.insert(0, FOLDER)
        self.addCleanup(sys.path.remove, FOLDER)
        self.x = digits(120)
        self.want = expected(self.x)
        self.frame = pd.DataFrame({"row": range(100, 220), "x": [r.tobytes() for r in self.x]}, index=range(7, 127))

    def same(self, got):
        self.assertEqual(got["row"].tolist(), list(range(100, 220)))
        for name in COLUMNS:
            np.testing.assert_array_equal(got[name].to_numpy(), self.want[name])

    def test_pandas(self):
        got = importlib.import_module("score_pandas").score(self.frame, GUARD, keep=["row"], binary=BINARY)
        self.same(got)
        self.assertEqual(got.index.tolist(), list(range(7, 127)))

    @unittest.skipUnless(has("duckdb"), "no DuckDB")
    def test_duckdb(self):
        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            self.frame.to_parquet(os.path.join(folder, "in.parquet"))
            out = os.path.join(folder, "out.parquet")
            query = f"select * from '{folder}/in.parquet' order by row"
            n = importlib.import_module("score_duckdb").score(query, GUARD, out, keep=["row"], rows=50, binary=BINARY)
            self.assertEqual(n, 120)
            self.same(pd.read_parquet(out))

    @unittest.skipUnless(has("dask.dataframe"), "no Dask")
    def test_dask(self):
        import dask
        import dask.dataframe as dd

        with dask.config.set({"dataframe.convert-string": False}):
            frame = dd.from_pandas(self.frame, npartitions=3)
            got = importlib.import_module("score_dask").score(frame, GUARD, keep=["row"], binary=BINARY)
            self.assertEqual(got.npartitions, 3)
            got = got.compute(scheduler="threads")
        self.same(got)
        self.assertEqual(got.index.tolist(), list(range(7, 127)))


if __name__ == "__main__":
    unittest.main()
