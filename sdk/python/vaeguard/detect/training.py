"""A training as a process of vaeguard's, with its progress, its history and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional

from .. import _program
from .._lend import Lender

logger = logging.getLogger(__name__)

History = Dict[str, List[float]]
"""A list for each metric, with a number for each epoch."""

_STAGES = {"detector": "train", "predict": "ask the model", "classifier": "train the classifier"}
_GRACE = 20  # seconds for an orderly end


def train(
    spec: str,
    out: str,
    lender: Optional[Lender] = None,
    verbose: bool = True,
    binary: Optional[str] = None,
    threads: int = 0,
    base: Optional[str] = None,
) -> History:
    """Trains the detector of the spec's file into the folder out. Returns what each epoch measured.

    base: the folder that relative paths of the spec start from; None: its own.

    Raises RuntimeError with what vaeguard says if it fails, from what the model raised if that was the cause. Whatever is
    raised here meanwhile, such as KeyboardInterrupt, ends the process first.
    """
    command = [_program.find(binary), "train", spec, "--out", out, "--force", "--progress-json"]
    if threads:
        command += ["--threads", str(threads)]
    if base is not None:
        command += ["--base", base]
    if lender:
        lender.error = None
    environment = {**os.environ, **(lender.environment if lender else {})}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    said: List[str] = []
    assert process.stdout is not None
    drained = threading.Thread(target=process.stdout.read, daemon=True)
    drained.start()
    history: History = {}
    try:
        with _bars(verbose) as show:
            for raw in process.stderr or ():
                text = raw.decode(errors="replace").rstrip()
                report = _report(text)
                if report is None:
                    said = [*said, text][-20:]
                    continue
                show(report)
                if report["stage"] == "detector" and report.get("ended"):
                    for name, value in sorted(report.get("metrics", {}).items()):
                        history.setdefault(name, []).append(value)
        process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        drained.join(5)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    if process.returncode:
        text = "\n".join(said) or f"vaeguard ended with status {process.returncode}"
        cause = lender.error if lender else None
        raise RuntimeError(text[10:] if text.startswith("vaeguard: ") else text) from cause
    for line in said:
        logger.warning(line)
    return history


def _report(text: str) -> Optional[Dict[str, Any]]:
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "stage" in found else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process as Ctrl-C does, and by force if it stays."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


Show = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def _bars(verbose: bool) -> Iterator[Show]:
    """Shows reports as bars of tqdm's, in a notebook too, or without that package as a line an epoch."""
    if not verbose:
        yield lambda report: None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield _line
        return
    bars: Dict[str, Any] = {}

    def show(report: Mapping[str, Any]) -> None:
        stage = report["stage"]
        if stage not in bars:
            if report["done"] >= report["total"] and not report.get("epochs"):
                return
            bars[stage] = tqdm(total=report["total"], desc=_STAGES.get(stage, stage), file=sys.stderr)
        bar = bars[stage]
        bar.set_postfix({k: f"{v:.4g}" for k, v in report.get("metrics", {}).items()}, refresh=False)
        bar.update(report["done"] - bar.n)
        if report["done"] >= report["total"]:
            bars.pop(stage).close()

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def _line(report: Mapping[str, Any]) -> None:
    if report.get("ended") and report.get("epochs"):
        metrics = "  ".join(f"{k} {v:.4g}" for k, v in sorted(report.get("metrics", {}).items()))
        print(f"{_STAGES.get(report['stage'], report['stage'])} epoch {report['epoch']}/{report['epochs']}  {metrics}", file=sys.stderr)
