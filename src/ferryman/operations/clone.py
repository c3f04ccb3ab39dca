"""Files out of git repositories, with the machine's own git."""

import os
import re
import subprocess

from ferryman.build import copying
from ferryman.errors import FerryError
from ferryman.operations import download
from ferryman.store.durable import remove


def clone(url: str, folder: str, keep_git_dir: bool = False, commit: str = "") -> str:
    """Fetch one commit of a repository, ``URL#ref:folder``, and return the folder that was meant.

    `commit` is what it must be, or begin with.  The history is left behind, and without
    `keep_git_dir` all that git has of its own.  Raises FerryError.
    """
    address, _, fragment = url.partition("#")
    ref, _, below = fragment.partition(":")
    what = download.shown(address) if "://" in address else address
    _git(what, "init", "--quiet", folder)
    # `--` keeps a ref that begins with a dash from being an option.
    _git(what, "-C", folder, "fetch", "--quiet", "--depth", "1", "--", address, ref or "HEAD")
    _git(what, "-C", folder, "checkout", "--quiet", "FETCH_HEAD")
    if os.path.exists(f"{folder}/.gitmodules"):
        _git(what, "-C", folder, "remote", "add", "origin", address)
        update = ("submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1")
        _git(what, "-C", folder, *update)
    found = _git(what, "-C", folder, "rev-parse", "HEAD").strip()
    if commit and not (re.fullmatch("[0-9a-f]{7,64}", commit) and found.startswith(commit)):
        raise FerryError(f"expected checksum to match {commit}, got {found}: {what}")
    if not keep_git_dir:
        for path, folders, files in os.walk(folder):
            if ".git" in folders:
                folders.remove(".git")
                remove(f"{path}/.git")
            elif ".git" in files:  # of a submodule
                os.unlink(f"{path}/.git")
    try:
        return copying.inside(folder, below or ".")
    except FerryError:
        raise FerryError(f"no folder {below} in {what}") from None


def _git(what: str, *words: str) -> str:
    """Run git with modes that are the same everywhere, and return what it says."""
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, errors="replace", umask=0o022
        )
    except FileNotFoundError:
        raise FerryError(f"cannot fetch {what}: git is not installed") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git failed"])[-1]
        raise FerryError(f"cannot fetch {what}: {reason}")
    return done.stdout
