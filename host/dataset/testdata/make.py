"""Writes the fixtures of host/dataset with NumPy."""
import numpy as np

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
