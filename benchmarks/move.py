"""What it takes to bring an image to another machine: ``python -m benchmarks.move``.

First an image of some 450 MB, then one of which a layer of Python packages has changed: bytes on
the wire as the kernel counts them, and seconds, on a line as fast as the machine and on one of 100
Mbit/s.  The far side is a network namespace with a real sshd and real engines.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from tests.command import Command  # noqa: E402
from tests.peers.hosts import (  # noqa: E402
    Host,
    Network,
    host,
    network,
    with_docker,
    with_ferry,
    with_podman,
    with_registry,
)
from tests.peers.mounts import remove  # noqa: E402

from benchmarks.delta import pair  # noqa: E402

_OLD, _NEW = "ferry-bench/app:1", "ferry-bench/app:2"
_RATE = "100mbit"
_LATE = 25
"""Milliseconds, each way."""


class Way(NamedTuple):
    """A way to bring an image there, and to take it away again."""

    name: str
    bring: Callable[[str], None]
    forget: Callable[[], object]


class Goals(NamedTuple):
    """What the second move may cost, in bytes: the goals of docs and README."""

    layer: int
    """The layer that has changed, as ``zstd -3`` makes it."""
    patch: int
    """What ``zstd --patch-from`` makes of it."""


class Here(NamedTuple):
    """The engines of this side, which have both images."""

    network: Network
    folder: Path
    host: Host
    ferry: Command
    docker: Command
    podman: Command
    goals: Goals


def main() -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pair", default="binary", help="of benchmarks.delta (%(default)s)")
    parser.add_argument("--rate", default=_RATE, help="of the slow line (%(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=0, help="of first moves to docker, in turns with docker save"
    )
    parser.add_argument(
        "--newer", action="store_true", help="docker 26, here and there, and nothing else"
    )
    parser.add_argument(
        "--pulled", action="store_true", help="images from a registry, to docker alone"
    )
    parser.add_argument("--fleet", action="store_true", help="what more hosts cost the sender")
    options = parser.parse_args()
    # What is started is stopped, and what is written goes, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(tempfile.mkdtemp(prefix="fm-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    met = True
    try:
        with ExitStack() as stack:
            if options.fleet:
                _fleet(stack, folder)
            elif options.pulled:
                _pulled(stack, folder, options.pair, options.rate)
            else:
                root = _newer_docker() if options.newer else None
                here = _here(stack, folder, options.pair, root)
                if options.rounds:
                    met = _first_moves(here, options.rounds, root)
                else:
                    met = _measure(here, options.rate, root)
    finally:
        remove(folder)
    return 0 if met else 1


def _here(stack: ExitStack, folder: Path, name: str, root: Path | None) -> Here:
    made = stack.enter_context(network(folder / "net"))
    ferry = made.command(str(Path(sys.executable).with_name("ferry")), "--root", f"{folder}/store")
    goals = _images(ferry, folder, name)
    (folder / "here").mkdir()
    own = stack.enter_context(host(made, "here", 2))
    docker = stack.enter_context(with_docker(own, folder / "d0", root))
    podman = _podman(folder / "p0")
    for engine in (docker, podman):
        engine.run("load", "-q", input=ferry.run("save", _OLD, _NEW).stdout)
    return Here(made, folder, own, ferry, docker, podman, goals)


def _measure(here: Here, rate: str, root: Path | None) -> bool:
    """Print all ways; tell whether the second moves cost no more bytes than they may."""
    alone, with_python = [], []
    for slow in (False, True):
        shape = rate if slow else ""
        print(f"\n{shape or 'As fast as the machine'}", flush=True)
        print(f"  {'':44} {'first':>22} {'second':>22}", flush=True)
        if root:
            for containerd in (False, True):
                number = 40 + 2 * containerd + slow
                sent, patched = _with_newer(here, number, shape, root, containerd=containerd)
                # In containerd the layer goes by gzip, which its registry's clients take.
                alone += [] if containerd else [sent]
                with_python.append(patched)
            continue
        sent, patched = _with_docker(here, 10 + slow, shape)
        alone.append(sent)
        patches = _with_podman(here, 20 + slow, shape), _with_ferry(here, 30 + slow, shape)
        with_python += [patched, *patches]
    if not root:
        print(f"\n{rate} and {2 * _LATE} ms", flush=True)
        _with_delay(here, 50, rate)
    made, patch = here.goals
    shares = max(alone) / made, max(with_python) / patch
    print(f"\nzstd -3 makes {made / 1e6:.2f} MB; to stock docker {shares[0]:.2f} x (goal 1.02)")
    print(f"--patch-from {patch / 1e6:.2f} MB; where Python is {shares[1]:.2f} x (goal 1.3)")
    return shares[0] <= 1.02 and shares[1] <= 1.3


def _first_moves(here: Here, rounds: int, root: Path | None) -> bool:
    """Print the least time of first moves, and of what users typed before.

    Tell whether ferry takes half of that at most.
    """
    with ExitStack() as stack:
        far = stack.enter_context(host(here.network, "first", 60))
        docker = stack.enter_context(with_docker(far, here.folder / "f0", root))
        far.give("zstd")
        other = stack.enter_context(host(here.network, "second", 61))
        store = with_ferry(other, here.folder / "f1")
        other.give("python3")
        script = f"docker save {{}} | ssh -F {here.network.config} {far.name} docker load"
        ways = {
            "ferry move: docker": _moving(here, far),
            "ferry move: ferry": _moving(here, other),
            "docker save | ssh": _script(here, script),
        }
        # And how long docker takes alone, with an archive that is there already.
        archive = here.folder / "archive.tar"
        here.docker.run("save", "-o", archive, _OLD)
        ways["docker load"] = lambda image: _ran(docker.run("load", "-qi", archive))
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, bring in ways.items():
                _forgetting(docker)()
                store("system", "prune", "-af", check=False)
                os.sync()
                began = time.monotonic()
                bring(_OLD)
                taken[name].append(time.monotonic() - began)
    least = {name: min(each) for name, each in taken.items()}
    shares = {name: seconds / least["docker save | ssh"] for name, seconds in least.items()}
    for name, seconds in least.items():
        print(f"  {name:20} {seconds:6.2f} s {shares[name]:5.2f} x", flush=True)
    return all(share <= 0.5 for name, share in shares.items() if name.startswith("ferry"))


def _pulled(stack: ExitStack, folder: Path, name: str, rate: str) -> None:
    """Move what a registry had: its layers are compressed here."""
    made = stack.enter_context(network(folder / "net"))
    program = str(Path(sys.executable).with_name("ferry"))
    config = folder / "registries.toml"
    env = ("env", f"FERRY_REGISTRIES={config}", program, "--root")
    built = made.command(*env, f"{folder}/built")
    ferry = made.command(*env, f"{folder}/store")
    _images(built, folder, name)
    with host(made, "reg", 9) as at, with_registry(at, folder / "reg") as address:
        config.write_text(f'insecure = ["{address}"]\n')
        for image in (_OLD, _NEW):
            built.run("tag", image, f"{address}/{image}")
            built.run("push", "-q", f"{address}/{image}")
            ferry.run("pull", "-q", f"{address}/{image}")
            ferry.run("tag", f"{address}/{image}", image)
    for slow in (False, True):
        print(f"\n{rate if slow else 'As fast as the machine'}", flush=True)
        print(f"  {'':44} {'first':>22} {'second':>22}", flush=True)
        for number, programs in ((10, ("zstd",)), (12, ()), (14, ("python3",))):
            number += slow
            with (
                host(made, f"docker{number}", number) as far,
                with_docker(far, folder / f"d{number}") as docker,
            ):
                far.give(*programs)
                _shape(made, far, number, rate if slow else "")

                def bring(image: str, far: Host = far) -> None:
                    _ran(ferry.run("move", "-q", image, far.name))

                _row(far, Way(" and ".join(("docker", *programs)), bring, _forgetting(docker)))


def _fleet(stack: ExitStack, folder: Path) -> None:
    """Move 32 MB that cannot be compressed to more and more hosts, and once more."""
    made = stack.enter_context(network(folder / "net"))
    ferry = made.command(str(Path(sys.executable).with_name("ferry")), "--root", f"{folder}/store")
    context = folder / "context"
    context.mkdir()
    (context / "large").write_bytes(os.urandom(32 << 20))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY large /\n")
    ferry.run("build", "-q", "-t", _OLD, context)
    hosts = []
    for i in range(16):
        far = stack.enter_context(
            host(made, f"h{i}", 10 + i, FERRY_ROOT=str(folder / f"net/h{i}/data"))
        )
        far.give("python3")
        hosts.append(far)
    print("\nSender: hosts, what is sent, seconds, seconds of its processors", flush=True)
    for count in (1, 4, 16):
        names = [far.name for far in hosts[:count]]
        for what in ("32 MB", "nothing"):
            before, began = os.times(), time.monotonic()
            ferry.run("move", "-q", "--parallel", "16", _OLD, *names)
            taken, after = time.monotonic() - began, os.times()
            spent = after.children_user + after.children_system
            spent -= before.children_user + before.children_system
            print(f"  {count:4} {what:>8} {taken:8.2f} s {spent:8.2f} s", flush=True)
        for far in hosts:
            shutil.rmtree(far.folder / "data", ignore_errors=True)
    began = time.monotonic()
    ferry.run("move", "-q", "--parallel", "16", "--limit", "32M", _OLD, *(h.name for h in hosts))
    print(f"  16 hosts on a line of 32 MiB/s: {time.monotonic() - began:.2f} s; it allows 16 s")


def _images(ferry: Command, folder: Path, name: str) -> Goals:
    """Build the two: a system with Python, and packages on it; return what a move may cost."""
    base = subprocess.run([_ROOT / "scripts/make-base"], stdout=subprocess.PIPE, check=True)
    ferry.run("import", base.stdout.decode().strip(), "ferry-bench/base:1")
    old, new = pair(folder, name)
    goals = Goals(*(_compressed(new, *f) for f in ((), ("--long=28", f"--patch-from={old}"))))
    context = folder / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        'FROM ferry-bench/base:1\nADD packages.tar /\nCOPY main.py /\nCMD ["true"]\n'
    )
    (context / "main.py").write_text("print('hello')\n")
    for tar, image in ((old, _OLD), (new, _NEW)):
        shutil.move(tar, context / "packages.tar")
        ferry.run("build", "-q", "-t", image, context)
    shutil.rmtree(context)
    return goals


def _compressed(path: Path, *flags: str) -> int:
    out = path.with_suffix(".zst")
    subprocess.run(["zstd", "-qf3", *flags, path, "-o", out], check=True)
    size = out.stat().st_size
    out.unlink()
    return size


def _with_docker(here: Here, number: int, rate: str) -> tuple[int, int]:
    """Return the bytes of the second move, to docker alone and with Python."""
    with (
        host(here.network, f"docker{number}", number) as far,
        # Beside the sender: what goes to it is not counted.
        with_registry(here.host, here.folder / f"r{number}") as registry,
        with_docker(far, here.folder / f"d{number}", insecure=(registry,)) as docker,
    ):
        far.give("zstd")
        _shape(here.network, far, number, rate)
        forget = _forgetting(docker)

        sent = _row(far, Way("ferry move: docker", _moving(here, far), forget))
        for pipe in ("", "gzip -1 | ", "zstd -3 -T0 -q | "):
            undo = "zstd -dq | " if "zstd" in pipe else ""
            ssh = f"ssh -F {here.network.config} {far.name}"
            script = f"docker save {{}} | {pipe}{ssh} '{undo}docker load'"
            _row(
                far,
                Way(f"docker save | {pipe}ssh {undo}docker load", _script(here, script), forget),
            )
        script = (
            f"skopeo copy -q --src-daemon-host {here.docker.env['DOCKER_HOST']} "
            f"--dest-tls-verify=false docker-daemon:{{0}} docker://{registry}/{{0}} "
            f"&& {ssh} 'docker pull -q {registry}/{{0}} && docker tag {registry}/{{0}} {{0}}'"
        )
        _row(far, Way("skopeo copy to a registry; docker pull", _script(here, script), forget))
        far.give("python3")
        way = Way("ferry move: docker and python3", _moving(here, far), forget)
        return sent, _row(far, way)


def _with_newer(
    here: Here, number: int, rate: str, root: Path, *, containerd: bool
) -> tuple[int, int]:
    """Return the bytes of the second move, to docker alone and with Python."""
    with (
        host(here.network, f"newer{number}", number) as far,
        with_docker(far, here.folder / f"n{number}", root, containerd) as docker,
    ):
        far.give("zstd")
        _shape(here.network, far, number, rate)
        forget = _forgetting(docker)

        kind = "in containerd" if containerd else "graph drivers"
        sent = _row(far, Way(f"ferry move: docker 26, {kind}", _moving(here, far), forget))
        script = f"docker save {{}} | ssh -F {here.network.config} {far.name} docker load"
        _row(far, Way("docker save | ssh docker load", _script(here, script), forget))
        far.give("python3")
        way = Way(f"ferry move: docker 26, {kind}, and python3", _moving(here, far), forget)
        return sent, _row(far, way)


def _with_delay(here: Here, number: int, rate: str) -> None:
    with (
        host(here.network, f"late{number}", number) as far,
        with_docker(far, here.folder / f"l{number}") as docker,
    ):
        far.give("zstd")
        _shape(here.network, far, number, rate)
        late = Network(here.folder / "late", here.network.namespace)
        late.folder.mkdir()
        relay = f"{sys.executable} {_ROOT}/benchmarks/delay.py %h %p {_LATE}"
        late.config.write_text(f"Include {here.network.config}\nHost *\n ProxyCommand {relay}\n")
        ferry = late.command(*here.ferry.argv[3:])
        here = here._replace(network=late, ferry=ferry)
        forget = _forgetting(docker)

        _row(far, Way("ferry move: docker", _moving(here, far), forget))
        ssh = f"ssh -F {late.config} {far.name}"
        for pipe, undo in (("", ""), ("zstd -3 -T0 -q | ", "zstd -dq | ")):
            script = f"docker save {{}} | {pipe}{ssh} '{undo}docker load'"
            name = f"docker save | {pipe}ssh {undo}docker load"
            _row(far, Way(name, _script(here, script), forget))
        far.give("python3")
        _row(far, Way("ferry move: docker and python3", _moving(here, far), forget))


def _newer_docker() -> Path:
    done = subprocess.run([_ROOT / "scripts/make-buildkit"], stdout=subprocess.PIPE, check=True)
    return Path(done.stdout.decode().strip())


def _with_podman(here: Here, number: int, rate: str) -> int:
    """Return the bytes of the second move with Python there."""
    with host(here.network, f"podman{number}", number) as far:
        podman = _podman(here.folder / f"p{number}")
        with_podman(far, podman)
        _shape(here.network, far, number, rate)

        def forget() -> None:
            podman.run("rmi", "-af", check=False)

        _row(far, Way("ferry move: podman", _moving(here, far), forget))
        script = f"docker save {{}} | ssh -F {here.network.config} {far.name} podman load"
        _row(far, Way("docker save | ssh podman load", _script(here, script), forget))
        # Its ssh is one of its own, which reads no config.
        home = Path(here.podman.env["HOME"])
        (home / ".ssh").mkdir(exist_ok=True)
        shutil.copy(far.folder / "known_hosts", home / ".ssh/known_hosts")
        key = f"ssh-agent sh -c 'ssh-add -q {far.folder}/user_key && exec \"$@\"' -"
        script = f"{key} {' '.join(here.podman.argv)} image scp -q localhost/{{}} "
        script += f"root@{far.address}:22::"
        _row(far, Way("podman image scp", _script(here, script, here.podman.env), forget))
        far.give("python3")
        return _row(far, Way("ferry move: podman and python3", _moving(here, far), forget))


def _with_ferry(here: Here, number: int, rate: str) -> int:
    """Return the bytes of the second move."""
    with host(here.network, f"ferry{number}", number) as far:
        far.give("python3", "rsync")
        store = here.folder / f"f{number}"
        there = with_ferry(far, store)
        _shape(here.network, far, number, rate)
        sent = _row(
            far,
            Way(
                "ferry move: ferry and python3",
                _moving(here, far),
                lambda: there("system", "prune", "-af", check=False),
            ),
        )
        archive = here.folder / "archive.tar"
        script = (
            f"docker save -o {archive} {{}} && "
            f"rsync -z -e 'ssh -F {here.network.config}' {archive} {far.name}:{store}.tar"
        )
        _row(
            far,
            Way(
                "rsync -z of docker save's file",
                _script(here, script),
                lambda: Path(f"{store}.tar").unlink(missing_ok=True),
            ),
        )
        return sent


def _podman(folder: Path) -> Command:
    folder.mkdir()
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    )
    (folder / "home/.config/containers").mkdir(parents=True)
    policy = folder / "home/.config/containers/policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (folder / "tmp").mkdir()
    argv = ("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run")
    env = {
        "HOME": f"{folder}/home",
        "TMPDIR": f"{folder}/tmp",
        "CONTAINERS_CONF": f"{folder}/containers.conf",
    }
    return Command((*argv, "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"), env)


def _forgetting(docker: Command) -> Callable[[], None]:
    def forget() -> None:
        docker.run("rmi", "-f", _OLD, _NEW, check=False)
        docker.run("system", "prune", "-af", check=False)

    return forget


def _moving(here: Here, far: Host) -> Callable[[str], None]:
    return lambda image: _ran(here.ferry.run("move", "-q", image, far.name))


def _script(here: Here, script: str, env: Mapping[str, str] | None = None) -> Callable[[str], None]:
    env = env or here.docker.env
    # The client is of the daemon's version.
    places = [os.path.dirname(here.docker.argv[0]), os.environ["PATH"]]
    env = {**env, "PATH": os.pathsep.join(filter(None, places))}
    command = here.network.command("bash", "-o", "pipefail", "-c", env=env)
    return lambda image: _ran(command.run(script.format(image)))


def _ran(done: "subprocess.CompletedProcess[bytes]") -> None:
    assert done.returncode == 0


def _row(far: Host, way: Way) -> int:
    """Print what a way costs; return the bytes of the second move."""
    cells = []
    sent = 0
    way.forget()
    for image in (_OLD, _NEW):
        os.sync()
        before, began = far.wire(), time.monotonic()
        way.bring(image)
        taken = time.monotonic() - began
        sent = far.wire() - before
        cells.append(f"{sent / 1e6:9.2f} MB {taken:7.2f} s")
    way.forget()
    print(f"  {way.name:44} {cells[0]:>22} {cells[1]:>22}", flush=True)
    return sent


def _shape(network: Network, far: Host, number: int, rate: str) -> None:
    """Make the line slow, both ways."""
    if not rate:
        return
    for namespace, device in ((network.namespace, f"p{number}"), (far.namespace, "eth0")):
        words: Sequence[str] = (
            *("tc", "-n", namespace, "qdisc", "add", "dev", device, "root"),
            *("tbf", "rate", rate, "burst", "256kb", "latency", "50ms"),
        )
        subprocess.run(words, check=True)


if __name__ == "__main__":
    sys.exit(main())
