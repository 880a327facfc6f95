"""``restauro models``."""

from __future__ import annotations

import json as json_module
import sys
from typing import Any

from restauro.errors import ModelError, UsageError
from restauro.models import MODELS, Weights, facts_of, find, load


def models(action: str = "list", name: str | None = None, *, json: bool = False) -> int:
    """List the models, or show one.

    Examples:

    restauro models list

    restauro models show desmooth-general

    restauro models show ./runs/mine/mine.safetensors --json

    Parameters
    ----------
    action
        list or show.
    name
        For show: a model's name, or the path of a .safetensors file.
    json
        As one JSON document.
    """
    if action == "list":
        return _list(json)
    if action != "show":
        raise UsageError(f"models: found {action!r}, wanted list or show")
    if name is None:
        raise UsageError("models show: found no name, wanted a model's name or a file; see restauro models list")
    card = _card(find(name))
    _say(json_module.dumps(card, indent=2, ensure_ascii=False) if json else _readable(card))
    return 0


def _list(as_json: bool) -> int:
    rows = [_row(name) for name in MODELS]
    if as_json:
        _say(json_module.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        size = f"{row['bytes'] / 2**20:.1f} MiB" if row["bytes"] else "not in this build"
        _say(f"{row['name']:<22}{row['verb']:<10}{size:<10} {row['summary']}")
    return 0


def _row(name: str) -> dict[str, Any]:
    spec = MODELS[name]
    try:
        size: int | None = find(name).bytes
    except ModelError:
        size = None
    return {"name": name, "verb": spec.verb, "bytes": size, "summary": spec.summary, "paper": spec.paper}


def _card(weights: Weights) -> dict[str, Any]:
    """Everything known about one model; ``net`` is built to count what can be counted."""
    net = load(weights)
    spec = MODELS.get(weights.name)
    facts = facts_of(net)
    recipe = json_module.loads(weights.metadata.get("recipe", "{}"))
    return {
        "name": weights.name,
        "verb": spec.verb if spec else recipe.get("verb"),
        "summary": spec.summary if spec else recipe.get("summary"),
        "paper": spec.paper if spec else None,
        "file": str(weights.path),
        "bytes": weights.bytes,
        "sha256": weights.sha256,
        "parameters": sum(p.numel() for p in net.parameters()),
        "architecture": weights.architecture,
        "options": dict(weights.options),
        "facts": {
            "multiple": facts.multiple,
            "halo_px": facts.halo_px,
            "global_statistics": facts.global_statistics,
            "precisions": list(facts.precisions),
            "bfloat16_db": facts.bfloat16_db,
            "bytes_per_px": facts.bytes_per_px,
        },
        "code licence": "Apache-2.0",
        "terms": recipe.get("terms"),
        "recipe": weights.record.get("recipe"),
        "iterations": weights.metadata.get("iterations"),
        "data": [one["name"] for one in recipe.get("data", {}).get("train", [])],
        "data_sha256": weights.metadata.get("data_sha256"),
        "scores": weights.record.get("scores") or json_module.loads(weights.metadata.get("scores", "[]")),
    }


def _readable(card: dict[str, Any]) -> str:
    lines = []
    for key, value in card.items():
        if key == "scores":
            lines += [f"{'score':<18}{_score(score)}" for score in value]
        elif isinstance(value, dict):
            lines.append(f"{key:<18}{', '.join(f'{k} = {v}' for k, v in value.items())}")
        elif isinstance(value, list):
            lines.append(f"{key:<18}{', '.join(map(str, value))}")
        elif value is not None:
            lines.append(f"{key:<18}{value}")
    return "\n".join(lines)


def _score(score: dict[str, Any]) -> str:
    interval = f" [{score['low']:+.4g}, {score['high']:+.4g}]" if "low" in score else ""
    return (
        f"{score['set']}, {score['metric']}: {score['mean']:.4g}, gain over the input {score['gain']:+.4g}{interval} "
        f"on {score['pictures']} pictures; {score.get('command', 'restauro train, at its end')}"
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
