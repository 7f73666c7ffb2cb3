"""Use a trained vaeguard detector from Python: alibi-detect's predict, answered by a long-lived process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Mapping
from typing import IO, Any, Dict, List, Optional, Sequence, Union, cast

import numpy as np
import numpy.typing as npt

from . import _program


def _lines(x: Any) -> List[str]:
    """The rows of x as lines of JSON: objects of a table, else arrays."""
    if hasattr(x, "columns") and hasattr(x, "to_dict"):  # a DataFrame
        x = x.to_dict("records")
    if isinstance(x, (list, tuple)) and x and all(isinstance(row, Mapping) for row in x):
        return [json.dumps({str(name): _plain(v) for name, v in row.items()}) for row in x]
    rows: npt.NDArray[Any] = np.asarray(x)
    if rows.dtype.kind in "biuf":
        rows = rows.astype(np.float32)
        return [json.dumps(row.tolist() if np.isfinite(row).all() else _plain(row)) for row in rows]
    return [json.dumps(_plain(row)) for row in rows]


def _plain(v: Any) -> Any:
    """A value as JSON has it: NumPy's numbers are Python's, None and NaN are null."""
    if isinstance(v, (list, tuple, np.ndarray)):
        return [_plain(e) for e in v]
    if hasattr(v, "item"):
        v = v.item()
    if v is None or isinstance(v, (bool, int, str)):
        return v
    if isinstance(v, float):
        return None if v != v else v
    return str(v)  # pandas' NA, dates: vaeguard says what it makes of them


class Detector:
    """A detector directory, or a run. binary: the program vaeguard; None: the package's own, or that on PATH.

    d = vaeguard.Detector("runs/first")
    d.predict(x, return_instance_score=True)  # {"meta": {...}, "data": {"is_adversarial": array, "instance_score": array, ...}}

    allow_command: digest, sha256:…, of a command that the detector may start, or several. Shipped plugins, and what this user has
    trained with, need none; the error of a detector that is refused says which.
    """

    def __init__(self, path: str, binary: Optional[str] = None, allow_command: Union[str, Sequence[str]] = ()) -> None:
        binary = _program.find(binary)
        info = subprocess.run([binary, "inspect", path, "--json"], check=False, capture_output=True, text=True)
        if info.returncode:
            raise RuntimeError(info.stderr.strip() or "vaeguard inspect failed")
        self.meta: Dict[str, Any] = json.loads(info.stdout)["meta"]
        self._lock = threading.Lock()
        command = [binary, "detect", path, "--data", "-", "--format", "jsonl", "--on-error", "skip", "--quiet"]
        for digest in [allow_command] if isinstance(allow_command, str) else allow_command:
            command += ["--allow-command", digest]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._stdin, self._stdout, self._stderr = (
            cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._errors: List[str] = []
        self._drained = threading.Thread(target=self._drain, daemon=True)
        self._drained.start()

    def _drain(self) -> None:
        for line in self._stderr:
            self._errors = ([*self._errors, line.decode(errors="replace").rstrip()])[-20:]

    def predict(self, x: Any, return_instance_score: bool = True) -> Dict[str, Any]:
        """x: raw rows, as the files of the detector's spec have them: an array (N, row…), images NHWC unless the spec says
        otherwise; or a table by the names of its columns, a DataFrame or a list of dicts. None and NaN are missing values.

        Returns alibi-detect's dictionary: meta, and data with arrays of N, or None where there is no such number. Where rows
        or classes have names, data also has arrays of text: id, file, predicted_label, reconstructed_label, corrected_label.
        Raises ValueError for rows that cannot be judged, RuntimeError if vaeguard ended.
        """
        batch = _lines(x)
        rows: List[Dict[str, Any]] = []

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):
                for line in batch:
                    self._stdin.write((line + "\n").encode())
                self._stdin.flush()

        with self._lock:
            if self._stdin.closed:
                raise RuntimeError("the detector was closed, or vaeguard ended")
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            while len(rows) < len(batch):
                line = self._stdout.readline()
                if not line:
                    self._process.wait()
                    self._drained.join(1)
                    raise RuntimeError("vaeguard ended: " + "\n".join(self._errors))
                rows.append(json.loads(line))
            writer.join()
        bad = [(i, r["error"]) for i, r in enumerate(rows) if r.get("error")]
        if bad:
            raise ValueError("; ".join(f"row {i}: {text}" for i, text in bad[:5]))

        def column(name: str, dtype: npt.DTypeLike) -> Optional[npt.NDArray[Any]]:
            far = name == "instance_score"  # of a row with a note: JSON has no infinity
            values = [np.inf if far and r[name] is None and r.get("note") else r[name] for r in rows]
            return None if any(v is None for v in values) else np.array(values, dtype)

        data = {
            "is_adversarial": column("is_adversarial", np.int64),
            "instance_score": column("instance_score", np.float64) if return_instance_score else None,
            "p_value": column("p_value", np.float64),
        }
        for name in ("predicted", "reconstructed", "corrected"):
            data[name] = column(name, np.int64)
        for name in ("id", "file", "predicted_label", "reconstructed_label", "corrected_label"):
            if any(name in r for r in rows):
                data[name] = np.array([r.get(name, "") for r in rows], np.str_)
        return {"meta": self.meta, "data": data}

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            if self._stdin.closed:
                return
            with contextlib.suppress(BrokenPipeError):
                self._stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._drained.join()
            self._stdout.close()
            self._stderr.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
