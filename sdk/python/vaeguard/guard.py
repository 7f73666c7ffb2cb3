"""The recommended guard: hardened, a threshold with a promised false-alarm rate, whatever the rows are."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import numpy as np
import numpy.typing as npt

from . import detector
from ._rows import Rows, columns, numbers
from .detect import options
from .detect.adversarial import AdversarialVAE
from .detect.base import AdversarialDetector, Parts, Prediction
from .detect.nets import Shape

_HELD = 0.1  # of the rows, for the threshold, and as many for validation
_FEW = 100  # rows, of which none are taken for validation
_RECOMMENDED, _FAST = "recommended", "fast"


class Guard(AdversarialDetector):
    """A guard around a classifier by the recipe that vaeguard's own measurements recommend (`vaeguard explain recommended`), where
    AdversarialVAE has alibi-detect's defaults.

    guard = vaeguard.Guard(model)
    guard.fit(X_train)
    guard.predict(X)["data"]["is_adversarial"]  # at most 5 % of clean rows like X_train

    model: see vaeguard.detect.
    encoder_net, decoder_net, latent_dim: as AdversarialVAE's; None: an auto-encoder that fits the shape of the rows.
    fpr: the false-alarm rate that the threshold promises for clean rows drawn like those of fit.
    eps: radius of the attacks that the auto-encoder is trained to withstand, in the units of X, in the largest norm; None: the
      recipe's balls; 0: none, as of preset fast.
    samples: draws of the code's noise for each row; None: the recipe's.
    X is an array, or a table (a DataFrame of pandas or polars, a pyarrow.Table, a list of dicts), whose columns then go by name.
    preset: recommended, fast (without hardening, in about a third of the time) or another of `vaeguard list preset`.
    """

    def __init__(
        self,
        model: Any,
        encoder_net: Any = None,
        decoder_net: Any = None,
        latent_dim: Optional[int] = None,
        fpr: float = 0.05,
        eps: Optional[float] = None,
        samples: Optional[int] = None,
        data_type: Optional[str] = None,
        seed: int = 0,
        binary: Optional[str] = None,
        threads: int = 0,
        preset: str = _RECOMMENDED,
    ) -> None:
        self.fpr, self.eps, self.samples = fpr, eps, samples
        self.preset = _FAST if eps == 0 and preset == _RECOMMENDED else preset
        self._nets: Optional[AdversarialVAE] = None
        if encoder_net is not None or decoder_net is not None or latent_dim is not None:
            self._nets = AdversarialVAE(0.0, None, model, encoder_net, decoder_net, latent_dim, seed=seed)
        super().__init__(model, 0.0, data_type, seed, binary, threads)
        self._threshold = None
        self._rule: Dict[str, Any] = {"fpr": fpr}

    @property
    def threshold(self) -> Optional[float]:
        """What fit set: a score above it is adversarial. It cannot be set, for it keeps a promise; None: not fitted yet."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: Optional[float]) -> None:
        raise AttributeError("fit sets the threshold of a Guard: give fpr, and to fit other rows as calibration")

    def _parts(self, example: Shape) -> Parts:
        found: Dict[str, Any] = {} if self.samples is None else {"samples": self.samples}
        if self._nets is None:
            table = len(example) == 1  # in the units of its columns, which the classifier gets
            return Parts({"layers": "auto", "normalize": "standard"} if table else "auto", found, None)
        parts = self._nets._parts(example)
        assert isinstance(parts.vae, dict)
        vae = {k: v for k, v in parts.vae.items() if k != "log_var"}
        return Parts(vae, found, parts.weights)

    def fit(
        self,
        X: Any,  # noqa: N803
        calibration: Any = None,
        epochs: Optional[int] = None,
        batch_size: Optional[int] = None,
        optimizer: Any = None,
        verbose: bool = True,
        validation: Any = None,
        **train: Any,
    ) -> None:
        """Trains on the rows X, (N, …), and sets the threshold by other clean rows.

        calibration: these rows; None: a tenth of X, which is not trained on. validation: rows by which hardening chooses the
        epoch whose guard stands most attacks; None: a tenth of X, of 100 rows or more. epochs, batch_size, optimizer; None: the recipe's,
        by the number and kind of the rows. train: further keys of a spec's section train, laid over the recipe's key by key.
        """
        self._trainable()
        names = columns(X)
        rows = numbers(X, names)
        if calibration is None:
            rows, calibration = self._held(rows, self.seed, max(1, int(len(rows) * _HELD)))
        else:
            calibration = numbers(calibration, names)
        if validation is None and len(rows) >= _FEW:
            rows, validation = self._held(rows, self.seed + 1, int(len(rows) * _HELD))
        elif validation is not None:
            validation = numbers(validation, names)
        own = {"optimizer": None if optimizer is None else options.optimizer(optimizer), "epochs": epochs, "batch_size": batch_size}
        section: Dict[str, Any] = {**{k: v for k, v in own.items() if v is not None}, **train}
        if self.eps and "harden" not in train:
            section["harden"] = {"norm": "linf", "eps": self.eps, "eps_unit": "", "also": []}
        self._train(rows, section, verbose, calibration, validation, names, threshold=self._rule, preset=self.preset)
        assert self._path is not None
        self._threshold = detector.inspect(self._path, self.binary)["detector"]["threshold"]["value"]

    @staticmethod
    def _held(rows: Rows, seed: int, held: int) -> Tuple[Rows, Rows]:
        """The rows without some that are drawn, and these, both in order."""
        order = np.random.RandomState(seed % 2**32).permutation(len(rows))
        return rows[np.sort(order[held:])], rows[np.sort(order[:held])]

    def _arrays(self, x: Any) -> Dict[str, npt.NDArray[Any]]:
        if self._path is None:
            raise RuntimeError(f"{self} is not trained: call fit")
        return super()._arrays(x)

    def predict(self, X: Any, batch_size: int = int(1e10), return_instance_score: bool = True) -> Prediction:  # noqa: N803
        """Judges the rows X: data has is_adversarial, instance_score, p_value (of a clean row with so high a score), and
        predicted, reconstructed and corrected, the classes of the row, of its reconstruction, and the one to believe, (N,) each."""
        got = self._arrays(X)
        data: Dict[str, Any] = {name: got[name] for name in ("is_adversarial", "instance_score", "p_value", "predicted", "reconstructed")}
        data["corrected"] = got["corrected"]
        if not return_instance_score:
            data["instance_score"] = None
        return {"data": data, "meta": self.meta}

    def correct(
        self,
        X: Any,  # noqa: N803
        batch_size: int = int(1e10),
        return_instance_score: bool = True,
        return_all_predictions: bool = True,
    ) -> Prediction:
        """alibi-detect's dictionary of the rows X: data has instance_score, is_adversarial, corrected, which is predict's, and
        no_defense and defense, the classes before and after, (N,) each."""
        got = self._arrays(X)
        data: Dict[str, Any] = {
            "instance_score": got["instance_score"] if return_instance_score else None,
            "is_adversarial": got["is_adversarial"],
            "corrected": got["corrected"],
            "no_defense": got["predicted"] if return_all_predictions else None,
            "defense": got["reconstructed"] if return_all_predictions else None,
        }
        return {"data": data, "meta": self.meta}

    def infer_threshold(self, X: Any, threshold_perc: float = 95.0, margin: float = 0.0, batch_size: int = int(1e10)) -> None:  # noqa: N803
        """Not the way of a Guard: fit sets a threshold that keeps its promise, by rows of its own. Raises TypeError."""
        raise TypeError("fit sets the threshold of a Guard: give fpr, and to fit other rows as calibration")
