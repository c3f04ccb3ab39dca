"""How large the deltas of a layer are, and what they cost: ``python -m benchmarks.delta``.

The layer is what pip installs for a web application with pandas, twice, as two builds would: all
times of files differ.  Packages come from where pip is set up to get them.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parents[1]
_UNDO = _ROOT / "src/ferryman/transfer/delta/undo.py"
_LIMIT = 1.3
"""How many times the size that ``zstd --patch-from`` makes ferry's may have."""

_COMMON = ("uvicorn[standard]==0.27.1", "httpx==0.27.0", "jinja2==3.1.3", "starlette==0.37.2")
_PAIRS = {
    # Two packages of Python alone.
    "small": (
        ("numpy==1.26.4", "pandas==2.2.1", "requests==2.31.0"),
        ("fastapi==0.110.1", "pydantic==2.6.3"),
        ("fastapi==0.110.2", "pydantic==2.6.4"),
    ),
    # Two, of which one is compiled.
    "binary": (
        ("numpy==1.26.4", "pandas==2.2.1", "requests==2.31.0"),
        ("fastapi==0.110.1", "pydantic==2.6.4"),
        ("fastapi==0.110.2", "pydantic==2.7.1"),
    ),
    # Most of the bytes.
    "large": (
        (),
        ("numpy==1.25.2", "pandas==2.1.4", "requests==2.30.0", "fastapi==0.110.1"),
        ("numpy==1.26.4", "pandas==2.2.1", "requests==2.31.0", "fastapi==0.110.2"),
    ),
}
_ENCODE = """
import os, sys
from ferryman.image.digest import parse
from ferryman.transfer.delta.encode import Layer, encode
old, new, out, how = sys.argv[1:5]
base, target = (Layer(parse(d), os.open(f, 0), f) for d, f in zip(sys.argv[5:], (old, new)))
with open(out, "wb") as file:
    encode([base], target, file, how)
"""


class Measured(NamedTuple):
    """What one way came to: bytes, and seconds of processors there and back."""

    size: int
    made: float
    undone: float | None = None


def main() -> int:
    """Measure, print, and return 1 when a delta is larger than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help=", ".join(_PAIRS))
    parser.add_argument("--same-times", action="store_true", help="all files of one time")
    options = parser.parse_args()
    missed = False
    for name in options.pairs or _PAIRS:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
            old, new = _pair(Path(folder), *_PAIRS[name], same=options.same_times)
            print(f"\n{name}: {new.stat().st_size / 1e6:.1f} MB", flush=True)
            found = {}
            for way, measure in _ways(old, new).items():
                found[way] = measure()
                print(_line(way, found[way]), flush=True)
            most = _LIMIT * found["zstd --patch-from"].size
            missed |= any(m.size > most for way, m in found.items() if way.startswith("ferry"))
    return int(missed)


def _line(way: str, found: Measured) -> str:
    undone = "" if found.undone is None else f"{found.undone:8.2f} s"
    return f"  {way:20} {found.size:12,} bytes {found.made:8.2f} s {undone}"


def _pair(
    folder: Path, common: Sequence[str], old: Sequence[str], new: Sequence[str], *, same: bool
) -> tuple[Path, Path]:
    for name, packages in (("old", old), ("new", new)):
        target = folder / name / "usr/lib/python3/site-packages"
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:")
        subprocess.run(
            [*pip, "--target", target, *_COMMON, *common, *packages],
            stderr=subprocess.DEVNULL,
            check=True,
        )
        mtime = ["--mtime=@1700000000"] if same else []
        tar = ("tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", *mtime)
        subprocess.run(
            [*tar, "-cf", folder / f"{name}.tar", "-C", folder / name, "usr"], check=True
        )
    return folder / "old.tar", folder / "new.tar"


def _ways(old: Path, new: Path) -> dict[str, Callable[[], Measured]]:
    def zstd(*flags: str | Path) -> Callable[[], Measured]:
        def measure() -> Measured:
            out = new.with_suffix(".zst")
            made = _timed("zstd", "-qf", "-T1", *flags, new, "-o", out)
            undone = _timed("zstd", "-qfd", *flags, out, "-o", new.with_suffix(".out"))
            return Measured(out.stat().st_size, made, undone)

        return measure

    def ferry(how: str) -> Callable[[], Measured]:
        def measure() -> Measured:
            out, back = new.with_suffix(".delta"), new.with_suffix(".out")
            digests = [_digest(old), _digest(new)]
            made = _timed(sys.executable, "-c", _ENCODE, old, new, out, how, *digests)
            # zstd is not in the standard library of every Python, all else is.
            alone = ("-I",) if how == "zstd" else ("-I", "-S")
            with out.open("rb") as delta:
                argv = (sys.executable, *alone, _UNDO, back, f"{digests[0]}={old}")
                undone = _timed(*argv, stdin=delta.fileno())
            return Measured(out.stat().st_size, made, undone)

        return measure

    return {
        "zstd -3": zstd("-3"),
        "chunks": lambda: _chunks(old, new),
        "zstd --patch-from": zstd("-3", "--long=28", f"--patch-from={old}"),
        "ferry, xz": ferry("xz"),
        "ferry, zstd": ferry("zstd"),
        "ferry, zlib": ferry("zlib"),
    }


def _chunks(old: Path, new: Path) -> Measured:
    """Content-defined chunks of some 2 KiB, those that are new compressed together, and a list."""
    import zstandard

    began = time.process_time()
    cut = re.compile(rb"(?s).{1024,16383}?[\n\xe8H][ \x8be]|.{1,16384}")
    known = {hashlib.sha256(c.group()).digest() for c in cut.finditer(old.read_bytes())}
    new_ones = {
        hashlib.sha256(c.group()).digest(): c.group() for c in cut.finditer(new.read_bytes())
    }
    missing = [content for digest, content in new_ones.items() if digest not in known]
    size = len(zstandard.compress(b"".join(missing), 3)) + 32 * len(missing)
    return Measured(size, time.process_time() - began)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _timed(*argv: str | Path, stdin: int = subprocess.DEVNULL) -> float:
    """Return the seconds of processors, which the load of the machine does not change much."""
    before = os.times()
    subprocess.run(argv, stdin=stdin, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    return spent - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
