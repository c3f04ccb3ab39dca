"""``kill -9`` of ferry, and of monitors, at random moments of what is done to containers.

Whatever was killed: the store is whole, other containers do not notice, and what is shown of each
container is true.  What was left goes with the next command that meets it, or with ``system
prune``; then nothing is left.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.containers.test_life import until
from tests.machine import Left, Machine, machine, until_equal
from tests.workers import Ran, Worker, workers

pytestmark = pytest.mark.slow

KILLS = 10  # of ferry, and as many of monitors, for each of the five commands
PORT, BYSTANDERS_PORT = 1080, 1081
BYSTANDERS = ("calm", "serves")
ANSWER = {f"127.0.0.1:{BYSTANDERS_PORT}": "serves"}
SERVE = 'echo "$0" > /tmp/index.html; exec httpd -f -p 80 -h /tmp'


class Scene:
    """A machine with two bystanders, which are not to notice anything, and one to suffer."""

    def __init__(self, ferry: Machine, worker: Worker, chance: random.Random) -> None:
        self.ferry = ferry
        self.worker = worker
        self.chance = chance
        self.do("network", "create", "inner")
        self.do("run", "-d", "--name", "calm", "--network", "inner", "box:1", "sleep", "10000")
        # A network has its chain for ports from the first one that is published to its end.
        self.do("run", "--rm", "--network", "inner", "-p", f"{PORT}:80", "box:1", "true")
        until(lambda: len(self.conmons()) == 1)
        port = f"{BYSTANDERS_PORT}:80"
        self.do("run", "-d", "-p", port, "--name", "serves", "box:1", "sh", "-c", SERVE, "serves")
        until(lambda: ferry.asked(ANSWER) == ANSWER)
        self.bystanders = {name: self.state(name)["Pid"] for name in BYSTANDERS}
        self.monitors = set(self.conmons())

    def do(self, *arguments: str | Path) -> str:
        """Run a command that must succeed, and return what it prints."""
        ran = self.ask(*arguments)
        assert ran.code == 0, ran
        return ran.stdout

    def ask(self, *arguments: str | Path) -> Ran:
        """Run a command to its end, whatever that is."""
        self.worker.begin("--root", self.ferry.root, *arguments)
        return self.worker.end()

    def state(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.do("container", "inspect", name))[0]["State"])

    def conmons(self) -> list[int]:
        """Return the monitors that run, by their numbers on the machine."""
        return [
            pid
            for pid, words in self.ferry.processes().items()
            if os.path.basename(words[0]) == "conmon"
        ]

    def suffers(self) -> None:
        """Start the container that something will be done to."""
        port = ["-p", f"{PORT}:80"] if self.chance.random() < 0.5 else []
        rm = ["--rm"] if self.chance.random() < 0.3 else []
        script = "head -c 100000000 /dev/zero > /data; " + SERVE
        self.do(
            "run", "-d", *port, *rm, "--name", "suffers", "box:1", "sh", "-c", script, "suffers"
        )


def run(scene: Scene, tmp: Path) -> list[str]:
    flags = [flag for flag in ("--rm", "-d") if scene.chance.random() < 0.5]
    flags += scene.chance.choice([[], ["-p", f"{PORT}:80"]])
    flags += scene.chance.choice([[], ["--network", "inner"]])
    lasts = "1000" if "-d" in flags else "0.1"
    return ["run", *flags, "--name", "suffers", "box:1", "sleep", lasts]


def execute(scene: Scene, tmp: Path) -> list[str]:
    scene.suffers()
    return ["exec", "suffers", "sleep", "0.05"]


def commit(scene: Scene, tmp: Path) -> list[str]:
    scene.suffers()
    return ["commit", "suffers", "new:1"]


def export(scene: Scene, tmp: Path) -> list[str]:
    scene.suffers()
    return ["export", "-o", str(tmp / "out.tar"), "suffers"]


def rm(scene: Scene, tmp: Path) -> list[str]:
    scene.suffers()
    return ["rm", "-f", "suffers"]


@pytest.mark.parametrize("command", [run, execute, commit, export, rm])
def test_kill(command: Callable[[Scene, Path], list[str]], alone: Machine, tmp_path: Path) -> None:
    seed = os.environ.get("FERRY_TEST_SEED") or secrets.token_hex(4)
    print(f"FERRY_TEST_SEED={seed}")
    with workers(1, *alone.command().argv) as (worker,):
        scene = Scene(alone, worker, random.Random(seed))
        # The first export of an image leaves the headers of its layers for the next one.
        scene.do("export", "-o", tmp_path / "first.tar", "calm")
        before = alone.left()
        span = duration(scene, command(scene, tmp_path))
        clear_up(scene, before)
        victims = [kill_ferry] * KILLS + [kill_monitor] * KILLS
        scene.chance.shuffle(victims)
        in_the_midst = 0
        for i, kill in enumerate(victims):
            arguments = command(scene, tmp_path)
            moment = scene.chance.uniform(0.2, 1) * span
            print(f"{i}: {kill.__name__} after {moment:.3f} s of {' '.join(arguments)}")
            process = alone.popen(*arguments)
            time.sleep(moment)
            if kill(scene, process):
                in_the_midst += 1
            else:
                span *= 0.9  # the machine has less to do now than when the time was taken
            _, said = process.communicate(timeout=30)
            assert b"Traceback" not in said, said.decode()
            look(scene)
            clear_up(scene, before)
        print(f"{in_the_midst} of {len(victims)} in the midst")
        assert in_the_midst > len(victims) / 3
        assert scene.do("system", "check", "--verify", "--quiet").endswith("The store is clean\n")


def duration(scene: Scene, arguments: Sequence[str]) -> float:
    begun = time.monotonic()
    scene.ferry(*arguments)
    return time.monotonic() - begun


def kill_ferry(scene: Scene, process: subprocess.Popen[bytes]) -> bool:
    """Kill a command; tell whether it had still something to do."""
    try:
        # What is started outside has the command itself as its child.
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(pids)


def kill_monitor(scene: Scene, process: subprocess.Popen[bytes]) -> bool:
    """Kill a monitor that is not a bystander's; tell whether there was one."""
    monitors = sorted(set(scene.conmons()) - scene.monitors)
    if not monitors:
        return False
    kill = ("kill", "-KILL", str(scene.chance.choice(monitors)))
    return scene.ferry.command(*kill).run(check=False).returncode == 0


