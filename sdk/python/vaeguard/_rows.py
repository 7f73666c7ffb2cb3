"""What users hold rows in: arrays, tables of several libraries, lists of dicts; as numbers, and as the files that vaeguard reads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
"""Rows (N, …): uint8 and uint16 as they are, for their white is known; all else float32."""


def columns(x: Any) -> Optional[List[str]]:
    """The names of the columns of a table: a DataFrame of pandas or polars, a Table or RecordBatch of pyarrow, an array with
    fields, a list of dicts, which is held to the names of the first. None of what has none. Raises ValueError for a name twice."""
    if isinstance(x, (list, tuple)):
        if not x or not all(isinstance(row, Mapping) for row in x):
            return None
        names = list(x[0])
    elif isinstance(x, np.ndarray):
        if not x.dtype.names:
            return None
        names = list(x.dtype.names)
    elif _arrow(x):
        names = list(x.schema.names)
    elif hasattr(x, "columns") and not callable(x.columns):
        names = list(x.columns)
    else:
        return None
    found = [str(name) for name in names]
    twice = [name for i, name in enumerate(found) if name in found[:i]]
    if twice:
        raise ValueError(f"the column {twice[0]!r} is there twice")
    return found


def numbers(x: Any, names: Optional[Sequence[str]] = None) -> Rows:
    """The rows x as numbers. names: columns in whose order a table's are put, whatever others it has; an array is as it is.

    Raises ValueError for a table without one of them, for what holds no rows (N, …), and for text.
    """
    there = columns(x)
    if there is None:
        rows = _array(x)
        if rows.ndim < 2:
            raise ValueError(f"X has shape {rows.shape}, want (N, …): a row for each instance")
        return rows
    wanted = list(there if names is None else names)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise ValueError(f"X has no column {', '.join(map(repr, missing))}; there are {', '.join(map(repr, there))}")
    found = [_column(x, there.index(name), name) for name in wanted]
    return np.ascontiguousarray(np.stack(found, axis=1)) if found else np.zeros((len(x), 0), np.float32)


def _column(x: Any, i: int, name: str) -> Rows:
    """A column of a table as float32; no value is NaN."""
    if isinstance(x, (list, tuple)):
        key = list(x[0])[i]
        for n, row in enumerate(x):
            if key not in row:
                raise ValueError(f"row {n} has no {name!r}")
        v: Any = [row[key] for row in x]
    elif isinstance(x, np.ndarray):
        v = _unmasked(x[name])
    elif _arrow(x):
        v = x.column(i).to_pylist()
    elif hasattr(x, "iloc"):
        v = x.iloc[:, i].tolist()
    else:
        v = list(x[name])
    try:
        with np.errstate(over="ignore"):
            out: Rows = np.asarray([np.nan if _absent(e) else e for e in v] if isinstance(v, list) else v).astype(np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"column {name!r} of X holds what is no number") from None
    if out.ndim != 1:
        raise ValueError(f"column {name!r} of X holds arrays, want a number for each row")
    return out


def _array(x: Any) -> Rows:
    """x as an array of numbers, C order."""
    rows = _known(x)
    if rows.dtype.kind == "u" and rows.dtype.itemsize <= 2:
        return np.ascontiguousarray(rows)
    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(rows, np.float32)
    except (TypeError, ValueError) as e:
        raise ValueError(f"X holds what is no number: {e}") from None


def _known(x: Any) -> Rows:
    """x as NumPy's own kind of array: tensors, sparse matrices and masked arrays too, masked values as NaN."""
    if isinstance(x, (str, bytes, Mapping)) or x is None:
        raise ValueError(f"X is a {type(x).__name__}, want an array (N, …), a table or a list of dicts")
    if hasattr(x, "detach") and hasattr(x, "cpu"):  # a tensor of torch
        x = x.detach().cpu()
    if hasattr(x, "toarray") and hasattr(x, "nnz"):  # a sparse matrix of scipy
        x = x.toarray()
    return _unmasked(x)


def _unmasked(x: Any) -> Rows:
    """x, with NaN for what is masked in it."""
    if isinstance(x, np.ma.MaskedArray) and np.any(x.mask):
        kind: Any = np.float64 if x.dtype.kind in "biuf" else object
        x = np.where(np.asarray(x.mask), np.array(np.nan, kind), np.asarray(x.data).astype(kind))
    return np.asarray(x)


def body(x: Any) -> Tuple[str, bytes]:
    """The rows of x as a file, with the name of its format: .npy of numbers, a stream of Arrow, else lines of JSON.

    Raises ValueError for what holds no rows, and for an infinite number, by its row and column.
    """
    if _arrow(x):
        columns(x)
        return "arrow", _stream(x)
    if columns(x) is not None:
        return "jsonl", _lines([_record(i, row) for i, row in enumerate(_records(x))])
    rows = _known(x)
    if rows.ndim == 0:
        raise ValueError(f"X is a {type(x).__name__}, want an array (N, …), a table or a list of dicts")
    if rows.dtype.kind in "biuf" and rows.ndim > 1:
        rows = _array(rows)
        if rows.dtype.kind != "f" or np.isfinite(rows).all():
            out = io.BytesIO()
            np.save(out, rows, allow_pickle=False)
            return "npy", out.getvalue()
    return "jsonl", _lines([_plain(row, i) for i, row in enumerate(rows)])


def _arrow(x: Any) -> bool:
    return type(x).__module__.split(".")[0] == "pyarrow" and hasattr(x, "schema")


def _stream(x: Any) -> bytes:
    import pyarrow as pa

    out = io.BytesIO()
    with pa.ipc.new_stream(out, x.schema) as w:
        w.write(x)
    return out.getvalue()


def _records(x: Any) -> List[Any]:
    """The rows of a table as dicts."""
    if isinstance(x, (list, tuple)):
        return list(x)
    if isinstance(x, np.ndarray):
        return [dict(zip(x.dtype.names or (), row)) for row in x.tolist()]
    if hasattr(x, "to_dicts"):  # polars
        return list(x.to_dicts())
    return list(x.to_dict("records"))


def _record(i: int, row: Mapping[Any, Any]) -> Dict[str, Any]:
    return {str(name): _plain(v, i, str(name)) for name, v in row.items()}


def _lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def _absent(v: Any) -> bool:
    """Whether v is no value: None, NaN, pandas' NA and NaT."""
    return (
        v is None or type(v).__name__ in ("NAType", "NaTType", "MaskedConstant") or (isinstance(v, (float, np.floating)) and bool(v != v))
    )


def _plain(v: Any, row: int, column: Any = None) -> Any:
    """A value of a row as JSON has it: NumPy's numbers are Python's, no value is null."""
    if isinstance(v, (list, tuple, np.ndarray)):
        return [_plain(e, row, i if column is None else column) for i, e in enumerate(v)]
    if _absent(v):
        return None
    if hasattr(v, "item"):
        v = v.item()
        if _absent(v):  # NumPy's NaT
            return None
    if isinstance(v, (bool, int, str)):
        return v
    if isinstance(v, float):
        if v in (np.inf, -np.inf):
            raise ValueError(f"row {row}, column {column!r}: {v}, want a finite number, or None for no value")
        return v
    if isinstance(v, (bytes, Mapping)):
        raise ValueError(f"row {row}, column {column!r}: a {type(v).__name__}, want a number or a text")
    return str(v)  # decimals, dates: vaeguard says what it makes of them
