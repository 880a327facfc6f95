"""``restauro.inspect``: was a picture smoothed, by what, how strongly, where, and what would help.

It speaks of pixels. It does not know who or what is in a picture, why it was smoothed, or by whom, and where it is not
sure enough it says that it cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from restauro.degrade.smoothers import settings_at
from restauro.picture import Picture
from restauro.restore.inspect.classifier import Classifier, Strength, Verdict, shipped
from restauro.restore.inspect.features import NAMES, PATCH_PX, Patches, features, patches_of

#: Fewest patches, and fewest with anything in them, that a verdict rests on.
FEWEST = 6
#: log2 of levels: a patch whose liveliest windows deviate less has nothing in it.
EMPTY: Final = 1.0

FAMILIES: Final[dict[str, str]] = {
    "none": "nothing that smooths",
    "l0": "L0 gradient minimisation or its like",
    "guided": "a guided or bilateral filter or their like",
    "rtv": "relative total variation or its like",
    "fgs": "weighted least squares, fast (FGS) or not, or its like",
    "domain-transform": "a domain transform or its like",
    "beautify": "a beauty filter: skin-coloured areas only",
    "other": "something else: blur, strong noise or strong compression",
}


@dataclass(frozen=True)
class Suggestion:
    """What would help: a verb, its model and its strength dial."""

    verb: str
    model: str
    strength: float


@dataclass(frozen=True, eq=False)
class Report:
    """What the pixels say.

    Parameters
    ----------
    verdict
        ``"smoothed"``, ``"not smoothed"`` or ``"cannot tell"``.
    reason
        One sentence.
    family
        The likeliest of :data:`FAMILIES` where it is likelier than all others together, else None.
    probabilities
        Family -> calibrated probability, sum 1; empty where there was too little to look at.
    strength
        None unless the verdict is ``"smoothed"``.
    settings
        The family's usual settings at that strength, for example ``{"lam": 0.02}``; empty without a family.
    places
        [R, C] float32, the probability that each patch of 64 px was smoothed; ``tops`` and ``lefts`` say where the
        patches lie, in pixels.
    suggestion
        What to try; None where nothing is known to help.
    classifier_sha256
        Of the weights that judged.
    """

    verdict: Verdict
    reason: str
    family: str | None
    probabilities: Mapping[str, float]
    strength: Strength | None
    settings: Mapping[str, float]
    places: NDArray[np.float32]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    suggestion: Suggestion | None
    classifier_sha256: str

    @property
    def smoothed(self) -> float | None:
        """Probability that any smoother was at work, or None where there was too little to look at."""
        if not self.probabilities:
            return None
        return float(1 - self.probabilities["none"] - self.probabilities["other"])

    def record(self) -> dict[str, Any]:
        """Everything as data that JSON can hold."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "smoothed": self.smoothed,
            "family": self.family,
            "probabilities": dict(self.probabilities),
            "strength": None if self.strength is None else asdict(self.strength),
            "settings": dict(self.settings),
            "places": {
                "patch_px": PATCH_PX,
                "tops": list(self.tops),
                "lefts": list(self.lefts),
                "smoothed": [[round(float(chance), 3) for chance in row] for row in self.places],
            },
            "suggestion": None if self.suggestion is None else asdict(self.suggestion),
            "classifier_sha256": self.classifier_sha256,
        }


def inspect(picture: Picture) -> Report:
    """Estimate which smoother was at work, how strongly and where.

    Parameters
    ----------
    picture
        What :func:`restauro.read` gave: any size, colour or grey, any depth.

    Returns
    -------
    Report
        An estimate about pixels; never a claim about a person. See ``docs/guide/inspect.md`` for how often it errs.

    Raises
    ------
    ModelError
        The classifier's weights are missing or damaged.

    Notes
    -----
    Cost: 0.7 ms per patch on one core and at most 100 patches, whatever the size of the picture. Patches lie evenly:
    the same picture gives the same report.

    Examples
    --------
    >>> from restauro.picture import from_array
    >>> report = inspect(from_array(np.zeros((48, 48, 3), np.float32)))
    >>> report.verdict, report.reason
    ('cannot tell', 'too small: found 0 places of 64 px to look at, wanted 6')
    """
    judge = shipped()
    patches = patches_of(picture.pixels)
    rows = features(patches.levels)
    places = judge.places(rows).reshape(len(patches.tops), len(patches.lefts))
    if few := too_little(rows):
        return _report(judge, patches, places, "cannot tell", few)
    chances, strength = judge.picture(rows)
    smoothed = 1 - chances["none"] - chances["other"]
    likeliest = max(chances, key=lambda name: chances[name])
    family = likeliest if chances[likeliest] > 0.5 else None
    verdict = judge.verdict(smoothed)
    if verdict == "cannot tell":
        wanted = judge.decided["smoothed_from"]
        reason = f"not sure enough: {_percent(smoothed)} for a smoother, wanted {100 * wanted:.1f} %"
        return _report(judge, patches, places, verdict, reason, family, chances)
    if verdict == "not smoothed":
        what = f", but {FAMILIES['other']}" if family == "other" else ""
        reason = f"{_percent(1 - smoothed)} for no smoother{what}"
        return _report(judge, patches, places, verdict, reason, family, chances)
    named = max(chances, key=lambda name: 0 if name in ("none", "other") else chances[name])
    reason = f"{_percent(smoothed)} for a smoother, {_percent(chances[named])} for {FAMILIES[named]}"
    suggestion = _suggest(judge, named, strength)
    return _report(judge, patches, places, verdict, reason, family, chances, strength, suggestion)


def _report(
    judge: Classifier,
    patches: Patches,
    places: NDArray[np.float32],
    verdict: Verdict,
    reason: str,
    family: str | None = None,
    chances: Mapping[str, float] | None = None,
    strength: Strength | None = None,
    suggestion: Suggestion | None = None,
) -> Report:
    return Report(
        verdict=verdict,
        reason=reason,
        family=family,
        probabilities=chances or {},
        strength=strength,
        settings=settings_at(family, strength.value) if strength and family else {},
        places=places,
        tops=patches.tops,
        lefts=patches.lefts,
        suggestion=suggestion,
        classifier_sha256=judge.sha256,
    )


def too_little(rows: NDArray[np.float32]) -> str:
    """Why these patches [P, F] are no ground for a verdict; empty where they are.

    >>> too_little(np.zeros((2, len(NAMES)), np.float32))
    'too small: found 2 places of 64 px to look at, wanted 6'
    """
    if len(rows) < FEWEST:
        return f"too small: found {len(rows)} places of {PATCH_PX} px to look at, wanted {FEWEST}"
    lively = int((rows[:, NAMES.index("deviation-95%")] > EMPTY).sum())
    if lively < FEWEST:
        return f"next to nothing to see: found {lively} places with something in them, wanted {FEWEST}"
    return ""


def _suggest(judge: Classifier, family: str, strength: Strength) -> Suggestion | None:
    """The model that helped most against this family in training, its dial read off at this strength."""
    known = judge.decided["suggestions"].get(family)
    if known is None:
        return None
    dial = float(np.interp(strength.value, known["at"], known["dial"]))
    return Suggestion("desmooth", known["model"], round(dial, 2)) if dial >= 0.05 else None


def _percent(chance: float) -> str:
    return f"{100 * min(max(chance, 0.01), 0.99):.0f} %"
