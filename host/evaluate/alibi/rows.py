"""Rows by role as a detector's spec names them, and adversarial arrays."""
import gzip
import hashlib
import os
import struct

import numpy as np

FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}


def idx(path):
    """The array of an IDX file of bytes, plain or .gz."""
    opener, path = (gzip.open, path + ".gz") if os.path.exists(path + ".gz") else (open, path)
    with opener(path, "rb") as f:
        data = f.read()
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def role(spec, name, folder=None):
    """(x, y) of data.NAME: float32 (n, h, w, 1) in [0, 1] and int64 labels.

    Named sets in IDX files only (fashion-mnist, mnist), with split and range.
    folder holds the files; None: where vaeguard looks first.
    """
    source = spec["data"][name]
    if source.get("limit") or source.get("file") or source.get("split") not in FILES:
        raise SystemExit(f"data.{name} is not a split of a named set in IDX files: this comparison reads those alone")
    if folder is None:
        places = [os.path.join(os.environ.get("VAEGUARD_DATA", ""), source["dataset"]), os.path.join("/usr/share/datasets", source["dataset"])]
        folder = next((p for p in places if os.path.isdir(p)), None)
    if folder is None:
        raise SystemExit(f"no files of {source['dataset']}: set VAEGUARD_DATA or --data")
    images, labels = (idx(os.path.join(folder, f)) for f in FILES[source["split"]])
    a, b = source.get("range") or (0, len(images))
    x = (images[a:b].astype(np.float32) / np.float32(255))[..., None]
    return x, labels[a:b].astype(np.int64)


def digest(x):
    """The digest that scores.json knows rows by."""
    return "sha256:" + hashlib.sha256(np.ascontiguousarray(x, "<f4").tobytes()).hexdigest()


def adversarial(path, x):
    """The arrays of an adv.npz; those of a benchmark's cell name rows of x
    instead of holding them."""
    with np.load(path) as f:
        out = {k: f[k] for k in ("x_adv", "y", "predicted", "predicted_adv", "success")}
        out["rows"] = f["rows"] if "rows" in f else None
        out["x"] = f["x"] if "x" in f else x[f["rows"]]
        out["path"] = path
    return out
