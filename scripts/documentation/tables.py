"""Tables of the documentation site, made from what the code and the model repository say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway import errors, metrics
from gateway.card import Card, read_card
from gateway.models import ATTRIBUTE_MODELS, DETECTOR
from gateway.settings import COMPOSED, DATA, REPOSITORY, Settings, repository_in_force
from scripts.documentation.openapi import document

MODELS = (DETECTOR, *ATTRIBUTE_MODELS)
# The learned part of face_align has a model.toml and no card.
WITH_WEIGHTS = (DETECTOR, "face_align", *ATTRIBUTE_MODELS)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def settings() -> str:
    """Every setting of the gateway."""
    rows = [(f"`VULTUS_{name.upper()}`", _default(field), field.description) for name, field in Settings.model_fields.items()]
    return table(("variable", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is repository_in_force:
        return f"`{COMPOSED}` in the folder of data where there is one, else `{REPOSITORY.name}`"
    value = field.default
    if value is None or value in ("", SecretStr("")):
        return ""
    if value == DATA:
        return f"`{DATA.name}` in the clone, or `~/.local/share/vultus` without one"
    return f"`{json.dumps(value)}`" if isinstance(value, bool | tuple) else f"`{value}`"


def error_codes() -> str:
    """Every error that /v1 can answer with."""
    found = {error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, errors.GatewayError)}
    leaves = [error for error in found if not error.__subclasses__()]
    rows = [(error.status, f"`{error.code}`", error.title) for error in sorted(leaves, key=lambda error: (error.status, error.code))]
    return table(("status", "code", "title"), rows)


def metric_names() -> str:
    """Every metric of the gateway."""
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    described = [(next(iter(metric.describe())), metric._labelnames) for metric in found]
    rows = [(f"`{m.name}{'_total' if m.type == 'counter' else ''}`", m.type, ", ".join(labels), m.documentation) for m, labels in described]
    return table(("name", "type", "labels", "meaning"), rows)


def endpoints() -> str:
    """Every documented path."""
    paths = document()["paths"]
    rows = [(method.upper(), f"`{path}`", said["summary"]) for path, methods in paths.items() for method, said in methods.items()]
    return table(("method", "path", ""), rows)


def fields(model: str) -> str:
    """The fields of a model of the OpenAPI document. Raises KeyError."""
    schemas = document()["components"]["schemas"]
    rows = [(f"`{name}`", _kind(said), _meaning(said, schemas)) for name, said in schemas[model]["properties"].items()]
    return table(("field", "", "meaning"), rows)


def _kind(said: dict[str, Any]) -> str:
    """A type in words: `number`, `list of Face`, the name of a model."""
    if "anyOf" in said:
        return " or ".join(_kind(one) for one in said["anyOf"] if one.get("type") != "null")
    if "$ref" in said:
        return f"`{said['$ref'].rpartition('/')[2]}`"
    if said.get("type") == "array":
        return f"list of {_kind(said['items'])}"
    if isinstance(said.get("additionalProperties"), dict):
        return f"{_kind(said['additionalProperties'])} by name"
    return str(said.get("type", ""))


def _meaning(said: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Its own description, or that of the model that it is, or its bounds."""
    for one in (said, *said.get("anyOf", ()), said.get("items", {})):
        found = one.get("description") or schemas.get(one.get("$ref", "").rpartition("/")[2], {}).get("description")
        if found:
            return str(found)
    bounded = next((one for one in (said, *said.get("anyOf", ())) if "maximum" in one), None)
    return f"{bounded['minimum']:g} to {bounded['maximum']:g}" if bounded else ""


@cache
def card(model: str) -> Card:
    """A model's model.toml."""
    return read_card(REPOSITORY / model)


@cache
def results(model: str) -> dict[str, Any]:
    """A model's results.json. Raises OSError."""
    found: dict[str, Any] = json.loads((REPOSITORY / model / "results.json").read_text())
    return found


def measured() -> str:
    """One row a tensor: what was measured on it."""
    return table(
        ("model", "version", "answer", "measured on pictures that it never saw"),
        [
            (f"[{model}](model-cards/{model}.md)", card(model).version, f"`{tensor}`", figures["summary"])
            for model in MODELS
            for tensor, figures in results(model).items()
        ],
    )


def summary(model: str, tensor: str) -> str:
    """What was measured on one tensor, in words. Raises KeyError."""
    said: str = results(model)[tensor]["summary"]
    return said


