"""What the author of a plugin implements."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

OUTPUT = "output"
LOGITS, PROBABILITIES = "logits", "probabilities"

Floats = npt.NDArray[np.float32]
"""A float32 array: a batch (N, …) of inputs, outputs or cotangents."""

Pullback = Callable[[Dict[str, Floats]], npt.ArrayLike]
"""Maps cotangents of named outputs, of the outputs' shapes, to their summed gradient at x, (N, input…)."""

Progress = Callable[..., None]
"""progress(epoch, step, steps, **metrics) reports from a fit. Epochs and steps count from 1; metrics are numbers."""

Range = Union[float, Sequence[float], npt.NDArray[Any]]
"""One end of the legal range: one number, one per feature, or nothing, (), if unknown."""


class Classifier:
    """What a plugin implements: predict, and gradient or forward if it has gradients.

    Class or instance attributes describe the model; set them in __init__ or configure.
    These methods are optional, and found by their names:

    gradient(x, dy): (N, input…), (N, classes) -> (N, input…), no mean over the batch
    forward(x, outputs): -> ({name: array}, pullback), with pullback as Pullback
    fit(x, y, val_x, val_y, options, seed, output_dir, progress): -> config dict for a later configure,
      paths in it relative to output_dir, the only place to write to; same seed, same bytes. x: (N, input…) float32,
      y: (N,) int64, val_x and val_y the same or None, options: dict, progress as Progress
    """

    name: str = "python"
    version: str = "0.1.0"
    input_shape: Optional[Tuple[int, ...]] = None
    """Per example, in the order of layout; None: not known yet."""
    layout: str = "flat"
    """flat, nhwc or nchw."""
    lo: Range = ()
    """The least legal input: one number, one per feature, or nothing if unknown."""
    hi: Range = ()
    """The largest legal input, as lo."""
    num_classes: int = 0
    """0: not known yet."""
    classes: Sequence[str] = ()
    """Their names, or nothing."""
    output: str = LOGITS
    """LOGITS or PROBABILITIES."""
    max_batch: int = 0
    """Rows per call; 0: no limit."""
    gradient_kind: Optional[str] = None
    """none, exact or estimated; None: exact if there is a gradient."""
    hidden: Mapping[str, Sequence[int]] = {}
    """Hidden layers that forward offers: name -> shape per example."""
    batch_invariant: bool = False
    """A promise: the answer to a row has the same bits in any batch."""
    digest: str = ""
    """"sha256:…" of the weights, or nothing."""
    schema: Optional[Dict[str, Any]] = None
    """JSON Schema draft-07 of the config, as a dict."""

    def configure(
        self,
        config: Dict[str, Any],
        base_dir: str,
        input_shape: Optional[Tuple[int, ...]] = None,
        classes: int = 0,
        seed: int = 0,
    ) -> None:
        """Called before the first predict, and after fit with what that returned.

        config: a dict that fits schema; paths in it are relative to base_dir.
        input_shape (images as H, W, C), classes: what the data has, or None and 0 if unknown.
        Raise ConfigError for what schema cannot say.
        """

    def predict(self, x: Floats) -> npt.ArrayLike:
        """(N, input…) float32 -> (N, classes), of the kind `output`. x is its own copy: it may be changed."""
        raise NotImplementedError
