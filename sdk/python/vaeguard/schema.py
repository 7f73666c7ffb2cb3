"""A config against the JSON Schema of its classifier: the usual keywords of draft-07; the host checks the rest."""

from __future__ import annotations

import json
import operator
from typing import Any, Callable, Dict, Iterable, List, Mapping, Tuple

from ._errors import ConfigError
from .classifier import Classifier

Complaint = Tuple[str, str]  # JSON pointer, message
Bound = Tuple[str, str, Callable[[Any, Any], bool]]  # keyword, in words, whether a value keeps it

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_NUMBER: Tuple[Bound, ...] = (
    ("minimum", "at least", operator.ge),
    ("maximum", "at most", operator.le),
    ("exclusiveMinimum", "more than", operator.gt),
    ("exclusiveMaximum", "less than", operator.lt),
)
_STRING: Tuple[Bound, ...] = (("minLength", "at least", operator.ge), ("maxLength", "at most", operator.le))
_ARRAY: Tuple[Bound, ...] = (("minItems", "at least", operator.ge), ("maxItems", "at most", operator.le))


def check_config(classifier: Classifier, config: Any) -> None:
    """Raises ConfigError for what does not fit classifier.schema. No schema and no configure take an empty config only."""
    bad: List[Complaint] = []
    if classifier.schema:
        bad = list(_complaints(classifier.schema, config, ""))
    elif type(classifier).configure is Classifier.configure and config:
        bad = [("", "this classifier takes no config")]
    elif not isinstance(config, dict):
        bad = [("", f"got {_brief(config)}, want an object")]
    if bad:
        raise ConfigError(*bad)


def _complaints(schema: Mapping[str, Any], v: Any, at: str) -> Iterable[Complaint]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(v, k) for k in kinds):
        yield at, f"got {_brief(v)}, want {' or '.join(kinds)}"
        return
    if "enum" in schema and v not in schema["enum"]:
        yield at, f"got {_brief(v)}, want one of {', '.join(map(json.dumps, schema['enum']))}"
    if _is(v, "number"):
        for key, text, holds in _NUMBER:
            if key in schema and not holds(v, schema[key]):
                yield at, f"got {v}, want {text} {schema[key]}"
    if isinstance(v, (str, list)):
        for key, text, holds in _STRING if isinstance(v, str) else _ARRAY:
            if key in schema and not holds(len(v), schema[key]):
                yield at, f"has length {len(v)}, want {text} {schema[key]}"
    if isinstance(v, list) and isinstance(schema.get("items"), dict):
        for i, e in enumerate(v):
            yield from _complaints(schema["items"], e, f"{at}/{i}")
    if isinstance(v, dict):
        yield from _properties(schema, v, at)


def _properties(schema: Mapping[str, Any], v: Dict[str, Any], at: str) -> Iterable[Complaint]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    for k in schema.get("required", []):
        if k not in v:
            yield at, f"missing property {k!r}"
    for k, e in sorted(v.items()):
        below = at + "/" + k.replace("~", "~0").replace("/", "~1")
        if k in known:
            yield from _complaints(known[k], e, below)
        elif rest is False:
            yield below, f"unknown key; known: {', '.join(sorted(known))}"
        elif isinstance(rest, dict):
            yield from _complaints(rest, e, below)


def _is(v: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(v, (int, float)) and not isinstance(v, bool) and (kind == "number" or v == int(v))
    return isinstance(v, _TYPES.get(kind, object))


def _brief(v: Any) -> str:
    return json.dumps(v)[:40]
