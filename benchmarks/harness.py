"""The harness: interleaved timing, memory in a fresh process, a report that says where its numbers come from.

Candidates are timed in turn, A B A B, so that a machine that slows down slows them all; they are compared as
ratios within a round, and a ratio is never given without its spread. A benchmark makes :class:`Case` values;
:class:`Report` adds machine, versions and revision, and becomes JSON and a Markdown table.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FORMAT = "restauro-benchmark-1"
PACKAGES = ("restauro", "torch", "numpy", "scipy", "numba", "scikit-image", "opencv-contrib-python-headless")

Work = Callable[[], object]


@dataclass(frozen=True)
class Spread:
    """Five numbers for many: minimum, quartiles, maximum."""

    min: float
    q1: float
    median: float
    q3: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise `values`.

        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(min=1.0, q1=1.5, median=2.0, q3=2.5, max=3.0)
        """
        return cls(*(float(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])))


@dataclass(frozen=True)
class Memory:
    """Resident memory of a fresh process around one piece of work, MiB.

    ``before``: interpreter, libraries and input. ``peak``: the most there ever was during the work, the
    result included. ``added`` is the difference: what the work needs.
    """

    before: float
    peak: float

    @property
    def added(self) -> float:
        """What the work itself took, MiB."""
        return self.peak - self.before


@dataclass(frozen=True)
class Case:
    """One picture size: times, ratios and memory by candidate (memory ``None`` where it cannot be had)."""

    width: int
    height: int
    seconds: Mapping[str, Spread]
    ratios: Mapping[str, Spread] = field(default_factory=dict)
    memory_mib: Mapping[str, Memory | None] = field(default_factory=dict)
    notes: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        """Size of the picture in millions of pixels."""
        return self.width * self.height / 1e6


