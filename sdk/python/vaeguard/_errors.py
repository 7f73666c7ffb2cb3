"""The errors that cross the process boundary."""

from __future__ import annotations

from typing import Tuple


class Error(Exception):
    """An error with a kind that survives the process boundary.

    kind: invalid_argument, unimplemented, failed_precondition,
    resource_exhausted (the host halves the batch), internal, unavailable.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ConfigError(Exception):
    """Complaints about a config: pairs of (JSON pointer, message); the pointer "" is the whole."""

    def __init__(self, *diagnostics: Tuple[str, str]) -> None:
        super().__init__("; ".join(f"{pointer}: {message}" for pointer, message in diagnostics))
        self.diagnostics = diagnostics


def kind_of(e: BaseException) -> Tuple[str, str]:
    """The kind and the text of what a model raised, as they go over the wire: resource_exhausted where memory ran out."""
    if isinstance(e, Error):
        return e.kind, str(e)
    full = isinstance(e, MemoryError) or type(e).__name__ in ("OutOfMemoryError", "ResourceExhaustedError")  # torch's, TensorFlow's
    return "resource_exhausted" if full else "internal", f"{type(e).__name__}: {e}"
