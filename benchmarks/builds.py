"""What is measured of builds: the article's app, and a large context of which little is taken."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tests.command import Command

from benchmarks.cases import Case, Goal
from benchmarks.measure import Contender
from benchmarks.peers import Peers

_APP = Path(__file__).resolve().parents[1] / "examples/article/app"
_BASE = "python:3.8"
_BUILT = "ferry-bench/app:1"
_BUILDKIT = "docker, BuildKit"

_FOLDERS, _FILES_EACH, _FILE = 100, 1_000, 20 << 10


def fetch_wheels(base: Path, folder: Path) -> Path:
    """Download what the article's app needs, for the Python of the base system.

    The peers have no network; their pip finds these files in the base.
    """
    names = subprocess.run(["tar", "-tf", base], stdout=subprocess.PIPE, check=True).stdout.decode()
    version = next(
        part
        for name in names.splitlines()
        for part in name.split("/")
        if part.startswith("python3.")
    )
    command = ["python3", "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    command += ["--python-version", version.removeprefix("python"), "--dest", str(folder)]
    subprocess.run([*command, "-r", _APP / "requirements.txt"], check=True)
    return folder


def build_cases(peers: Peers, base: Path, wheels: Path) -> Sequence[Case]:
    """Return the cases."""
    return [
        _app(peers, base, wheels, "build-app", "Build the article's app for the first time", None),
        _app(peers, base, wheels, "build-again", "Build it again, nothing changed", _same,
             Goal(1.0, _BUILDKIT)),
        _app(peers, base, wheels, "build-changed", "Build it with another source file", _changed,
             Goal(1.0, _BUILDKIT)),
        _ignored(peers),
    ]  # fmt: skip


def _same(context: Path) -> None:
    pass


def _changed(context: Path) -> None:
    with (context / "main.py").open("a") as f:
        f.write(f"# {os.urandom(8).hex()}\n")


def _engines(peers: Peers) -> dict[str, Command]:
    store = peers.folder / "builds"
    return {
        "ferry": peers.ferry.with_flags("--root", str(store)),
        "docker": peers.docker,
        _BUILDKIT: peers.buildkit,
        "podman": peers.podman,
    }


def _app(
    peers: Peers,
    base: Path,
    wheels: Path,
    key: str,
    title: str,
    change: Callable[[Path], None] | None,
    goal: Goal | None = None,
) -> Case:
    context = peers.folder / "app"
    contenders = []
    for name, engine in _engines(peers).items():
        # Each step's image of the classic builder is kept as it is by the others' caches.
        layers = ("--layers",) if name == "podman" else ()
        build = ("build", "--quiet", "--tag", _BUILT, *layers)

        def prepare(engine: Command = engine, build: tuple[str, ...] = build) -> None:
            if not context.exists():
                shutil.copytree(_APP, context)
            if engine.run("image", "inspect", _BASE, check=False).returncode:
                _make_base(peers, engine, base, wheels)
            if change:
                engine.run(*build, str(context))
                change(context)

        flags = () if change else ("--no-cache",)
        command = engine.with_flags(*build, *flags, str(context))
        contenders.append(Contender(name, ((command,),), prepare))
    return Case(key, title, base, tuple(contenders), goal)


def _make_base(peers: Peers, engine: Command, base: Path, wheels: Path) -> None:
    """Give an engine the image that the app stands on: a system with Python, and the wheels."""
    tar = peers.folder / "python.tar"
    if not tar.exists():
        shutil.copy(base, tar)
        transform = f"s,^{wheels.name},wheels,"
        command = [
            "tar",
            "-rf",
            str(tar),
            "-C",
            str(wheels.parent),
            "--transform",
            transform,
            wheels.name,
        ]
        subprocess.run(command, check=True)
    settings = (
        "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels", "PIP_BREAK_SYSTEM_PACKAGES=1",
        "PIP_ROOT_USER_ACTION=ignore",
    )  # fmt: skip
    changes = [word for each in settings for word in ("--change", f"ENV {each}")]
    engine.run("import", *changes, str(tar), _BASE)


def _ignored(peers: Peers) -> Case:
    """2 GB in 100,000 files, of which ``.dockerignore`` leaves ten."""
    context = peers.folder / "large"
    engines = {name: each for name, each in _engines(peers).items() if name != "podman"}
    contenders = [
        Contender(
            name,
            ((engine.with_flags("build", "--quiet", "--no-cache", str(context)),),),
            partial(_make_large, context),
        )
        for name, engine in engines.items()
    ]
    find = Command(("find", str(context), "-type", "f", "-name", "*.py"))
    return Case(
        "build-ignored",
        "Build with a context of 2 GB and 100,000 files, ten of them not ignored",
        _APP / "Dockerfile",
        (*contenders, Contender("find", ((find,),), partial(_make_large, context), reference=True)),
        Goal(1.0),
    )


def _make_large(context: Path) -> None:
    if context.exists():
        return
    for folder in range(_FOLDERS):
        here = context / f"data/{folder}"
        here.mkdir(parents=True)
        for file in range(_FILES_EACH):
            with (here / f"{file}.bin").open("wb") as f:
                f.truncate(_FILE)
    for file in range(10):
        (context / f"{file}.py").write_text("")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    # Nothing can be told of a whole folder: each file is looked at.
    (context / ".dockerignore").write_text("**\n!**/*.py\n")
