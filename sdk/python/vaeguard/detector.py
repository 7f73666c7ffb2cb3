"""Use a trained vaeguard detector from Python: alibi-detect's predict, answered by a long-lived process."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from typing import IO, Any, Dict, List, Optional, Sequence, Union, cast

import numpy as np
import numpy.typing as npt


class Detector:
    """A detector directory, or a run. Needs the vaeguard binary (binary=, or on PATH).

    d = vaeguard.Detector("runs/first")
    d.predict(x, return_instance_score=True)  # {"meta": {...}, "data": {"is_adversarial": array, "instance_score": array, ...}}

    allow_command: digest, sha256:…, of a command that the detector may start, or several. Shipped plugins, and what this user has
    trained with, need none; the error of a detector that is refused says which.
    """

    def __init__(self, path: str, binary: Optional[str] = None, allow_command: Union[str, Sequence[str]] = ()) -> None:
        binary = binary or shutil.which("vaeguard")
        if not binary:
            raise FileNotFoundError("the program vaeguard is not on PATH; pass binary=")
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

    def predict(self, x: npt.ArrayLike, return_instance_score: bool = True) -> Dict[str, Any]:
        """x: (N, input…), images NHWC, in the classifier's units.

        Returns alibi-detect's dictionary: meta, and data with arrays of N, or None where there is no such number. Where rows
        or classes have names, data also has arrays of text: id, file, predicted_label, reconstructed_label, corrected_label.
        Raises ValueError for rows that cannot be judged, RuntimeError if vaeguard ended.
        """
        batch: npt.NDArray[np.float32] = np.asarray(x, np.float32)
        rows: List[Dict[str, Any]] = []

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):
                for row in batch:
                    self._stdin.write((json.dumps(row.tolist()) + "\n").encode())
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
