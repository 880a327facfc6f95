"""An outcome is a value that a match statement takes apart."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from restauro.restore.outcome import Evidence, Failed, Outcome, Restored, Skipped

EVIDENCE = Evidence("sasnet-small", "ab" * 32, "cpu", "bfloat16", 12, 1.5, ("one tile was computed again",))


def verdict(outcome: Outcome) -> str:
    match outcome:
        case Restored(picture, evidence):
            return f"restored {picture} by {evidence.model}"
        case Skipped(name, reason):
            return f"skipped {name}: {reason}"
        case Failed(name, reason):
            return f"failed {name}: {reason}"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Restored("a picture", EVIDENCE), "restored a picture by sasnet-small"),
        (Skipped("a.png", "exists"), "skipped a.png: exists"),
        (Failed("a.png", "is empty"), "failed a.png: is empty"),
    ],
)
def test_every_outcome_is_told_apart(outcome, expected):
    assert verdict(outcome) == expected


def test_skipped_and_failed_are_not_the_same():
    assert Skipped("a", "b") != Failed("a", "b")
    assert Skipped("a", "b") == Skipped("a", "b")


def test_outcomes_cannot_be_changed():
    for value, field in (
        (EVIDENCE, "tiles"),
        (Failed("a", "b"), "reason"),
        (Restored("p", EVIDENCE), "picture"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field, None)


def test_evidence_survives_json():
    back = json.loads(json.dumps(EVIDENCE.record()))
    assert Evidence(**{**back, "notes": tuple(back["notes"])}) == EVIDENCE
