"""The flags of an instruction: ``--chown=1:1``, ``--link``, ``--mount=…``."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ferryman.build.lines import DockerfileError
from ferryman.build.suggest import did_you_mean


class Given(NamedTuple):
    """The flags that an instruction has, each with all its values."""

    values: Mapping[str, Sequence[str]]

    def has(self, name: str) -> bool:
        """Tell whether a flag was written."""
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a flag, `default` where it was not written."""
        return self.values[name][0] if name in self.values else default

    def yes(self, name: str) -> bool:
        """Tell whether a flag that takes yes or no says yes."""
        return self.text(name) == "true"

    def many(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag that may be written again and again."""
        return tuple(self.values.get(name, ()))


def read(
    words: Sequence[str],
    *names: str,
    yes_or_no: Sequence[str] = (),
    many: Sequence[str] = (),
) -> Given:
    """Return what flags say of which `names` take one value, the others what their names tell.

    Raises DockerfileError for one that is unknown, written twice, or has no value.
    """
    values: dict[str, list[str]] = {}
    for word in words:
        flag, equals, value = word.removeprefix("--").partition("=")
        if flag not in (*names, *yes_or_no, *many):
            advice = did_you_mean(flag, [*names, *yes_or_no, *many])
            raise DockerfileError(f"Unknown flag: {flag}{advice}")
        if flag in values and flag not in many:
            raise DockerfileError(f"Duplicate flag specified: {flag}")
        if flag in yes_or_no and not equals:
            value = "true"
        elif not equals or (flag in yes_or_no and not value):
            raise DockerfileError(f"Missing a value on flag: {flag}")
        if flag in yes_or_no:
            if value.lower() not in ("true", "false"):
                raise DockerfileError(f"Expecting boolean value for flag {flag}, not: {value}")
            value = value.lower()
        values.setdefault(flag, []).append(value)
    return Given(values)
