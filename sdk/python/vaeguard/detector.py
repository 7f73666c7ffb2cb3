"""Use a trained vaeguard detector from Python: alibi-detect's predict, answered by a long-lived process."""
import json
import shutil
import subprocess
import threading

import numpy as np


class Detector:
    """A detector directory, or a run. Needs the vaeguard binary (binary=, or on PATH).

    d = vaeguard.Detector("runs/first")
    d.predict(x, return_instance_score=True)  # {"meta": {...}, "data": {"is_adversarial": array, "instance_score": array, ...}}
    """

    def __init__(self, path, binary=None):
        binary = binary or shutil.which("vaeguard")
        if not binary:
            raise FileNotFoundError("the program vaeguard is not on PATH; pass binary=")
        info = subprocess.run([binary, "inspect", path, "--json"], check=False, capture_output=True, text=True)
        if info.returncode:
            raise RuntimeError(info.stderr.strip() or "vaeguard inspect failed")
        self.meta = json.loads(info.stdout)["meta"]
        self._lock = threading.Lock()
        self._process = subprocess.Popen([binary, "detect", path, "--data", "-", "--format", "jsonl", "--on-error", "skip", "--quiet"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._errors = []
        self._drained = threading.Thread(target=self._drain, daemon=True)
        self._drained.start()

    def _drain(self):
        for line in self._process.stderr:
            self._errors = (self._errors + [line.decode(errors="replace").rstrip()])[-20:]

    def predict(self, x, return_instance_score=True):
        """x: (N, input…), images NHWC, in the classifier's units. Returns alibi-detect's dictionary with arrays of N."""
        x = np.asarray(x, np.float32)
        rows = []

        def write():
            try:
                for row in x:
                    self._process.stdin.write((json.dumps(row.tolist()) + "\n").encode())
                self._process.stdin.flush()
            except BrokenPipeError:
                pass

        with self._lock:
            if self._process.stdin.closed:
                raise RuntimeError("the detector was closed, or vaeguard ended")
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            while len(rows) < len(x):
                line = self._process.stdout.readline()
                if not line:
                    self._process.wait()
                    self._drained.join(1)
                    raise RuntimeError("vaeguard ended: " + "\n".join(self._errors))
                rows.append(json.loads(line))
            writer.join()
        bad = [(i, r["error"]) for i, r in enumerate(rows) if r.get("error")]
        if bad:
            raise ValueError("; ".join("row %d: %s" % b for b in bad[:5]))

        def column(name, dtype):
            values = [r[name] for r in rows]
            return None if any(v is None for v in values) else np.array(values, dtype)

        data = {"is_adversarial": column("is_adversarial", np.int64),
                "instance_score": column("instance_score", np.float64) if return_instance_score else None,
                "p_value": column("p_value", np.float64)}
        for name in ("predicted", "reconstructed", "corrected"):
            data[name] = column(name, np.int64)
        return {"meta": self.meta, "data": data}

    def close(self):
        """Ends the process."""
        with self._lock:
            if self._process.stdin.closed:
                return
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._drained.join()
            self._process.stdout.close()
            self._process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
