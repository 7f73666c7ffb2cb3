"""Use a trained vaeguard detector from Python: alibi-detect's predict, answered by a long-lived process."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import numpy.typing as npt

from . import _models, _program, _rows
from ._here import finalize
from ._lend import Lender
from ._requests import Requests

Arrays = Dict[str, npt.NDArray[Any]]


def inspect(path: str, binary: Optional[str] = None) -> Dict[str, Any]:
    """What vaeguard says of a detector. Raises RuntimeError if it is none."""
    info = subprocess.run([_program.find(binary), "inspect", path, "--json"], check=False, capture_output=True, text=True)
    if info.returncode:
        raise RuntimeError(info.stderr.strip() or "vaeguard inspect failed")
    found: Dict[str, Any] = json.loads(info.stdout)
    return found


class Detector:
    """A detector directory, or a run. binary: the program vaeguard; None: the package's own, or that on PATH.

    d = vaeguard.Detector("runs/first")
    d.predict(x, return_instance_score=True)  # {"meta": {...}, "data": {"is_adversarial": array, "instance_score": array, ...}}

    model: the model that it guards, for a detector that was made around one of the user's process: it answers from this one.
    include: further arrays that `arrays` gives, as detect --include names them. lender: who lends the model, closed by its owner.
    allow_command: digest, sha256:…, of a command that the detector may start, or of what else it asks for (servers, variables, files),
    or several. Shipped plugins, and what this user has trained with, need none; the error of a detector that is refused says which.

    The process starts with the first rows, and ends with close, or with the Detector. One that ended, or was cut short by an
    exception, starts again with the next; a child that is forked starts one of its own.
    """

    def __init__(
        self,
        path: str,
        binary: Optional[str] = None,
        allow_command: Union[str, Sequence[str]] = (),
        model: Any = None,
        include: Sequence[str] = (),
        lender: Optional[Lender] = None,
    ) -> None:
        self.path = path
        found = inspect(path, binary)
        self.meta: Dict[str, Any] = found["meta"]
        self._known = _models.Known.of(found.get("detector") or {})
        self._model = model
        self._lender, self._owner = lender, lender is None
        self._lock = threading.Lock()
        self._closed = False
        self._requests: Optional[Requests] = None
        self._command = [_program.find(binary), "detect", path, "--data", "-", "--requests", "--format", "npz", "--quiet"]
        for part in include:
            self._command += ["--include", part]
        for digest in [allow_command] if isinstance(allow_command, str) else allow_command:
            self._command += ["--allow-command", digest]

    def _started(self) -> Requests:
        if self._requests is None or not self._requests.alive:
            if self._requests is not None:
                self._requests.close(kill=True)
            if self._model is not None and self._lender is None:
                found = _models.source(self._model, known=self._known)
                if found.classifier is None:
                    self._command += overrides(found.section)
                    self._model = None
                else:
                    self._lender = Lender(found.classifier)
                    finalize(self, self._lender.close)
            self._requests = Requests(self._command, self._lender.environment if self._lender else None)
        return self._requests

    def arrays(self, x: Any) -> Arrays:
        """The arrays that `vaeguard detect --format npz` writes of the rows x. Raises as predict."""
        format, body = _rows.body(x)
        with self._lock:
            if self._closed:
                raise RuntimeError("the detector was closed, or vaeguard ended")
            requests = self._started()
            if self._lender:
                self._lender.error = None
            try:
                return requests.ask(format, body)
            except (RuntimeError, ValueError, ConnectionError) as e:
                if self._lender and self._lender.error is not None:
                    raise RuntimeError(f"the model failed: {e}") from self._lender.error
                raise

    def predict(self, x: Any, return_instance_score: bool = True) -> Dict[str, Any]:
        """x: raw rows, as the files of the detector's spec have them: an array (N, row…), images NHWC unless the spec says
        otherwise; or a table by the names of its columns: a DataFrame of pandas or polars, a pyarrow.Table, an array with fields, a
        list of dicts. uint8 and uint16 are images from black to white, whatever the detector's units are, as in a file. None, NaN and
        masked values are missing.

        Returns alibi-detect's dictionary: meta, and data with arrays of N, or None where there is no such number. Where rows
        or classes have names, data also has arrays of text: id, file, predicted_label, reconstructed_label, corrected_label.
        Raises ValueError for rows that cannot be judged, infinite numbers among them, ConnectionError while the classifier is away
        (it comes back by itself: call again), RuntimeError if vaeguard ended or the model failed.
        """
        got = self.arrays(x)
        data: Dict[str, Any] = {
            "is_adversarial": got["is_adversarial"],
            "instance_score": got["instance_score"] if return_instance_score else None,
            "p_value": _known(got["p_value"]),
        }
        for name in ("predicted", "reconstructed", "corrected"):
            data[name] = None if (got[name] < 0).any() else got[name]
        for name in ("id", "file", "predicted_label", "reconstructed_label", "corrected_label"):
            if name in got:
                data[name] = _text(got[name])
        return {"meta": self.meta, "data": data}

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._closed = True
            if self._requests:
                self._requests.close()
            if self._lender and self._owner:
                self._lender.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _known(a: npt.NDArray[Any]) -> Optional[npt.NDArray[Any]]:
    """a, or None where it does not have every number."""
    return None if np.isnan(a).any() else a


def _text(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.char.decode(a, "utf-8") if a.dtype.kind == "S" else a


def overrides(section: Dict[str, Any], prefix: str = "") -> List[str]:
    """The flags that put another section classifier in a detector's place."""
    out: List[str] = []
    for key, v in section.items():
        if isinstance(v, dict):
            out += overrides(v, f"{prefix}{key}.")
        else:
            out += ["--classifier", f"{prefix}{key}={v if isinstance(v, str) else json.dumps(v)}"]
    return out