def look(scene: Scene) -> None:
    """See that others did not notice, the store is whole, and what is shown is true."""
    ferry = scene.ferry
    assert ferry.asked(ANSWER) == ANSWER
    assert {name: scene.state(name)["Pid"] for name in BYSTANDERS} == scene.bystanders
    assert scene.do("system", "check").endswith("The store is clean\n")
    until(lambda: shown_truly(scene))
    for name in scene.do("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}").split():
        if scene.chance.random() < 0.3:
            scene.do("start", name)


def shown_truly(scene: Scene) -> bool:
    """Tell whether each container has just the processes that are shown of it."""
    words = scene.do("ps", "-aq", "--no-trunc").split()
    described = scene.ask("container", "inspect", *words)
    for each in json.loads(described.stdout):
        members = processes_of(scene.ferry, each["Id"])
        state = each["State"]
        print(f"    {each['Name']} {state['Status']} {state['Pid']} {members}")
        if state["Pid"] not in members if state["Running"] else members:
            return False
        if state["Running"] and SERVE in each["Config"]["Cmd"]:
            (network,) = each["NetworkSettings"]["Networks"].values()
            address = network["IPAddress"]
            name = each["Name"].removeprefix("/")
            if scene.ferry.asked([address]) != {address: name}:
                return False
    return described.code == 0  # unless one went in the meantime


def processes_of(ferry: Machine, container_id: str) -> list[int]:
    """Return the processes in a container's control groups, by their numbers on the machine."""
    found = []
    for pid in ferry.processes():
        try:
            groups = (ferry.inside / f"proc/{pid}/cgroup").read_text()
        except OSError:
            continue  # it has just ended
        if f"/ferry/{container_id}" in groups:
            found.append(pid)
    return found


def clear_up(scene: Scene, before: Left) -> None:
    """Remove what runs still, have the rest found, and see that nothing is left."""
    running = set(scene.do("ps", "--format", "{{.Names}}").split()) - set(BYSTANDERS)
    if running:
        scene.do("rm", "-f", *running)
    if "new:1" in scene.do("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        scene.do("rmi", "-f", "new:1")
    scene.do("system", "prune", "-f")
    until_equal(before, scene.ferry.left)


def test_power_failure(tmp_path: Path, busybox_tar: Path) -> None:
    serve = ("-p", f"{PORT}:80", "--network", "inner", "--name", "serves")
    with machine(tmp_path / "store") as ferry:
        ferry("import", "--change", "ENV PATH=/bin", busybox_tar, "box:1")
        ferry("network", "create", "inner")
        ferry("run", "-d", *serve, "box:1", "sh", "-c", f"echo 1 >> /starts; {SERVE}", "serves")
        ferry("run", "-d", "--name", "still", "--network", "inner", "box:1", "sleep", "1000")
        ferry("pause", "still")
        ferry("run", "-d", "--rm", "--name", "brief", "-p", "1081:80", "box:1", "sleep", "1000")
        until(lambda: ferry.asked([f"127.0.0.1:{PORT}"]) == {f"127.0.0.1:{PORT}": "serves"})
    boot = tmp_path / "boot"
    boot.write_text("00000000-0000-4000-8000-000000000000\n")
    with machine(tmp_path / "store", boot) as ferry:
        shown = ferry.text("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
        assert sorted(shown) == ["brief exited", "serves exited", "still exited"]
        ferry("start", "serves")
        until(lambda: ferry.asked([f"127.0.0.1:{PORT}"]) == {f"127.0.0.1:{PORT}": "serves"})
        assert ferry.text("exec", "serves", "cat", "/starts") == "1\n1"
        ferry("rm", "-f", "serves")
        ferry("system", "prune", "--force")
        until(lambda: not ferry.processes())
        left = ferry.left()
        assert (left.mounts, left.loop_devices, left.links, left.cgroups) == ([], [], ["lo"], [])
        assert [path for path in left.store if path.startswith(("containers", "tmp"))] == []
