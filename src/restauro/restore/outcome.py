"""Outcomes: what became of one picture, as a value.

Nothing falls back in silence: what was not restored is a :class:`Skipped` or a :class:`Failed` with a reason,
never the input under another name.

>>> def tell(outcome: Outcome) -> str:
...     match outcome:
...         case Restored(evidence=evidence):
...             return f"done in {evidence.seconds} s"
...         case Skipped(name, reason) | Failed(name, reason):
...             return f"{name}: {reason}"
>>> tell(Skipped("a.png", "is already there"))
'a.png: is already there'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restauro.picture import Picture

#: Called with (parts done, parts in all) while a picture is being computed.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evidence:
    """How a picture came about: enough to make it again, and to know what to believe.

    Attributes
    ----------
    model
        Name of the network or filter.
    weights_sha256
        Of the weight file, in hex; ``None`` for a filter, which has none.
    device, precision
        Where and in what the network ran, for example ``"cpu"``, ``"float32"``.
    tiles
        In how many tiles; 1 is the whole picture at once.
    seconds
        Wall time of the computation, without reading and writing files.
    notes
        Whatever did not go the plain way, one sentence each.

    Examples
    --------
    >>> Evidence("l0", None, "cpu", "float32", 1, 0.25).record()["notes"]
    ()
    """

    model: str
    weights_sha256: str | None
    device: str
    precision: str
    tiles: int
    seconds: float
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Give the fields as a dict that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Restored:
    """A picture came out, with the evidence of how."""

    picture: Picture
    evidence: Evidence


@dataclass(frozen=True)
class Skipped:
    """A picture was left alone on purpose: ``name`` is what it is called, ``reason`` one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A picture could not be done: ``name`` is what it is called, ``reason`` one sentence."""

    name: str
    reason: str


Outcome = Restored | Skipped | Failed
