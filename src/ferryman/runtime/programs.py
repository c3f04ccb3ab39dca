"""The programs that ferry stands on, found on this machine; of a missing one the package is named.

Debian's and Ubuntu's names of packages; other systems use the same or nearly the same.
"""

import os
import shutil

from ferryman.errors import FerryError

# Some are kept out of PATH by their packages.
_FOLDERS = ("/usr/sbin", "/sbin", "/usr/libexec/podman", "/usr/lib/podman")


class MissingProgram(FerryError):
    """A program that this needs is not installed."""

    exit_code = 125


def found(program: str) -> str | None:
    """Return the path of a program, None when it is not installed."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=os.pathsep.join((path, *_FOLDERS)))


def needed(program: str, package: str, purpose: str) -> str:
    """Return the path of a program; raises MissingProgram, which says what to install for what."""
    if path := found(program):
        return path
    raise MissingProgram(f"{program} is needed {purpose}: install the package {package}")
