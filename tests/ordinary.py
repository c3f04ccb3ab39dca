"""An ordinary user of this machine, and ``ferry`` as that user starts it."""

import os
import secrets
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ferryman
from tests.command import Command
from tests.ferry import Ferry

_TUN = os.makedev(10, 200)
_SOURCES = Path(ferryman.__file__).parent.parent


class User:
    """A user by name or number, their home, and a folder for what their commands are shown."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.home = folder / "home"

    def view(self, *show: tuple[Path, str]) -> tuple[str, ...]:
        """Return what lets a command see what this user needs, each of `show` elsewhere."""
        # The interpreter and these sources may lie in somebody else's home; and some machines let
        # root alone make network interfaces.
        needed = [Path(sys.base_prefix), Path(sys.prefix), _SOURCES]
        script = [*_opened(self.folder, needed)]
        script += [f"mount --bind {self.folder}/tun /dev/net/tun"]
        script += [f"mount --bind {shlex.quote(str(path))} {at}" for path, at in show]
        script += [f"cd {self.home}", 'exec "$@"']
        return ("unshare", "--mount", "sh", "-e", "-c", "\n".join(script), "sh")

    def command(self, *argv: str, show: tuple[tuple[Path, str], ...] = ()) -> Command:
        """Return a command that this user starts, as after a login: in their home, with little.

        It is shown the files of `show`, each in the place of another.
        """
        groups = "--clear-groups" if self.name.isdigit() else "--init-groups"
        return Command(
            (
                *self.view(*show),
                *("setpriv", f"--reuid={self.name}", f"--regid={self.name}", groups),
                *("env", "-i", f"HOME={self.home}", f"PATH={os.environ['PATH']}"),
                *(f"PYTHONPATH={_SOURCES}", *argv),
            )
        )

    def processes(self) -> set[str]:
        """Return the commands that the user's processes run, but for what waits to be buried."""
        shown = subprocess.run(
            ["ps", "-U", self.name, "-o", "stat=,args="], stdout=subprocess.PIPE, text=True
        )
        lines = (line.split(maxsplit=1) for line in shown.stdout.splitlines())
        return {words[1] for words in lines if not words[0].startswith("Z")}


class OrdinaryFerry(Ferry):
    """``ferry`` on the store of an ordinary user."""

    def __init__(self, user: User, root: Path) -> None:
        super().__init__(root)
        self.user = user

    def at(self, root: Path | None) -> Command:
        """Return the command that works on the store at `root`, or on this one's."""
        return self.shown(root=root)

    def shown(self, *show: tuple[Path, str], root: Path | None = None) -> Command:
        """Return that command, shown files in the place of others."""
        words = (sys.executable, "-m", "ferryman", "--root", str(root or self.root))
        return self.user.command(*words, show=show)


def _opened(folder: Path, needed: list[Path]) -> Iterator[str]:
    """Yield what mounts those of the folders needed where others may not look there otherwise."""
    closed = {path: above for path in needed if (above := _closed(path))}
    for number, path in enumerate(closed):
        at = folder / f"needed{number}"
        at.mkdir(exist_ok=True)
        yield f"mount --bind {shlex.quote(str(path))} {at}"
    for above in set(closed.values()):
        yield f"mount -t tmpfs -o mode=755 none {shlex.quote(str(above))}"
    for number, path in enumerate(closed):
        place = shlex.quote(str(path))
        yield f"mkdir -p {place}; mount --bind {folder}/needed{number} {place}"


def _closed(path: Path) -> Path | None:
    """Return the topmost folder on the way to a path that others may not enter."""
    ways = [*reversed(path.parents), path]
    return next((way for way in ways if not way.stat().st_mode & stat.S_IXOTH), None)


@contextmanager
def ordinary_user() -> Iterator[User]:
    """Give a new user of this machine, who is gone after the block with all that is theirs."""
    name = f"ferry-{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="ferry-")).resolve()
    folder.chmod(0o755)
    os.mknod(folder / "tun", stat.S_IFCHR, _TUN)
    (folder / "tun").chmod(0o666)
    for file in ("/etc/subuid", "/etc/subgid"):
        Path(file).touch()  # without these there are no subordinate IDs for anybody
    # No password fits, and still sshd does not take the user for one who is locked out.
    home = ("--create-home", "--home-dir", folder / "home", "--password", "*")
    subprocess.run(["useradd", *home, name], check=True)
    try:
        yield User(name, folder)
    finally:
        _remove(name)
        shutil.rmtree(folder)


def _remove(name: str) -> None:
    """End what a user runs, and remove the user: not before all of it is buried."""
    deadline = time.monotonic() + 20
    while True:
        subprocess.run(["pkill", "-KILL", "-U", name], check=False)
        done = subprocess.run(["userdel", name], stderr=subprocess.PIPE, check=False)
        if not done.returncode:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(done.stderr.decode())
        time.sleep(0.1)
