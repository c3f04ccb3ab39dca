"""Options of memory filesystems (mount(8), tmpfs(5)): ``--tmpfs`` and ``--mount type=tmpfs``."""

from collections.abc import Sequence

from ferryman.runtime.settings import InvalidSettings, Mount

_DEFAULT = ("noexec", "nosuid", "nodev", "rprivate")

# Each option, and what it is about: the last one that is about something counts.
_FLAGS = {
    **dict.fromkeys(("ro", "rw"), "write"),
    **dict.fromkeys(("suid", "nosuid"), "suid"),
    **dict.fromkeys(("dev", "nodev"), "dev"),
    **dict.fromkeys(("exec", "noexec"), "exec"),
    **dict.fromkeys(("sync", "async"), "sync"),
    **dict.fromkeys(("mand", "nomand"), "mand"),
    **dict.fromkeys(("atime", "noatime"), "atime"),
    **dict.fromkeys(("diratime", "nodiratime"), "diratime"),
    **dict.fromkeys(("relatime", "norelatime"), "relatime"),
    **dict.fromkeys(("strictatime", "nostrictatime"), "strictatime"),
    **dict.fromkeys(("dirsync",), "dirsync"),
    **dict.fromkeys(
        ("private", "rprivate", "shared", "rshared", "slave", "rslave"),
        "propagation",
    ),
    **dict.fromkeys(("unbindable", "runbindable"), "propagation"),
}
_DATA = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"))


def options(given: str) -> list[str]:
    """Return all options of a ``--tmpfs``: docker's own, and those that take their place.

    Raises InvalidSettings for one that there is not.
    """
    words = [word for word in (*_DEFAULT, *filter(None, given.split(","))) if word != "defaults"]
    last: dict[str, str] = {}
    for word in words:
        name, equals, _ = word.partition("=")
        about = _FLAGS.get(word) or (f"{name}=" if equals and name in _DATA else "")
        if not about:
            parts = " ".join(f'"{part}"' for part in word.split("=", 1))
            raise InvalidSettings(f"invalid tmpfs option [{parts}]")
        last.pop(about, None)
        last[about] = word
    return list(last.values())


def of_mount(mount: Mount) -> list[str]:
    """Return all options of a ``--mount type=tmpfs``."""
    given: Sequence[str] = ["ro"] if mount.read_only else []
    if wanted := mount.tmpfs_options:
        if wanted.mode:
            given = [*given, f"mode={wanted.mode:o}"]
        if wanted.size_bytes:
            given = [*given, f"size={wanted.size_bytes}"]
    return options(",".join(given))
