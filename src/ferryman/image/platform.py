"""Platforms: operating system, architecture and variant (OCI image spec 1.1, image-index.md)."""

import os
import re

import msgspec

from ferryman.errors import InvalidImage

# The names that uname and users give, in the words of Go's GOARCH that the specification uses.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5l": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "ppc64el": ("ppc64le", ""),
    "mips64el": ("mips64le", ""),
    "loongarch64": ("loong64", ""),
}
_OPERATING_SYSTEMS = frozenset(
    (
        "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 "
        "solaris wasip1 windows"
    ).split()
)
_ARCHITECTURE_NAMES = frozenset(
    (
        "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm"
    ).split()
)
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an image runs on; an empty field says nothing."""

    architecture: str = ""
    os: str = ""
    variant: str | None = None

    def __str__(self) -> str:
        """Write the platform as users type it: ``linux/arm64/v8``."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def normal(self) -> "Platform":
        """The same platform with the default variants of arm and arm64 made explicit."""
        return _normal(self.os, self.architecture, self.variant or "")

    def runs(self, other: "Platform") -> bool:
        """Tell whether this machine's platform can run what was made for the other one."""
        mine, theirs = self.normal, other.normal
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        # A later arm variant runs what an earlier one was built for.
        return (theirs.variant or "") <= (mine.variant or "") if mine.variant else True

    def matches(self, wanted: "Platform") -> bool:
        """Tell whether this is what was asked for; what `wanted` leaves empty is not compared."""
        mine, theirs = self.normal, wanted.normal
        return (
            (not theirs.os or mine.os == theirs.os)
            and (not theirs.architecture or mine.architecture == theirs.architecture)
            and (not theirs.variant or mine.variant == theirs.variant)
        )


def _normal(system: str, architecture: str, variant: str) -> Platform:
    system, architecture = system.lower(), architecture.lower()
    if architecture in _ARCHITECTURES:
        architecture, implied = _ARCHITECTURES[architecture]
        variant = variant or implied
    if architecture == "arm64" and variant in ("", "8"):
        variant = "v8"
    elif architecture == "arm" and not variant:
        variant = "v7"
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(
        architecture=architecture,
        os="darwin" if system == "macos" else system,
        variant=variant or None,
    )


def parse(text: str) -> Platform:
    """Return ``os[/architecture[/variant]]`` (or one word of either kind) as a platform.

    Raises InvalidImage when it has another form.
    """
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise InvalidImage(f'"{text}" is an invalid platform: expected os/architecture[/variant]')
    if len(parts) == 1:
        word = parts[0].lower()
        if word in _OPERATING_SYSTEMS or word == "macos":
            return _normal(word, host().architecture, "")
        architecture = _normal("linux", word, "")
        if architecture.architecture in _ARCHITECTURE_NAMES:
            return architecture
        raise InvalidImage(f'"{text}": unknown operating system or architecture')
    return _normal(parts[0], parts[1], parts[2] if len(parts) == 3 else "")


def host() -> Platform:
    """Return the platform of this machine (always linux: that is what containers here are)."""
    return _normal("linux", os.uname().machine, "")
