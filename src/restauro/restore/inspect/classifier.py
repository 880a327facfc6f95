"""The classifier of ``restauro inspect``: two small networks on standardised features, and how sure they may be.

One sees the pooled features of a picture (:func:`.features.pool`): which family? The other sees those of one patch:
was it smoothed? Both are one hidden layer with tanh; the strength is linear in the features, family by family. They are
trained by ``tools/train_inspect.py``. Their logits are divided by a temperature that was fitted on pictures they had
not seen (Guo et al. 2017, "On calibration of modern neural networks"), so that 80 % means four of five.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from restauro.errors import ModelError
from restauro.restore.inspect.features import NAMES, pool

FORMAT = "restauro-inspect-1"
FILE = "inspect.safetensors"

Floats = NDArray[np.float32]
Verdict = Literal["smoothed", "not smoothed", "cannot tell"]


@dataclass(frozen=True)
class Strength:
    """How strong the smoothing is, on the scale of :mod:`restauro.degrade.smoothers`.

    Parameters
    ----------
    value
        Estimate, 0 (hardly to be seen) to 1 (as flat as anybody makes it).
    low, high
        In four of five smoothed pictures the truth lies between them.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Classifier:
    """Weights and what was decided about them.

    Parameters
    ----------
    tensors
        ``picture.*`` and ``patch.*``: mean, deviation, hidden and output weights and biases.
    decided
        ``families``, ``temperature``, ``patch_temperature``, ``strength_margins``, ``smoothed_from`` and
        ``untouched_to`` (verdicts), ``suggestions``.
    sha256
        Of the file.
    """

    tensors: Mapping[str, Floats]
    decided: Mapping[str, Any]
    sha256: str

    @property
    def families(self) -> tuple[str, ...]:
        """What the probabilities are of: ``none`` first, ``other`` last."""
        return tuple(self.decided["families"])

    def picture(self, rows: Floats) -> tuple[dict[str, float], Strength]:
        """Probabilities of the families, and the strength if it was smoothed, from patches' features [P, F]."""
        x = pool(rows)[None]
        logits = self.logits("picture", x) / self.decided["temperature"]
        powers = np.exp(logits - logits.max())
        chances: Floats = powers / powers.sum()
        value = float(mixed_strength(chances, self.strengths(x))[0])
        margin = float(mixed_strength(chances, np.array([self.decided["strength_margins"]], np.float32))[0])
        strength = Strength(value, max(0.0, value - margin), min(1.0, value + margin))
        return dict(zip(self.families, map(float, chances[0]), strict=True)), strength

    def strengths(self, x: Floats) -> Floats:
        """The strength that pooled features [n, 4 F] would mean in each family, [n, families], 0..1."""
        weight, bias = self.tensors["picture.strength.weight"], self.tensors["picture.strength.bias"]
        found: Floats = np.clip(self._standardised("picture", x) @ weight.T + bias, 0, 1)
        return found

    def verdict(self, smoothed: float) -> Verdict:
        """What may be said of a picture that was smoothed with this probability."""
        if smoothed >= self.decided["smoothed_from"]:
            return "smoothed"
        return "not smoothed" if smoothed <= self.decided["untouched_to"] else "cannot tell"

    def places(self, rows: Floats) -> Floats:
        """Probability that each patch was smoothed, [P]."""
        logits = self.logits("patch", rows)[:, 0] / self.decided["patch_temperature"]
        chances: Floats = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return chances

    def logits(self, net: str, x: Floats) -> Floats:
        """What ``"picture"`` or ``"patch"`` puts out for features x [n, F], before any temperature."""
        t = self.tensors
        hidden = np.tanh(self._standardised(net, x) @ t[f"{net}.hidden.weight"].T + t[f"{net}.hidden.bias"])
        out: Floats = hidden @ t[f"{net}.out.weight"].T + t[f"{net}.out.bias"]
        return out

    def _standardised(self, net: str, x: Floats) -> Floats:
        z: Floats = np.clip((x - self.tensors[f"{net}.mean"]) / self.tensors[f"{net}.deviation"], -5, 5)
        return z


def mixed_strength(chances: Floats, each: Floats) -> Floats:
    """Mean of each family's value [n, families], weighted by its probability among the smoothers, [n].

    >>> mixed_strength(np.array([[0.2, 0.6, 0.2, 0.0]]), np.array([[9.0, 0.4, 0.8, 9.0]])).round(3)
    array([0.5])
    """
    among = chances[:, 1:-1]
    mixed: Floats = (among * each[:, 1:-1]).sum(1) / (among.sum(1) + 1e-12)
    return mixed


def load(path: Path) -> Classifier:
    """Read a classifier.

    Raises
    ------
    ModelError
        The file is missing, damaged, or made for other features.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as read_tensors

    try:
        data = path.read_bytes()
        tensors = read_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path}: found {error}, wanted the classifier of inspect; install restauro again") from None
    about = header.get("__metadata__", {})
    if about.get("format") != FORMAT or about.get("features") != ",".join(NAMES):
        raise ModelError(f"{path}: found another classifier, wanted one for these features; install restauro again")
    floats = {name: value.astype(np.float32) for name, value in tensors.items()}
    return Classifier(floats, json.loads(about["decided"]), hashlib.sha256(data).hexdigest())


@cache
def shipped() -> Classifier:
    """The classifier in the package.

    Examples
    --------
    >>> shipped().families
    ('none', 'l0', 'guided', 'rtv', 'fgs', 'domain-transform', 'beautify', 'other')
    """
    return load(Path(str(resources.files("restauro").joinpath("weights", FILE))))
