"""Writes the fixtures of host/dataset with NumPy and PyArrow."""
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

x = np.arange(24).reshape(4, 2, 3)
np.save("f4.npy", x.astype("<f4"))
np.save("f8big.npy", x.astype(">f8"))
np.save("f2.npy", (x / 4).astype("<f2"))
np.save("u1.npy", x.astype("u1"))
np.save("i2.npy", (x - 12).astype("<i2"))
np.save("bool.npy", x % 2 == 0)
np.save("fortran.npy", np.asfortranarray(x.astype("<f4")))
np.save("names.npy", np.array(["cat", "äpfel", "b", "cat"]))
np.save("bytes.npy", np.array([b"cat", b"ab", b"b", b"cat"]))
with open("v2.npy", "wb") as f:
    np.lib.format.write_array(f, x.astype("<i8"), version=(2, 0))
with open("v3.npy", "wb") as f:
    np.lib.format.write_array(f, x.astype("<u2"), version=(3, 0))
np.savez_compressed("deflated.npz", images=x.astype("<f4"), y=np.array([0, 1, 2, 1]))
np.savez("stored.npz", x=x.astype("<f4"))
t = pa.table({"a": pa.array([1, 2, 3], pa.int32()), "b": pa.array([0.5, 1.5, 2.5], pa.float64()),
              "c": pa.array([True, False, True]), "u": pa.array([1, 2, 2**32 - 1], pa.uint32()), "kind": ["x", "y", "x"]})
pq.write_table(t, "flat.parquet", compression="snappy")
pq.write_table(pa.table({"pixels": pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float32())), "label": pa.array([1, 0], pa.int64())}),
               "list.parquet", compression="zstd")
pq.write_table(pa.table({"a": pa.array([1, None], pa.int32())}), "null.parquet")
pq.write_table(pa.table({"a": pa.array([1, 2], pa.timestamp("ms"))}), "time.parquet")
