"""The results in words and tables: benchmarks/RESULTS.md."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.cases import Case
from benchmarks.phases import Profile

# What takes less than this share of a run does not explain it.
_WORTH_TELLING = 0.01


class Result(NamedTuple):
    """A case and what came of it."""

    case: Case
    size: int
    """The bytes of its input."""
    seconds: Mapping[str, Sequence[float]]
    """Of all rounds, by the name of the contender."""
    unable: Mapping[str, str]
    """What those said that could not do the job."""
    profile: Profile | None = None
    reckoned: tuple[int, float] | None = None
    """The size in bytes for which the goal is meant, if it is not this one, and ferry's start."""

    @property
    def best(self) -> dict[str, float]:
        """The least seconds of each contender."""
        return {name: min(seconds) for name, seconds in self.seconds.items()}

    @property
    def judged(self) -> dict[str, float]:
        """The seconds that the goal is held against.

        Those of a smaller input are reckoned up, all but ferry's start, which does not grow.
        """
        if self.reckoned is None:
            return self.best
        size, start = self.reckoned
        constant = {"ferry": start}
        return {
            name: (seconds - constant.get(name, 0.0)) * size / self.size + constant.get(name, 0.0)
            for name, seconds in self.best.items()
        }

    @property
    def missed(self) -> bool:
        """True when there is a goal and ferry is slower."""
        return self.case.goal is not None and not self.case.goal.met(self.judged)


def verdict(result: Result) -> str:
    """Return one line: the goal, the ratio, and whether it is met."""
    goal = result.case.goal
    if goal is None:
        return f"{result.case.key}: {result.best['ferry']:.3f} s"
    line = f"{result.case.key}: {_measured(result)}, goal {_limit(result)}: "
    return line + ("missed" if result.missed else "met")


def profiled(result: Result) -> list[str]:
    """Return the profile for a terminal, a line a phase; none when there is none."""
    phases = result.profile.phases if result.profile else ()
    return [f"  {p.name:20} {p.calls:6} calls {p.seconds:8.3f} s" for p in phases]


def markdown(
    results: Sequence[Result],
    machine: Mapping[str, str],
    versions: Mapping[str, str],
    command: str,
    rounds: int,
    day: str,
) -> str:
    """Return the whole page."""
    lines = [
        "# Benchmarks",
        "",
        f"Made on {day} by `{command}`; do not edit. Each time is the minimum of {rounds} rounds, "
        "interleaved (A B C A B C …), with a warm page cache, a fresh store each round and a "
        "`sync` before each run; neither the removal of the old store nor the `sync` is timed. "
        "ferry's times include the start of Python, and it alone waits until what it wrote is on "
        "the disk. skopeo was told not to compress.",
        "",
        "![seconds by job and tool](results.svg)",
        "",
        "## Goals",
        "",
        *_table(
            ("job", "goal", "measured", ""),
            [
                (r.case.title, _limit(r), _measured(r), "**missed**" if r.missed else "met")
                for r in results
                if r.case.goal
            ],
        ),
        "",
        *_missed([r for r in results if r.missed]),
        "## Times",
        "",
    ]
    for result in results:
        lines += _times(result)
    if met := [r for r in results if r.profile and not r.missed]:
        lines += ["## Where the time goes", ""]
        for result in met:
            lines += [f"### {result.case.title}", "", *_phases(result), ""]
    lines += [
        "## Machine",
        "",
        *_table(("", ""), [*machine.items()]),
        "",
        "## Versions",
        "",
        *_table(("", ""), [*versions.items()]),
        "",
    ]
    return "\n".join(lines)


def _missed(missed: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for result in missed:
        goal = result.case.goal
        assert goal
        over = goal.ratio(result.judged) / goal.limit - 1
        lines += [
            f"### Missed: {result.case.title}",
            "",
            f"{_measured(result)} where {_limit(result)} was the goal: {over:.0%} over it.",
            "",
        ]
        if goal.finding:
            lines += [goal.finding, ""]
        lines += [*_phases(result), ""]
    return lines


def _times(result: Result) -> list[str]:
    best = result.best
    ferry = best["ferry"]
    rows = []
    for contender in result.case.contenders:
        name, seconds = contender.name, best[contender.name]
        shown = f"`{name}`" if contender.reference else f"**{name}**" if name == "ferry" else name
        worst = max(result.seconds[name])
        rows.append((shown, f"{seconds:.3f}", f"{worst:.3f}", f"{seconds / ferry:.2f} ×"))
    return [
        f"### {result.case.title} ({result.size / 1e6:.1f} MB)",
        "",
        *_table(("", "seconds", "slowest round", "of ferry's time"), rows),
        "",
        *(f"{name} cannot: `{_shortened(said)}`\n" for name, said in result.unable.items()),
    ]


def _shortened(said: str) -> str:
    """Return what a peer says without the folders of this run."""
    return re.sub(r"(?<![\w/])/[\w./-]*/(?=[\w.-]+)", "…/", said)


def _phases(result: Result) -> list[str]:
    """Return the profile as a table, with a line on what it is of."""
    found = result.profile
    if found is None:
        return []
    rows = [
        (phase.name, str(phase.calls), f"{phase.seconds:.3f}", f"{phase.seconds / found.wall:.0%}")
        for phase in found.phases
        if phase.seconds >= found.wall * _WORTH_TELLING
    ]
    return [
        f"One run of {found.wall:.3f} s in {found.threads} threads, watched from within, which "
        f"takes time itself; at most {found.peak / 2**20:.0f} MiB of memory. Seconds of all "
        "threads are added up.",
        "",
        *_table(("what", "calls", "seconds", "of the run"), rows),
    ]


def _limit(result: Result) -> str:
    goal = result.case.goal
    assert goal
    return f"≤ {goal.limit:g} × `{goal.of}`" if goal.of else f"≤ {goal.limit * 1e3:.0f} ms"


def _measured(result: Result) -> str:
    goal = result.case.goal
    assert goal
    seconds = result.judged
    ratio = goal.ratio(seconds)
    if not goal.of:
        return f"{ratio * 1e3:.0f} ms"
    note = f", reckoned for {result.reckoned[0] / 1e6:.0f} MB" if result.reckoned else ""
    return f"{ratio:.2f} × ({seconds['ferry']:.3f} s / {seconds[goal.of]:.3f} s{note})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
