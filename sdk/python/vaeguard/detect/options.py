"""Arguments of alibi-detect's fit in a spec's words."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

_OPTIMIZERS = {"adam": "adam", "adamw": "adamw", "sgd": "sgd", "rmsprop": "rmsprop"}
_METRICS = {
    "acc": "accuracy",
    "accuracy": "accuracy",
    "categorical_accuracy": "accuracy",
    "categoricalaccuracy": "accuracy",
    "mse": "mse",
    "mean_squared_error": "mse",
    "meansquarederror": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "meanabsoluteerror": "mae",
    "kl": "kl",
    "kld": "kl",
    "kl_divergence": "kl",
    "kldivergence": "kl",
    "reverse_kl": "reverse_kl",
    "confidence": "confidence",
}


def optimizer(given: Any) -> Any:
    """A name, a dict in a spec's words, an optimizer of Keras or its class, or an optimizer of torch."""
    if given is None or isinstance(given, (dict, str)):
        name = given if isinstance(given, str) else None
        if name is not None and name.lower() not in _OPTIMIZERS:
            raise ValueError(f"optimizer {name!r}; there are {', '.join(sorted(_OPTIMIZERS))}")
        return name.lower() if name else given
    kind = (given if isinstance(given, type) else type(given)).__name__.lower()
    if kind not in _OPTIMIZERS:
        raise TypeError(f"optimizer {kind} has no counterpart; there are {', '.join(sorted(_OPTIMIZERS))}")
    if isinstance(given, type):
        return kind
    return {kind: _torch(given) if hasattr(given, "param_groups") else _keras(kind, given)}


_KEYS = {
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "sgd": ("momentum", "nesterov"),
    "rmsprop": ("rho", "momentum", "epsilon"),
}


def _keras(kind: str, given: Any) -> Dict[str, Any]:
    config = given.get_config()
    rate = config["learning_rate"]
    if isinstance(rate, Mapping):
        raise TypeError("an optimizer with a schedule: give its learning rate as a number")
    for key in ("clipnorm", "global_clipnorm", "clipvalue", "amsgrad", "centered", "use_ema"):
        if config.get(key):
            raise TypeError(f"the optimizer's {key} has no counterpart")
    return {"learning_rate": float(rate), **{k: config[k] for k in _KEYS[kind] if config.get(k) is not None}}


def _torch(given: Any) -> Dict[str, Any]:
    group = given.param_groups[0]
    out: Dict[str, Any] = {"learning_rate": float(group["lr"])}
    if "betas" in group:
        out.update(beta_1=group["betas"][0], beta_2=group["betas"][1], epsilon=group["eps"])
    if group.get("momentum"):
        out["momentum"] = group["momentum"]
    return out


def covariance(given: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    """cov_elbo: dict(sim=.05), dict(cov_diag=None) or dict(cov_full=None)."""
    if given is None:
        return None
    if len(given) != 1 or next(iter(given)) not in ("sim", "cov_diag", "cov_full"):
        raise ValueError(f"cov_elbo is {dict(given)}, want one of sim, cov_diag and cov_full")
    ((key, value),) = given.items()
    if key == "sim":
        return {"sim": float(value)}
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"cov_elbo={{{key!r}: …}} with a matrix: vaeguard takes it from the rows; want None")
    return {key: dict(value or {})}


def metrics(given: Any) -> Optional[Sequence[str]]:
    """log_metric: a name, a pair of a name and a metric of Keras, or a list of names."""
    if given is None:
        return None
    if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[1], str):
        given = [given[0]]
    out = []
    for name in [given] if isinstance(given, str) else given:
        known = _METRICS.get(str(name).lower())
        if known is None:
            raise ValueError(f"log_metric {name!r} has no counterpart; there are {', '.join(sorted(set(_METRICS.values())))}")
        out.append(known)
    return out


def refuse(**given: Any) -> None:
    """Raises TypeError for what cannot be handed to another process."""
    why = {
        "callbacks": "the training is a process of vaeguard's, which calls none; ad.history has the metrics",
        "preprocess_fn": "apply it to X",
        "loss_fn": "the loss is vaeguard's: w_model, w_recon, cov_elbo and beta weigh it",
        "model_hl": "name the layers: hidden_layer_kld",
    }
    for name, v in given.items():
        if v is not None:
            raise TypeError(f"{name} cannot be taken over: {why[name]}")
