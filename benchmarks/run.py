"""All benchmarks by one command: ``python -m benchmarks``."""

import argparse
import signal
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from benchmarks import images, machine, peers  # noqa: E402
from benchmarks.builds import build_cases, fetch_wheels  # noqa: E402
from benchmarks.cases import Case, cases  # noqa: E402
from benchmarks.chart import svg  # noqa: E402
from benchmarks.containers import container_cases  # noqa: E402
from benchmarks.measure import Failed, interleaved, timed  # noqa: E402
from benchmarks.phases import profile  # noqa: E402
from benchmarks.registries import registry_cases  # noqa: E402
from benchmarks.report import Result, markdown, profiled, verdict  # noqa: E402

_SIZE = 500_000_000
_QUICK_SIZE = 150_000_000


def main() -> int:
    """Measure, write the results, and return the exit code."""
    options = _options()
    rounds = options.rounds or (3 if options.quick else 5)
    # What is started is stopped, and what is written goes, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    base = options.base or _made_base()
    with tempfile.TemporaryDirectory() as folder:
        return _all(options, rounds, base, fetch_wheels(base, Path(folder)))


def _all(options: argparse.Namespace, rounds: int, base: Path, wheels: Path) -> int:
    with peers.running() as started:
        _tell("making the images")
        made = images.make(started, base, _QUICK_SIZE if options.quick else _SIZE)
        found = [
            *cases(started, made),
            *registry_cases(started, made),
            *container_cases(started, made),
        ]
        found += build_cases(started, base, wheels)
        unknown = set(options.cases) - {case.key for case in found}
        if unknown:
            known = ", ".join(case.key for case in found)
            raise SystemExit(
                f"no such benchmark: {', '.join(sorted(unknown))} (there are: {known})"
            )
        if options.cases:
            found = [case for case in found if case.key in options.cases]
        if options.check:
            found = [case.only_goal() for case in found if case.goal]
        results = [_measured(case, started, rounds) for case in found]
        if options.quick:
            start = min(timed([started.ferry.with_flags("version")]) for _ in range(5))
            results = [_reckoned(result, start) for result in results]
        results = [_profiled(result, started, options.profile) for result in results]
        text = markdown(
            results,
            machine.machine(started.folder),
            machine.versions(started),
            _command(),
            rounds,
            date.today().isoformat(),
        )
    print()
    for result in results:
        print("\n".join([verdict(result), *profiled(result)]))
    output = options.output
    if output is None and not (options.quick or options.check or options.cases):
        output = _ROOT / "benchmarks"
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / "RESULTS.md").write_text(text)
        (output / "results.svg").write_text(svg(results))
        _tell(f"written: {output}/RESULTS.md and results.svg")
    return int(options.check and any(result.missed for result in results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time ferry against docker, podman, skopeo and plain tools.  A full run writes "
        "benchmarks/RESULTS.md and results.svg; one of a few benchmarks, a quick one and a check "
        "only print.",
    )
    parser.add_argument("cases", nargs="*", metavar="BENCHMARK", help="only these (default: all)")
    parser.add_argument("--rounds", type=int, help="of which the fastest counts (default: 5)")
    parser.add_argument("--base", type=Path, metavar="TAR", help="instead of scripts/make-base's")
    parser.add_argument("--quick", action="store_true", help="a 150 MB image and 3 rounds")
    parser.add_argument(
        "--check", action="store_true", help="only ferry and its goals; exit 1 if one is missed"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show where ferry's time goes, not only on a miss"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write the results here")
    return parser.parse_args()


def _measured(case: Case, started: peers.Peers, rounds: int) -> Result:
    _tell(f"\n{case.title}")
    times = interleaved(case.contenders, rounds, lambda name, s: _tell(f"  {name:20} {s:8.3f} s"))
    for name, said in times.unable.items():
        _tell(f"  {name:20} cannot: {said}")
    able = tuple(c for c in case.contenders if c.name not in times.unable)
    case = case._replace(contenders=able)
    return Result(case, case.input.stat().st_size, times.seconds, times.unable)


def _reckoned(result: Result, start: float) -> Result:
    """Have a goal that is meant for the whole size judged as if it were that."""
    whole = result.case.goal is None or result.case.goal.of is None
    return result if whole else result._replace(reckoned=(_SIZE, start))


def _profiled(result: Result, started: peers.Peers, always: bool) -> Result:
    """Have the profile with it of one more run, if the goal is missed, or always."""
    if not always and not result.missed:
        return result
    ferry = result.case.ferry
    ferry.prepare()
    return result._replace(profile=profile(ferry.steps, started.ferry.argv[0], started.folder))


def _made_base() -> Path:
    script = _ROOT / "scripts/make-base"
    return Path(subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout[:-1])


def _command() -> str:
    """Return the command line, without the paths of this machine."""
    kept = []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument in ("--base", "--output"):
            next(arguments, None)
        elif not argument.startswith(("--base=", "--output=")):
            kept.append(argument)
    return " ".join(["python -m benchmarks", *kept])


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as e:
        sys.exit(f"failed: {e}")
