"""What the detectors have in common: a spec, a training, a process that scores, alibi-detect's dictionaries."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from .. import _models, _program
from .._here import finalize
from .._lend import Lender
from .._rows import Rows, body, columns, numbers
from ..classifier import Floats
from ..detector import Detector, overrides
from .nets import Shape, Weights
from .spec import Spec, dump, load_tensors, save_tensors
from .training import History, train

logger = logging.getLogger(__name__)

Prediction = Dict[str, Dict[str, Any]]
"""{"meta": …, "data": …}, as alibi-detect has it."""

_CLIP = 1e-7  # Keras's, in kullback_leibler_divergence
_ROWS = 16  # of a detector that is built and not trained: they tell the shape
_SUFFIXES = (".npy", ".jsonl")
SPEC, START, DETECTOR = "spec.yaml", "start.safetensors", "detector"


class Parts(NamedTuple):
    """What a detector adds to a spec."""

    vae: Union[Dict[str, Any], str, None]
    """The section vae, or a word for it."""
    detector: Dict[str, Any]
    weights: Optional[Weights]
    """What the networks start as; None: vaeguard draws them."""


class AdversarialDetector:
    """The base of the detectors. model: see vaeguard.detect. seed: of everything that is drawn."""

    def __init__(
        self, model: Any, threshold: Optional[float], data_type: Optional[str], seed: int, binary: Optional[str], threads: int
    ) -> None:
        if model is None:
            raise TypeError("model is missing: the classifier to guard")
        self.model, self.seed, self.binary, self.threads = model, seed, binary, threads
        self._threshold = threshold
        self.history: History = {}
        """What the last fit measured: for each metric a list with a number for each epoch."""
        self.meta: Dict[str, Any] = {
            "name": type(self).__name__,
            "online": False,
            "data_type": data_type,
            "version": _version(),
            "detector_type": "adversarial",
        }
        self._begin()
        if threshold is None:
            logger.warning("No threshold level set. Need to infer threshold using `infer_threshold`.")

    def _begin(self) -> None:
        self._text: Optional[str] = None  # of the spec
        self._path: Optional[str] = None  # of the detector
        self._work: Optional[str] = None
        self._source: Optional[_models.Source] = None
        self._lender: Optional[Lender] = None
        self._scoring: Optional[Detector] = None
        self._columns: Optional[List[str]] = None  # of the table that it was fitted to
        self._saved: Optional[_models.Known] = None  # of a detector that was loaded
        self._allow: Sequence[str] = ()  # digests of commands that it may start

    def __repr__(self) -> str:
        return type(self).__name__

    @property
    def threshold(self) -> Optional[float]:
        """A score above it is adversarial; None: not known yet."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: Optional[float]) -> None:
        self._threshold = value

    # What a detector is

    def _parts(self, example: Shape) -> Parts:
        """The sections of the spec for rows of a shape, images NHWC."""
        raise NotImplementedError

    def _defaults(self) -> Dict[str, Any]:
        """Keys of the section train that this detector sets."""
        return {}

    @property
    def spec(self) -> str:
        """The spec of the last fit, as YAML: what `vaeguard train` makes the same detector of. save_spec writes the files that it names."""
        if self._text is None:
            raise RuntimeError("there is no spec before fit")
        return self._text

    def save_spec(self, folder: Union[str, os.PathLike[str]]) -> None:
        """Writes spec.yaml and the files that it names into a folder: `vaeguard train spec.yaml --out DETECTOR` gives the
        same bits, where the model is one that vaeguard reaches by itself. Raises RuntimeError for a detector that was loaded."""
        text = self.spec
        if self._work is None:
            raise RuntimeError(f"{self} was loaded: the rows and the first weights that its spec names are not in its folder")
        os.makedirs(folder, exist_ok=True)
        for name in [START, *(role + suffix for role in ("train", "validation", "calibration") for suffix in _SUFFIXES)]:
            if os.path.isfile(os.path.join(self._work, name)):
                shutil.copy2(os.path.join(self._work, name), folder)
        with open(os.path.join(folder, SPEC), "w", encoding="utf-8") as f:
            f.write(text)

    # Training

    def _train(
        self,
        x: Any,
        section: Optional[Mapping[str, Any]],
        verbose: bool,
        calibration: Any = None,
        validation: Any = None,
        names: Optional[List[str]] = None,
        **more: Any,
    ) -> None:
        """Makes the detector of rows: trains it, or with no section train takes its networks as they are. names: of the columns,
        where x no longer tells them. more: further sections of the spec."""
        self._trainable()
        names = columns(x) if names is None else names
        rows = numbers(x)
        source = self._found(rows)
        example, layout = self._example(rows)
        parts = self._parts(example)
        work = self._folder()
        data: Dict[str, Any] = {}
        first = rows if section is not None else rows[:_ROWS]
        for role, held in (("train", first), ("validation", validation), ("calibration", calibration)):
            if held is not None:
                data[role] = {"file": _written(work, role, numbers(held, names), names), "layout": layout}
        weights = parts.weights
        if self._path is not None and _layers(parts.vae):  # a further fit goes on
            own = load_tensors(os.path.join(self._path, "weights.safetensors"))
            weights = {k: v for k, v in own.items() if k.split(".")[0] in ("encoder", "decoder", "mean", "log_var", "student")}
        vae: Any = parts.vae
        found = {**parts.detector, "data_type": self.meta["data_type"]}
        if weights is not None:
            save_tensors(os.path.join(work, START), weights)
            if isinstance(vae, dict):
                vae = {**vae, "weights": START}
            else:
                found["student"] = {**found["student"], "weights": START}
        elif section is None:
            raise RuntimeError(f"{self} is not trained, and its networks have no weights: call fit")
        spec: Spec = {
            "api_version": "vaeguard/v1",
            "kind": "Experiment",
            "name": type(self).__name__,
            "seed": self.seed,
            "data": data,
            "classifier": source.section,
            "vae": vae,
            "detector": found,
            "train": section,
            "threshold": {"value": 0},
            **more,
        }
        text, base = dump(spec), None
        if isinstance(self.model, dict):  # its relative paths start here, and not where the rows are
            base = os.getcwd()
            given = _absolute(spec, work)
        else:
            given = spec
        with open(os.path.join(work, SPEC), "w", encoding="utf-8") as f:
            f.write(dump(given))
        out = os.path.join(work, DETECTOR + ".new")
        shutil.rmtree(out, ignore_errors=True)
        try:
            history = train(os.path.join(work, SPEC), out, self._lender, verbose, self.binary, self.threads, base)
        finally:
            shutil.rmtree(out + ".partial", ignore_errors=True)
        self._stop()
        path = os.path.join(work, DETECTOR)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(out, path)
        self._path, self._text, self.history, self._columns = path, text, history, names

    def _trainable(self) -> None:
        """Refuses a detector that was loaded."""
        if self._saved is not None:
            raise RuntimeError(f"{self} was loaded, and cannot be trained further: its rows and first weights stayed with their maker")

    def _found(self, rows: Optional[Rows] = None) -> _models.Source:
        """Where the model is, asked once: of rows, or of a detector that was loaded."""
        if self._source is None:
            self._source = _models.source(self.model, rows if self._saved is None else None, self._saved)
            if self._source.classifier is not None:
                self._lender = Lender(self._source.classifier)
                finalize(self, self._lender.close)
        return self._source

    def _example(self, rows: Rows) -> Tuple[Shape, Optional[str]]:
        """The shape of a row as vaeguard has it, images NHWC, and the layout of the user's images."""
        shape = tuple(int(d) for d in rows.shape[1:])
        classifier = self._found(rows).classifier
        if len(shape) == 3 and classifier is not None and classifier.layout == "nchw":
            return (shape[1], shape[2], shape[0]), "nchw"
        return shape, None

    def _folder(self) -> str:
        """A folder of this detector's own, which goes with it."""
        if self._work is None:
            self._work = tempfile.mkdtemp(prefix="vaeguard")
            finalize(self, shutil.rmtree, self._work, True)
        return self._work

    def _stop(self) -> None:
        if self._scoring is not None:
            self._scoring.close()
            self._scoring = None

    # Scoring

    def _arrays(self, x: Any) -> Dict[str, npt.NDArray[Any]]:
        rows: Any = x  # a table, which may hold text, for a detector that was loaded and knows its columns
        if self._saved is None or self._columns is None or columns(x) is None:
            rows = numbers(x, None if columns(x) is None else self._columns)
        if self._path is None:
            self._train(x, None, verbose=False)
        if self._scoring is None:
            assert self._path is not None
            parts = ("probabilities", "probabilities_reconstructed")
            found = self._found(None if self._saved is not None else rows)
            # A detector that was loaded may be asked with another form of its model.
            other = found.section if self._saved is not None and found.classifier is None and found.section else None
            self._scoring = Detector(self._path, self.binary, self._allow, other, include=parts, lender=self._lender)
        return self._scoring.arrays(rows)

    def score(self, X: Any, batch_size: int = int(1e10), return_predictions: bool = False) -> Any:  # noqa: N803
        """Scores of the rows X, (N,) float32; with return_predictions also the classifier's probabilities of the rows and of
        their reconstructions, (N, classes) float32 each. batch_size changes nothing: scores do not depend on it."""
        got = self._arrays(X)
        score: Floats = got["instance_score"].astype(np.float32)
        if not return_predictions:
            return score
        return score, got["probabilities"], got["probabilities_reconstructed"]

    def infer_threshold(
        self,
        X: Any,  # noqa: N803
        threshold_perc: float = 99.0,
        margin: float = 0.0,
        batch_size: int = int(1e10),
    ) -> None:
        """Sets the threshold to the threshold_perc-th percentile of the scores of X, plus margin."""
        self.threshold = float(np.percentile(self._arrays(X)["instance_score"], threshold_perc) + margin)

    def _flags(self, scores: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        if self.threshold is None:
            raise ValueError("there is no threshold: call infer_threshold, or set it")
        return (scores > self.threshold).astype(np.int64)

    def predict(self, X: Any, batch_size: int = int(1e10), return_instance_score: bool = True) -> Prediction:  # noqa: N803
        """Which of the rows X are adversarial: data has instance_score, (N,) float32 or None, and is_adversarial, (N,) int64."""
        scores = self._arrays(X)["instance_score"]
        data: Dict[str, Any] = {"instance_score": None, "is_adversarial": self._flags(scores)}
        if return_instance_score:
            data["instance_score"] = scores.astype(np.float32)
        return {"data": data, "meta": self.meta}

    def _correct(self, x: Any, with_score: bool, with_all: bool) -> Prediction:
        got = self._arrays(x)
        flags = self._flags(got["instance_score"])
        before, after = got["predicted"], got["reconstructed"]
        data: Dict[str, Any] = {
            "instance_score": got["instance_score"].astype(np.float32) if with_score else None,
            "is_adversarial": flags,
            "corrected": np.where(flags == 1, after, before),
            "no_defense": before if with_all else None,
            "defense": after if with_all else None,
        }
        return {"data": data, "meta": self.meta}

    # Saving

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes a detector folder, which must not be there, and which the program, Go and load_detector open. With the threshold
        that the detector was made or loaded with it is a copy."""
        if self._path is None:
            raise RuntimeError(f"{self} is not trained: call fit")
        if self.threshold is None:
            raise ValueError("there is no threshold to save: call infer_threshold, or set it")
        out = os.fspath(path)
        if os.path.lexists(out):
            raise FileExistsError(f"{out} exists: choose another folder")
        if self._saved is not None:
            self._found()
        self._run("calibrate", self._path, "--value", repr(float(self.threshold)), "--out", out, *self._opened())

    def _opened(self) -> List[str]:
        """The flags with which the detector opens: another form of its model, and commands that it may start."""
        found = self._source
        flags = overrides(found.section) if self._saved is not None and found and found.classifier is None else []
        return [*flags, *(part for digest in self._allow for part in ("--allow-command", digest))]

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, **(self._lender.environment if self._lender else {})}
        done = subprocess.run(
            [_program.find(self.binary), *arguments, "--quiet"], check=False, capture_output=True, text=True, env=environment
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or f"vaeguard {arguments[0]} failed")

    def close(self) -> None:
        """Ends the processes that serve this detector; they start again when they are needed."""
        self._stop()


def _layers(vae: Union[Dict[str, Any], str, None]) -> bool:
    """Whether a section vae has its layers itself."""
    return vae != "auto" and not (isinstance(vae, dict) and "layers" in vae)


def _written(folder: str, role: str, rows: Rows, names: Optional[Sequence[str]]) -> str:
    """The name of a new file of rows: an array, or lines of JSON by the names of columns, which the detector then knows."""
    for suffix in _SUFFIXES:  # of a fit before
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, role + suffix))
    if names is None:
        np.save(os.path.join(folder, role + _SUFFIXES[0]), rows)
        return role + _SUFFIXES[0]
    with open(os.path.join(folder, role + _SUFFIXES[1]), "wb") as f:
        f.write(body([dict(zip(names, row)) for row in rows.tolist()])[1])
    return role + _SUFFIXES[1]


def _absolute(spec: Spec, folder: str) -> Spec:
    """A spec with absolute paths of what a detector has written into its folder."""

    def weighted(section: Any) -> Any:
        if not isinstance(section, dict) or "weights" not in section:
            return section
        return {**section, "weights": os.path.join(folder, section["weights"])}

    data = {role: {**source, "file": os.path.join(folder, source["file"])} for role, source in spec["data"].items()}
    found = {**spec["detector"], "student": weighted(spec["detector"].get("student"))}
    return {**spec, "data": data, "vae": weighted(spec["vae"]), "detector": found}


def _version() -> str:
    from .. import __version__

    return __version__
