"""Removing folders in which a container engine has been at work."""

import shutil
import subprocess
from pathlib import Path


def mounted_below(folder: Path) -> list[str]:
    """Return the mount points within `folder`, itself included, innermost and newest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if Path(point).is_relative_to(folder):
            points.append(point)
    return points[::-1]


def remove(folder: Path) -> None:
    """Unmount what is left within `folder`, and delete it.

    Raises RuntimeError, and deletes nothing, while anything is still mounted there: it could be
    a folder of the machine's own.
    """
    folder = folder.resolve()
    for point in mounted_below(folder):
        subprocess.run(["umount", "--", point], check=False)
    if left := mounted_below(folder):
        raise RuntimeError(f"still mounted: {', '.join(left)}")
    shutil.rmtree(folder)
