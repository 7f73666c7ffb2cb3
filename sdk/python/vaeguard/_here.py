"""What a process ends with an object of its own: a child that was forked has the object too, and nothing of what it stands for."""

from __future__ import annotations

import os
import weakref
from typing import Any, Callable


def finalize(owner: Any, act: Callable[..., object], *arguments: Any) -> None:
    """Calls act(*arguments) once owner is gone, or this process ends; never in a child of it. act must not hold owner."""
    weakref.finalize(owner, _act, os.getpid(), act, arguments)


def _act(pid: int, act: Callable[..., object], arguments: Any) -> None:
    if os.getpid() == pid:
        act(*arguments)
