"""Builds the wheel: with the program vaeguard inside where there is Go and the repository, without it elsewhere.

GOOS and GOARCH choose the platform, as for `go build`; VAEGUARD_BINARY names a program that is built already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent.parent.parent
PLATFORMS = {
    ("linux", "amd64"): "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",  # static: no libc is asked for
    ("linux", "arm64"): "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_12_0_x86_64",
    ("darwin", "arm64"): "macosx_12_0_arm64",
    ("windows", "amd64"): "win_amd64",
    ("windows", "arm64"): "win_arm64",
}


def platform() -> Optional[str]:
    """The wheel's platform, None where no program goes into it."""
    if not (shutil.which("go") and (ROOT / "host" / "cmd" / "vaeguard").is_dir()) and not os.environ.get("VAEGUARD_BINARY"):
        return None
    if shutil.which("go"):
        goos, goarch = (subprocess.check_output(["go", "env", k], text=True).strip() for k in ("GOOS", "GOARCH"))
    else:
        import platform as here

        machine = here.machine().lower()
        goos = {"win32": "windows"}.get(sys.platform, sys.platform)
        goarch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    if (goos, goarch) not in PLATFORMS:
        raise SystemExit(f"no wheel for {goos}/{goarch}; there are {', '.join('/'.join(p) for p in PLATFORMS)}")
    return PLATFORMS[goos, goarch]


class Build(build_py):
    """Puts the program beside the modules."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)  # what an earlier build left would be packed too
        super().run()
        tag = platform()
        if tag is None:
            print("no Go and no repository: the wheel is without the program vaeguard", file=sys.stderr)
            return
        out = Path(self.build_lib).resolve() / "vaeguard" / "bin" / ("vaeguard.exe" if tag.startswith("win") else "vaeguard")
        out.parent.mkdir(parents=True, exist_ok=True)
        for licence in ("LICENSE", "NOTICE"):  # of what is linked into it
            if (ROOT / licence).is_file():
                shutil.copy2(ROOT / licence, out.parent)
        if os.environ.get("VAEGUARD_BINARY"):
            shutil.copy2(os.environ["VAEGUARD_BINARY"], out)
            return
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(out), "./host/cmd/vaeguard"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "CGO_ENABLED": "0"}, check=True)


class Wheel(bdist_wheel):
    """Tags the wheel: any Python 3, one platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", platform() or "any"


class Platform(Distribution):
    """A distribution that is for one platform if it holds the program."""

    def has_ext_modules(self) -> bool:
        return platform() is not None


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel}, distclass=Platform)
