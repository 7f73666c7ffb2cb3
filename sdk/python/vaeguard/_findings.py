"""What checks of a classifier find."""

from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import numpy.typing as npt

from .classifier import Floats

ROWS = 16
SUM, SAME, SAME_WARN = 1e-3, 1e-4, 1e-6  # relative to the largest output, but not below 1
OUTSIDE = 1e-6  # of the legal range's width
FLAT, LOGITS, NO_GRADIENT = 1, 1, 1  # on the wire
PROBABILITIES = 2

Doubles = npt.NDArray[np.float64]
Finding = Tuple[str, str, str]  # severity, check, message


class Findings(List[Finding]):
    """(severity, check, message), in the order of the checks; a severity is pass, warn or fail."""

    def add(self, severity: str, check: str, message: str) -> None:
        self.append((severity, check, message))

    def compare(self, check: str, what: str, a: Floats, b: Floats, warn: float = 0.0) -> None:
        """Adds whether two answers that should be equal are: without a warning up to warn."""
        apart = np.abs(a.astype(np.float64) - b)
        d = float(apart.max(initial=0) / max(1.0, float(np.abs(a).max(initial=0))))
        text = f"{what} differ by {d:.2g}"
        if not d <= SAME:
            row = int(apart.reshape(len(a), -1).max(1).argmax())
            text += f", most in row {row}: {brief(a[row])} and {brief(b[row])}; dropout or batch statistics still at work?"
            self.add("fail", check, text)
        else:
            self.add("warn" if d > warn else "pass", check, text)


def brief(a: npt.NDArray[Any]) -> str:
    """The first numbers of a row, for a message."""
    return np.array2string(np.ravel(a)[:4], precision=5, separator=", ")
