"""Writes the tables of builtin/formats with PyArrow."""
import pyarrow as pa, pyarrow.parquet as pq

t = pa.table({"a": pa.array([1, 2, 3], pa.int32()), "b": pa.array([0.5, 1.5, 2.5], pa.float64()),
              "c": pa.array([True, False, True]), "u": pa.array([1, 2, 2**32 - 1], pa.uint32()), "kind": ["x", "y", "x"]})
pq.write_table(t, "flat.parquet", compression="snappy")
pq.write_table(pa.table({"pixels": pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float32())), "label": pa.array([1, 0], pa.int64())}),
               "list.parquet", compression="zstd")
pq.write_table(pa.table({"a": pa.array([1, None], pa.int32())}), "null.parquet")
pq.write_table(pa.table({"a": pa.array([1, 2], pa.timestamp("ms"))}), "time.parquet")
