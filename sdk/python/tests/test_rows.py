import io
import json
import unittest

import numpy as np

from vaeguard import _rows


def loaded(x):
    format, body = _rows.body(x)
    assert format == "npy", format
    return np.load(io.BytesIO(body))


def lines(x):
    format, body = _rows.body(x)
    assert format == "jsonl", format
    return [json.loads(line) for line in body.decode().splitlines()]


class Sparse:  # what is asked of a scipy.sparse matrix
    nnz = 1

    def toarray(self):
        return np.eye(2)


class Arrays(unittest.TestCase):
    def test_bytes_stay_bytes(self):
        for kind in (np.uint8, np.uint16):
            x = np.array([[[0], [200]]], kind)
            for given in (x, x[:, ::-1], np.ma.masked_array(x)):
                got = loaded(given)
                self.assertEqual(got.dtype, kind)
                np.testing.assert_array_equal(got, np.asarray(given))
            self.assertEqual(_rows.numbers(x).dtype, kind)
        for kind in (np.int8, np.int64, np.uint32, np.float64, np.float16, bool):
            self.assertEqual(loaded(np.ones((2, 3), kind)).dtype, np.float32)

    def test_missing(self):
        x = np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]])
        self.assertEqual(lines(x), [[1, None], [3, 4]])
        np.testing.assert_array_equal(_rows.numbers(x), [[1, np.nan], [3, 4]])
        self.assertEqual(lines(np.array([[1, np.nan]])), [[1, None]])

    def test_sparse(self):
        np.testing.assert_array_equal(loaded(Sparse()), np.eye(2))
        np.testing.assert_array_equal(_rows.numbers(Sparse()), np.eye(2))

    def test_infinite(self):
        for x, want in (
            (np.array([[1, 2], [3, -np.inf]]), "row 1, column 1: -inf"),
            (np.array([[1, 1e300]]), "row 0, column 1: inf"),
            ([{"a": 1}, {"a": np.float32("inf")}], "row 1, column 'a': inf"),
        ):
            with self.assertRaisesRegex(ValueError, want):
                _rows.body(x)

    def test_no_rows(self):
        for x in (3.5, "text", {"a": [1, 2]}, None):
            with self.assertRaisesRegex(ValueError, r"want an array \(N, …\)"):
                _rows.body(x)
        with self.assertRaisesRegex(ValueError, "want a number or a text"):
            _rows.body([{"a": b"bytes"}])
        with self.assertRaisesRegex(ValueError, "row for each instance"):
            _rows.numbers([1, 2])


class Tables(unittest.TestCase):
    records = [{"b": 2, "a": 1.5}, {"b": None, "a": float("nan")}]

    def same(self, x, records=True):
        if records:
            self.assertEqual(lines(x), [{"b": 2, "a": 1.5}, {"b": None, "a": None}])
        self.assertEqual(_rows.columns(x), ["b", "a"])
        np.testing.assert_array_equal(_rows.numbers(x), [[2, 1.5], [np.nan, np.nan]])
        np.testing.assert_array_equal(_rows.numbers(x, ["a"]), [[1.5], [np.nan]])
        np.testing.assert_array_equal(_rows.numbers(x, ["a", "b"]), [[1.5, 2], [np.nan, np.nan]])
        with self.assertRaisesRegex(ValueError, "no column 'c'; there are 'b', 'a'"):
            _rows.numbers(x, ["a", "c"])

    def test_dicts(self):
        self.same(self.records)
        with self.assertRaisesRegex(ValueError, "row 1 has no 'b'"):
            _rows.numbers([{"b": 1}, {"a": 2}])

    def test_fields(self):
        self.same(np.array([(2, 1.5), (np.nan, np.nan)], [("b", float), ("a", float)]))

    def test_pandas(self):
        pd = module("pandas")
        self.same(pd.DataFrame(self.records))
        self.same(pd.DataFrame(self.records).convert_dtypes())
        with self.assertRaisesRegex(ValueError, "'a' is there twice"):
            _rows.numbers(pd.DataFrame([[1, 2]], columns=["a", "a"]))
        with self.assertRaisesRegex(ValueError, "column 'a' of X holds what is no number"):
            _rows.numbers(pd.DataFrame({"a": ["x"]}))

    def test_polars(self):
        self.same(module("polars").DataFrame(self.records))

    def test_arrow(self):
        pa = module("pyarrow")
        table = pa.table({"b": [2, None], "a": [1.5, float("nan")]})
        for x in (table, table.to_batches()[0]):
            self.same(x, records=False)
            format, body = _rows.body(x)
            self.assertEqual(format, "arrow")
            sent = pa.ipc.open_stream(body).read_all()
            self.assertEqual((sent.schema, str(sent)), (table.schema, str(table)))


def module(name):
    try:
        return __import__(name)
    except ImportError as e:
        raise unittest.SkipTest(str(e)) from e


if __name__ == "__main__":
    unittest.main()
