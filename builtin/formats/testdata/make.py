"""Writes the tables of builtin/formats with PyArrow."""
import pyarrow as pa, pyarrow.parquet as pq

t = pa.table({"a": pa.array([1, 2, 3], pa.int32()), "b": pa.array([0.5, 1.5, 2.5], pa.float64()),
              "c": pa.array([True, False, True]), "u": pa.array([1, 2, 2**32 - 1], pa.uint32()), "kind": ["x", "y", "x"]})
pq.write_table(t, "flat.parquet", compression="snappy")
pq.write_table(pa.table({"pixels": pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float32())), "label": pa.array([1, 0], pa.int64())}),
               "list.parquet", compression="zstd")
pq.write_table(pa.table({"a": pa.array([1, None], pa.int32())}), "null.parquet")
pq.write_table(pa.table({"a": pa.array([1, 2], pa.timestamp("ms"))}), "time.parquet")

from decimal import Decimal as D
import numpy as np, pandas as pd, pyarrow.ipc as ipc, pyarrow.feather as feather

numbers = {"half": pa.array(np.array([0.5, -1.25, 65504], "f2")), "d32": pa.array([D("1.25"), D("-0.50"), D("99.99")], pa.decimal128(9, 2)),
           "d64": pa.array([D("1.250"), D("-2.500"), D("123456789.125")], pa.decimal128(18, 3)),
           "dfix": pa.array([D("1.5"), D("-2.5"), D("1000000000000000000000.5")], pa.decimal128(38, 1)),
           "big": pa.array([1, -2, 2**53 + 1], pa.int64()), "flag": [True, False, True], "word": pa.array(["x", "y", "x"]).dictionary_encode()}
t = pa.table(numbers)
pq.write_table(t, "types.parquet", compression="lz4", store_decimal_as_integer=True)
frame = pd.DataFrame({"a": [1.5, 2.5, None], "b": ["x", None, "y"]}, index=pd.Index([7, 8, 9], name="key"))
pq.write_table(pa.Table.from_pandas(frame), "pandas.parquet")

t = t.append_column("list", pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)))
with ipc.new_file("types.arrow", t.schema) as w: w.write_table(t, max_chunksize=2)
with ipc.new_stream("types.arrows", t.schema) as w: w.write_table(t, max_chunksize=2)
feather.write_feather(pa.Table.from_pandas(frame), "pandas.feather", compression="zstd")
feather.write_feather(t, "lz4.feather", compression="lz4")
