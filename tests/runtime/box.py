"""A container of busybox without an image: for what flows in and out of containers."""

import json
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ferryman.image import digest
from ferryman.image.manifest import Descriptor
from ferryman.runtime import cgroups, engine, monitor, record
from ferryman.runtime.monitor import Job
from ferryman.runtime.record import Container, State
from ferryman.runtime.settings import Config, HostConfig
from ferryman.store.layout import Store, open_store

_CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"]


def need_containers() -> None:
    """Skip where no container can be started this way."""
    for program in ("conmon", "runc", "busybox"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if os.getuid():
        pytest.skip("containers without user namespaces need root")


def busybox_tree(at: Path) -> Path:
    """Make the tree of a system that has busybox and nothing else."""
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp", "root", "home/ann"):
        (at / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, at / "bin/busybox")
    applets = subprocess.check_output([busybox, "--list"], text=True).split()
    for applet in applets:
        if applet != "busybox":
            (at / "bin" / applet).symlink_to("busybox")
    (at / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n"
    )
    (at / "etc/group").write_text("root:x:0:\nann:x:1001:\nsailors:x:50:ann\n")
    (at / "etc/notes").write_text("not a program\n")
    return at


class Box:
    """Makes and starts containers in a store."""

    def __init__(self, root: Path, tree: Path) -> None:
        self.store: Store = open_store(str(root))
        self.tree = tree
        self.made: list[Container] = []

    def start(self, *command: str, name: str = "", run: bool = True, **settings: Any) -> Container:
        """Start a container; `settings` are those of Config. With `run` unset, only create it."""
        settings = {"env": ["PATH=/bin", "ZONE=north"]} | settings
        container = self._recorded(list(command), name, settings)
        self.made.append(container)
        folder = record.folder(self.store, container.id)
        for each in ("bundle", "exit", "oci"):
            os.makedirs(f"{folder}/{each}", mode=0o700)
        Path(folder, "bundle/config.json").write_text(json.dumps(self._spec(container)))
        runtime = engine.chosen(f"{folder}/oci", "runc")
        job = Job(
            container_id=container.id,
            name=container.name,
            bundle=f"{folder}/bundle",
            log=f"{folder}/log",
            exits=f"{folder}/exit",
            terminal=container.config.tty,
            stdin=container.config.open_stdin,
            keep_stdin=container.config.tty or not container.config.stdin_once,
            log_limit=None,
            at_end=("/bin/true",),
        )
        started = _monitored(runtime, job)
        state = State(
            status="running" if run else "created",
            init=started.init,
            monitor=started.monitor,
            runtime=runtime.path,
            started_at="2024-01-01T00:00:00Z",
        )
        record.write_state(self.store, container.id, state)
        if run:
            self.go(container)
        return container

    def go(self, container: Container) -> None:
        """Let a container that was created run."""
        self.engine(container).start(container.id)
        state = record.read_state(self.store, container.id)
        state = msgspec.structs.replace(state, status="running")
        record.write_state(self.store, container.id, state)

    def engine(self, container: Container) -> engine.Engine:
        state = record.read_state(self.store, container.id)
        return engine.Engine(state.runtime, f"{record.folder(self.store, container.id)}/oci")

    def bundle(self, container: Container) -> str:
        return f"{record.folder(self.store, container.id)}/bundle"

    def close(self) -> None:
        for container in self.made:
            state = record.read_state(self.store, container.id)
            with self.engine(container).deleting(container.id):
                pass
            if state.monitor and state.monitor.alive:
                os.kill(state.monitor.pid, signal.SIGKILL)

    def _recorded(self, command: list[str], name: str, settings: dict[str, Any]) -> Container:
        container_id = secrets.token_hex(32)
        container = Container(
            id=container_id,
            name=name or f"box-{container_id[:8]}",
            created="2024-01-01T00:00:00Z",
            image="busybox",
            image_id="sha256:" + "0" * 64,
            manifest=Descriptor("application/vnd.oci.image.manifest.v1+json", digest.of(b""), 0),
            layers=[],
            config=Config(cmd=command, hostname="box", **settings),
            host_config=HostConfig(),
        )
        os.makedirs(record.folder(self.store, container_id))
        with record.names_locked(self.store):
            record.write(self.store, container)
            record.write_state(self.store, container_id, State())
        return container

    def _spec(self, container: Container) -> dict[str, Any]:
        config = container.config
        kinds = ("pid", "mount", "uts", "ipc", "network")
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": config.tty,
                "user": {"uid": 0, "gid": 0},
                "args": container.command,
                "env": [*(config.env or []), *(["TERM=xterm"] if config.tty else [])],
                "cwd": config.working_dir or "/",
                "capabilities": dict.fromkeys(
                    ("bounding", "effective", "permitted"), _CAPABILITIES
                ),
                "noNewPrivileges": False,
            },
            "root": {"path": str(self.tree), "readonly": False},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666"],
                },
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in kinds],
                "cgroupsPath": cgroups.path(container.id),
            },
        }


def _monitored(runtime: engine.Engine, job: Job) -> monitor.Started:
    conmon = shutil.which("conmon")
    assert conmon
    answer, told = os.pipe()
    process = subprocess.Popen(
        monitor._command(conmon, runtime, job),
        env={"PATH": os.environ["PATH"], "_OCI_SYNCPIPE": str(told)},
        pass_fds=[told],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(told)
    with open(answer, "rb") as f:
        said = f.readline()
    process.wait()
    return monitor._started(runtime, job, said)
