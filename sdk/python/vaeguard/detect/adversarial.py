"""AdversarialVAE, AdversarialAE and ModelDistillation, with alibi-detect's arguments and defaults."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from . import options
from .base import AdversarialDetector, Parts, Prediction
from .nets import Net, Shape, Weights, glorot, prefixed, read, size

_CLIP = 1e-7  # of probabilities, as Keras's kullback_leibler_divergence has it
_FAR = int(1e10)


class AdversarialVAE(AdversarialDetector):
    """A variational auto-encoder whose reconstructions the classifier is asked about (alibi-detect's AdversarialVAE).

    threshold: a score above it is adversarial; None: infer_threshold sets it.
    model: the classifier, see vaeguard.detect.
    encoder_net, decoder_net: a Keras Sequential, a torch Sequential or a list of layers in a spec's words. The encoder ends
      before the code: its mean and its variance are layers of the detector's own.
    vae: a model of alibi-detect's instead of the two, with its weights.
    latent_dim: width of the code. samples: draws of the code for each row. beta: weight of the code's Kullback-Leibler term.
    hidden_layer_kld: {layer: units} of a Keras or torch model whose outputs count too; w_model_hl: their weights, 1 each.
    temperature: sharpens the classifier's prediction on the row, P^(1/T). data_type: "image" or "tabular", for the metadata.
    """

    def __init__(
        self,
        threshold: Optional[float] = None,
        vae: Any = None,
        model: Any = None,
        encoder_net: Any = None,
        decoder_net: Any = None,
        latent_dim: Optional[int] = None,
        samples: int = 10,
        beta: float = 0.0,
        data_type: Optional[str] = None,
        temperature: float = 1.0,
        hidden_layer_kld: Optional[Mapping[Any, int]] = None,
        w_model_hl: Optional[List[float]] = None,
        seed: int = 0,
        binary: Optional[str] = None,
        threads: int = 0,
    ) -> None:
        if vae is not None:
            encoder_net, decoder_net = vae.encoder.encoder_net, vae.decoder.decoder_net
            latent_dim = latent_dim or int(getattr(vae, "latent_dim", 0)) or None
        self.vae, self.encoder_net, self.decoder_net, self.latent_dim = vae, encoder_net, decoder_net, latent_dim
        self.samples, self.beta, self.temperature = samples, beta, temperature
        self.hidden = _Hidden(hidden_layer_kld, w_model_hl)
        if encoder_net is None or decoder_net is None:
            raise TypeError("want encoder_net and decoder_net, or vae")
        if not latent_dim:
            raise TypeError("want latent_dim, the width of the code")
        super().__init__(self.hidden.around(model), threshold, data_type, seed, binary, threads)

    def _parts(self, example: Shape) -> Parts:
        assert self.latent_dim is not None
        encoder = read(self.encoder_net, example, "encoder_net", free=self.vae is None)
        decoder = read(self.decoder_net, (self.latent_dim,), "decoder_net")
        vae = {"latent_dim": self.latent_dim, "log_var": "softplus", "encoder": encoder.layers, "decoder": decoder.layers}
        detector: Dict[str, Any] = {"method": "vae", "samples": self.samples, "beta": self.beta, **_common(self.temperature, self.hidden)}
        return Parts(vae, detector, _joined(encoder, decoder, self._heads(encoder)))

    def _heads(self, encoder: Net) -> Weights:
        """The two layers of the code: the model's own, or drawn as Keras draws them."""
        assert self.latent_dim is not None
        if self.vae is not None:
            own: Weights = {}
            for name, layer in (("mean", self.vae.encoder.fc_mean), ("log_var", self.vae.encoder.fc_log_var)):
                for key, value in zip(("kernel", "bias"), layer.get_weights()):
                    own[f"{name}.{key}"] = np.asarray(value, np.float32)
            return own
        if encoder.outputs is None:
            return {}
        r, width = np.random.RandomState(self.seed % 2**32), size(encoder.outputs)
        return {
            f"{name}.{key}": glorot(r, width, self.latent_dim) if key == "kernel" else np.zeros(self.latent_dim, np.float32)
            for name in ("mean", "log_var")
            for key in ("kernel", "bias")
        }

    def fit(
        self,
        X: Any,  # noqa: N803
        loss_fn: Any = None,
        w_model: float = 1.0,
        w_recon: float = 0.0,
        optimizer: Any = "adam",
        cov_elbo: Optional[Mapping[str, Any]] = None,
        epochs: int = 20,
        batch_size: int = 64,
        verbose: bool = True,
        log_metric: Any = None,
        callbacks: Any = None,
        preprocess_fn: Any = None,
        **train: Any,
    ) -> None:
        """Trains on the rows X, (N, …), for which the classifier's answers before and after the auto-encoder are to agree.

        loss_fn: None, or the name of one of vaeguard's losses. cov_elbo: dict(sim=σ), the default with .05,
        dict(cov_diag=None) or dict(cov_full=None). optimizer: a name, one of Keras or torch. log_metric: a name, or a pair as alibi-detect
        has it. train: further keys of a spec's section train. A second fit goes on from the first.
        """
        cov = options.covariance(cov_elbo or {"sim": 0.05})
        loss = {"adversarial": {"w_model": w_model, "w_recon": w_recon, "cov_elbo": cov}}
        section = _section(_loss(loss_fn, loss), optimizer, epochs, batch_size, log_metric, callbacks, preprocess_fn)
        self._train(X, {**section, "elbo_reduction": "sum", **train}, verbose)

    def correct(
        self,
        X: Any,  # noqa: N803
        batch_size: int = _FAR,
        return_instance_score: bool = True,
        return_all_predictions: bool = True,
    ) -> Prediction:
        """The classes of the rows X, those of their reconstructions where they are adversarial: data has instance_score,
        is_adversarial, corrected, and no_defense and defense, the classes before and after, (N,) each."""
        return self._correct(X, return_instance_score, return_all_predictions)


class AdversarialAE(AdversarialDetector):
    """A plain auto-encoder in the place of AdversarialVAE's: no code with noise (alibi-detect's AdversarialAE).

    ae: a model of alibi-detect's instead of encoder_net and decoder_net. The rest is as AdversarialVAE's. latent_dim is the
    width of the encoder's end, which is known but for nets that are lists.
    """

    def __init__(
        self,
        threshold: Optional[float] = None,
        ae: Any = None,
        model: Any = None,
        encoder_net: Any = None,
        decoder_net: Any = None,
        model_hl: Any = None,
        hidden_layer_kld: Optional[Mapping[Any, int]] = None,
        w_model_hl: Optional[List[float]] = None,
        temperature: float = 1.0,
        data_type: Optional[str] = None,
        latent_dim: Optional[int] = None,
        seed: int = 0,
        binary: Optional[str] = None,
        threads: int = 0,
    ) -> None:
        options.refuse(model_hl=model_hl)
        if ae is not None:
            encoder_net, decoder_net = ae.encoder.encoder_net, ae.decoder.decoder_net
        if encoder_net is None or decoder_net is None:
            raise TypeError("want encoder_net and decoder_net, or ae")
        self.encoder_net, self.decoder_net, self.latent_dim, self.temperature = encoder_net, decoder_net, latent_dim, temperature
        self.hidden = _Hidden(hidden_layer_kld, w_model_hl)
        super().__init__(self.hidden.around(model), threshold, data_type, seed, binary, threads)

    def _parts(self, example: Shape) -> Parts:
        encoder = read(self.encoder_net, example, "encoder_net")
        width = self.latent_dim or (size(encoder.outputs) if encoder.outputs else 0)
        if not width:
            raise TypeError("want latent_dim: the width of the encoder's end is not known")
        image = encoder.outputs is not None and len(encoder.outputs) == 3
        decoder = read(self.decoder_net, encoder.outputs if image else (width,), "decoder_net")
        layers, weights = decoder.layers, decoder.weights
        if image:  # the code is a vector: it is made the image that the decoder takes
            layers = [{"reshape": {"target_shape": list(encoder.outputs or ())}}, *layers]
            weights = {f"{int(k.split('.')[0]) + 1}.{k.split('.', 1)[1]}": v for k, v in (weights or {}).items()}
        vae = {"latent_dim": width, "encoder": encoder.layers, "decoder": layers}
        detector: Dict[str, Any] = {"method": "ae", **_common(self.temperature, self.hidden)}
        return Parts(vae, detector, _joined(encoder, decoder._replace(weights=weights if decoder.weights is not None else None), {}))

    def fit(
        self,
        X: Any,  # noqa: N803
        loss_fn: Any = None,
        w_model: float = 1.0,
        w_recon: float = 0.0,
        optimizer: Any = "adam",
        epochs: int = 20,
        batch_size: int = 128,
        verbose: bool = True,
        log_metric: Any = None,
        callbacks: Any = None,
        preprocess_fn: Any = None,
        **train: Any,
    ) -> None:
        """Trains on the rows X. w_recon weighs the mean squared error. The rest is as AdversarialVAE.fit's."""
        loss = {"adversarial": {"w_model": w_model, "w_recon": w_recon}}
        section = _section(_loss(loss_fn, loss), optimizer, epochs, batch_size, log_metric, callbacks, preprocess_fn)
        self._train(X, {**section, "recon": "mse", **train}, verbose)

    correct = AdversarialVAE.correct


class ModelDistillation(AdversarialDetector):
    """A student that is trained on the classifier's answers; rows on which they differ are adversarial (alibi-detect's
    ModelDistillation).

    distilled_model: the student, a Keras or torch Sequential or a list of layers in a spec's words. A Keras or torch one
    ends in the layer of the classes, which a list leaves out. loss_type: "kld" or "xent", what is scored.
    """

    def __init__(
        self,
        threshold: Optional[float] = None,
        distilled_model: Any = None,
        model: Any = None,
        loss_type: str = "kld",
        temperature: float = 1.0,
        data_type: Optional[str] = None,
        seed: int = 0,
        binary: Optional[str] = None,
        threads: int = 0,
    ) -> None:
        if loss_type not in ("kld", "xent"):
            raise ValueError(f"loss_type {loss_type!r}, want kld or xent")
        if distilled_model is None:
            raise TypeError("distilled_model is missing: the student")
        self.distilled_model, self.loss_type, self.temperature = distilled_model, loss_type, temperature
        super().__init__(model, threshold, data_type, seed, binary, threads)

    def _parts(self, example: Shape) -> Parts:
        net = read(self.distilled_model, example, "distilled_model")
        layers, weights = list(net.layers), net.weights
        if weights is not None:  # the layer of the classes is the detector's own
            if layers and layers[-1] == {"activation": {"activation": "softmax"}}:
                layers.pop()
            last = layers.pop() if layers else None
            if not (isinstance(last, dict) and "dense" in last and last["dense"].get("activation") in (None, "softmax")):
                raise TypeError("distilled_model: want it to end in a dense layer of the classes")
            own = {k: v for k, v in weights.items() if int(k.split(".")[0]) < len(layers)}
            end = {k.split(".", 1)[1]: v for k, v in weights.items() if k not in own}
            end.setdefault("bias", np.zeros(last["dense"]["units"], np.float32))
            weights = prefixed("student", {**own, **prefixed("output", end)})
        score = {"kld": "kl", "xent": "cross_entropy"}[self.loss_type]
        detector = {"method": "distillation", "score": score, "student": {"layers": layers}, "temperature": self.temperature}
        return Parts(None, {**detector, "probability_clip": _CLIP}, weights)

    def fit(
        self,
        X: Any,  # noqa: N803
        loss_fn: Any = None,
        optimizer: Any = "adam",
        epochs: int = 20,
        batch_size: int = 128,
        verbose: bool = True,
        log_metric: Any = None,
        callbacks: Any = None,
        preprocess_fn: Any = None,
        **train: Any,
    ) -> None:
        """Trains the student on the classifier's answers to the rows X. The rest is as AdversarialVAE.fit's."""
        options.refuse(loss_fn=loss_fn)
        self._train(X, {**_section(None, optimizer, epochs, batch_size, log_metric, callbacks, preprocess_fn), **train}, verbose)


def _loss(given: Any, default: Mapping[str, Any]) -> Any:
    """What loss_fn says: the name of one of vaeguard's losses, or the default."""
    options.refuse(loss_fn=None if isinstance(given, str) else given)
    return given or default


def _section(
    loss: Any, optimizer: Any, epochs: int, batch_size: int, log_metric: Any, callbacks: Any, preprocess_fn: Any
) -> Dict[str, Any]:
    """What the three fits have in common of the section train."""
    options.refuse(callbacks=callbacks, preprocess_fn=preprocess_fn)
    return {
        "loss": loss,
        "optimizer": options.optimizer(optimizer),
        "epochs": epochs,
        "batch_size": batch_size,
        "log_metrics": options.metrics(log_metric),
    }


def _joined(encoder: Net, decoder: Net, heads: Weights) -> Optional[Weights]:
    """The weights of both nets; None if vaeguard is to draw them."""
    if encoder.weights is None and decoder.weights is None:
        return None
    if encoder.weights is None or decoder.weights is None:
        raise TypeError("one net has weights and the other is a list without: give both as networks, or both as lists")
    return {**prefixed("encoder", encoder.weights), **heads, **prefixed("decoder", decoder.weights)}


def _common(temperature: float, hidden: _Hidden) -> Dict[str, Any]:
    return {"score": "kl", "temperature": temperature, "probability_clip": _CLIP, "hidden_layers": hidden.section()}


class _Hidden:
    """hidden_layer_kld: layers of the model whose outputs count."""

    def __init__(self, units: Optional[Mapping[Any, int]], weights: Optional[List[float]]) -> None:
        self.units, self.names = dict(units or {}), [str(k) for k in (units or {})]
        self.weights = list(weights or [1.0] * len(self.units))
        if len(self.weights) != len(self.units):
            raise ValueError(f"w_model_hl has {len(self.weights)} weights for {len(self.units)} layers")

    def around(self, model: Any) -> Any:
        """The model, offering its hidden layers."""
        if not self.units or model is None:
            return model
        families = {(c.__module__ or "").split(".")[0] for c in type(model).__mro__}
        if "keras" in families or "tf_keras" in families:
            from ..keras import Keras

            self.names = [k if isinstance(k, str) else model.layers[k].name for k in self.units]
            return Keras(model, hidden=self.names)
        raise TypeError("hidden_layer_kld wants a Keras model; give others as vaeguard.torch.Torch(…, hidden=[…]), with names")

    def section(self) -> Optional[List[Dict[str, Any]]]:
        if not self.units:
            return None
        return [{"name": n, "units": u, "weight": w} for n, u, w in zip(self.names, self.units.values(), self.weights)]