@dataclass(frozen=True)
class Report:
    """A benchmark's cases, with everything needed to doubt them.

    Parameters
    ----------
    benchmark, question
        Name of the benchmark, and what it asks, in one sentence.
    command, date
        What was typed, and the day (given by the caller: a report has no clock of its own).
    rounds, threads
        Timed rounds per case; threads that each candidate was allowed.
    facts
        What :func:`facts` said before the first case ran.
    """

    benchmark: str
    question: str
    command: str
    date: str
    rounds: int
    threads: int
    facts: Mapping[str, Any]
    cases: Sequence[Case]

    def to_json(self) -> str:
        """Write everything as JSON."""
        record = {"format": FORMAT} | asdict(self)
        for case, entry in zip(self.cases, record["cases"], strict=True):
            entry["megapixels"] = case.megapixels
            for name, memory in case.memory_mib.items():
                entry["memory_mib"][name] = memory and asdict(memory) | {"added": memory.added}
        return json.dumps(record, indent=1) + "\n"

    def to_markdown(self) -> str:
        """Write a table: seconds are medians with quartiles, ratios medians with the whole range."""
        first = self.cases[0]
        heads = ["picture", *(f"{k}, s" for k in first.seconds), *first.ratios]
        heads += [f"{k}, MiB added" for k in first.memory_mib] + list(first.notes)
        rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *(_row(case) for case in self.cases)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        host, packages = self.facts["machine"], self.facts["versions"]
        return (
            f"# {self.benchmark}\n\n{self.question}\n\n{table}\n\n"
            "Seconds: median (quartiles). Ratios: within a round, median (minimum to maximum). "
            "Memory: peak of a fresh process less what it held before the work.\n\n"
            f"`{self.command}`, {self.date}, revision {self.facts['revision']}; {self.rounds} rounds, "
            f"{self.threads} threads; {host['cpu']}, {host['cores']} cores, {host['memory_gib']} GiB, "
            f"load {host['load_1min']} before; "
            f"{', '.join(f'{name} {version}' for name, version in packages.items())}.\n"
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``NAME.json`` and ``NAME.md`` into `folder`, made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / f"{self.benchmark}.json", folder / f"{self.benchmark}.md"
        for path, text in zip(paths, (self.to_json(), self.to_markdown()), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths


def compare(
    candidates: Mapping[str, Work], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[dict[str, Spread], dict[str, Spread]]:
    """Time candidates in turn, A B A B, after one untimed round.

    With one thread ``clock=time.process_time`` counts the processor's seconds: about right on a busy machine too.

    Returns
    -------
    seconds
        Spread over the rounds, by candidate.
    ratios
        Spread of ``seconds of the other / seconds of the first`` within a round, keyed ``"other / first"``:
        above 1 the first is the faster.

    Examples
    --------
    >>> works = {"ours": lambda: sum(range(9)), "theirs": lambda: sum(range(9999))}
    >>> seconds, ratios = compare(works, rounds=3)
    >>> ratios["theirs / ours"].median > 1
    True
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, work in candidates.items():
            began = clock()
            work()
            if turn:
                seconds[name].append(clock() - began)
    first, *others = candidates
    ratios = {
        f"{other} / {first}": Spread.of([b / a for a, b in zip(seconds[first], seconds[other], strict=True)])
        for other in others
    }
    return {name: Spread.of(values) for name, values in seconds.items()}, ratios


def in_fresh_process(
    prepare: str, arguments: Mapping[str, Any], rounds: int = 1
) -> tuple[list[float], Memory | None, dict[str, Any]]:
    """Do one piece of work in an interpreter of its own.

    Parameters
    ----------
    prepare
        ``"module:function"``. Called with `arguments` there, it makes everything ready and returns the work;
        what the work returns comes back as JSON.
    rounds
        How often the work is done. The peak of memory is over all rounds.

    Returns
    -------
    seconds, memory, result
        Wall time of each round; memory, where the system tells it (Linux); what the last round returned.
    """
    code = "import sys; from benchmarks.harness import _child; _child(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, prepare, json.dumps(dict(arguments)), str(rounds)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{prepare}({dict(arguments)}) ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["seconds"], answer["memory"] and Memory(**answer["memory"]), answer["result"]


def _child(prepare: str, arguments: str, rounds: str) -> None:
    module, _, function = prepare.partition(":")
    work = getattr(import_module(module), function)(**json.loads(arguments))
    # Not ru_maxrss: Linux hands a new process the maximum of the one that started it. VmHWM belongs to this
    # process alone, and writing 5 to clear_refs makes it start from here.
    resets = Path("/proc/self/clear_refs")
    before = 0.0
    if resets.exists():
        resets.write_text("5")
        before = _status_mib("VmRSS")
    seconds, result = [], None
    for _ in range(int(rounds)):
        result = None  # the result of the round before is not this one's memory
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    memory = {"before": before, "peak": _status_mib("VmHWM")} if resets.exists() else None
    print(json.dumps({"seconds": seconds, "memory": memory, "result": result}))


def _status_mib(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def facts() -> dict[str, Any]:
    """Revision, machine and versions: what a report says of where its numbers come from."""
    return {"revision": revision(), "machine": machine(), "versions": versions()}


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load: no name, no path."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of every package of :data:`PACKAGES` that is installed."""
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    return {"Python": platform.python_version()} | {name: installed[name] for name in PACKAGES if name in installed}


def revision() -> str:
    """Commit of this checkout, ``+changes`` where files differ from it; ``unknown`` outside a checkout."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")  # reports of earlier runs
    return "unknown" if commit is None else commit + ("+changes" if changes else "")


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout.strip()


def _row(case: Case) -> list[str]:
    return [
        f"{case.megapixels:.3g} MP ({case.width}x{case.height})",
        *(f"{s.median:.3g} ({s.q1:.3g} to {s.q3:.3g})" for s in case.seconds.values()),
        *(f"{s.median:.2f} ({s.min:.2f} to {s.max:.2f})" for s in case.ratios.values()),
        *("not known here" if m is None else f"{m.added:.0f}" for m in case.memory_mib.values()),
        *(f"{note:.4g}" if isinstance(note, float) else str(note) for note in case.notes.values()),
    ]
