"""The program vaeguard: where it is, and the console script that becomes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import NoReturn, Optional

VARIABLE = "VAEGUARD_BINARY"
_OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "vaeguard.exe" if os.name == "nt" else "vaeguard")


def find(binary: Optional[str] = None) -> str:
    """The path of the program: binary if it is given, else $VAEGUARD_BINARY, else the package's own, else the one on PATH.

    Raises FileNotFoundError if there is none.
    """
    for named in (binary, os.environ.get(VARIABLE)):
        if named:
            found = shutil.which(named)
            if not found:
                raise FileNotFoundError(f"there is no program {named}")
            return found
    if os.path.isfile(_OWN):
        return _OWN
    script = os.path.realpath(sys.argv[0])
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("vaeguard", path=folder) if folder else None
        if found and not _is_script(found) and os.path.realpath(found) != script:
            return found
    raise FileNotFoundError(
        "the program vaeguard is neither in this package nor on PATH: install a wheel for this platform, or pass binary="
    )


def _is_script(path: str) -> bool:
    """Whether the file is the console script of this package, which is no program to start."""
    with open(path, "rb") as f:
        start = f.read(4096)
    return start.startswith(b"#!") and b"vaeguard._program" in start


def main() -> NoReturn:
    """The console script: this process becomes the program."""
    try:
        program = find()
    except FileNotFoundError as e:
        sys.exit(f"vaeguard: {e}")
    if os.name == "nt":
        sys.exit(subprocess.run([program, *sys.argv[1:]], check=False).returncode)
    os.execv(program, [program, *sys.argv[1:]])