def by_group(model: str, tensor: str, groups: Sequence[str], prefix: str = "") -> str:
    """The figures of a tensor for groups of people, those that were measured. Raises LookupError when none was."""
    figures = results(model)[tensor]
    rows = [(group, figures.get(f"{prefix}{group}")) for group in groups]
    lines = [(group, f"{f['value']:.3g}", f"{f['low']:.3g} to {f['high']:.3g}", f.get("n", "")) for group, f in rows if f]
    if not lines:
        raise LookupError(f"no figure of {tensor} of {model} for any of {groups}")
    return table(("group", "value", "95 % interval", "pictures"), lines)


@cache
def wild(model: str) -> dict[str, Any]:
    """A model's wild.json. Raises OSError."""
    found: dict[str, Any] = json.loads((REPOSITORY / model / "wild.json").read_text())
    return found


# What is said on the page about strangers' pictures: words, model, where our figure is in wild.json, where a public net's.
HEADLINES = (
    (
        "crowds: faces of 32 px and more that are found",
        "face_detector",
        "crowds/32 and over/recall",
        "crowds, YuNet 640/32 and over/recall",
    ),
    (
        "crowds: answers of 32 px and more that are faces",
        "face_detector",
        "crowds/32 and over/precision",
        "crowds, YuNet 640/32 and over/precision",
    ),
    ("crowds: faces of 16 to 32 px that are found", "face_detector", "crowds/16-32/recall", "crowds, YuNet 640/16-32/recall"),
    ("FairFace: faces that are not found", "face_detector", "fairface_undetected", ""),
    ("FairFace: gender, from 20 years on", "face_demographics", "fairface_gender_20_and_over", ""),
    ("FairFace: gender, worst of seven races", "face_demographics", "fairface_gender_worst_race", ""),
    ("FairFace: mean recall of six races", "face_demographics", "fairface_race_mean_recall", ""),
    ("FairFace: age within its band", "face_demographics", "fairface_age_band", ""),
    ("FairFace: age within one band", "face_demographics", "fairface_age_band_within_one", ""),
    ("London portraits: age error in years", "face_demographics", "london/age_error", "london, face-api/age_error"),
    ("London portraits: gender", "face_demographics", "london/gender", "london, face-api/gender"),
    ("CFD, grey: bare faces with glasses", "face_accessories", "cfd_glasses_on_bare", "cfd_glasses, ZhouKai90_on_bare"),
    ("CFD, grey: bare heads with a hat", "face_accessories", "cfd_hat_on_bare", ""),
    ("London: smiles that are found", "face_expression", "london_smiles_found", ""),
    ("London: living faces called spoof", "face_liveness", "london_called_spoof_gamma_1.0", ""),
    ("the same, brightened by a gamma of 0.5", "face_liveness", "london_called_spoof_gamma_0.5", ""),
    ("strange replay attacks: mean AUC of the sources", "face_liveness", "replay_auc_mean_of_sources", ""),
)


def wild_headlines() -> str:
    """How the models do on strangers' pictures, beside public nets where one was measured in the same run."""
    rows = [(words, _figure(wild(model), ours), _figure(wild(model), theirs) if theirs else "") for words, model, ours, theirs in HEADLINES]
    return table(("strangers' pictures", "ours", "public net"), rows)


def steadiness() -> str:
    """How far answers move when only the picture changes."""
    figures = wild("face_demographics")["steadiness"]
    columns = list(next(iter(figures.values())))
    head = ("change", *(column.replace("_", " ") for column in columns))
    return table(head, [(change, *(f"{row[column]:.3g}" for column in columns)) for change, row in figures.items()])


def _figure(figures: dict[str, Any], place: str) -> str:
    for key in place.split("/"):
        figures = figures[key]
    return f"{figures['value']:.3g}" if isinstance(figures, dict) else f"{figures:.3g}"


def licences() -> str:
    """What every weight is licensed under and learned from."""
    parts: list[str] = []
    for model in WITH_WEIGHTS:
        told = card(model)
        parts += [f"## {model} {told.version}", f"{told.licence.summary}. {told.licence.commercial_use}"]
        parts += ["\n".join(f"- {item}" for item in told.training.data)]
        parts += [f"Teachers: {told.training.teacher}.", f"sha256: `{told.file.sha256}`"]
    return "\n\n".join(parts)


def limits() -> str:
    """What every model is known to get wrong."""
    return "\n\n".join(f"**{model}**\n\n" + "\n".join(f"- {item}" for item in card(model).limits.known) for model in MODELS)
