"""``--health-*``: how to find out whether a container is well."""

from ferryman.errors import InvalidFlag
from ferryman.runtime.settings import Healthcheck


def check(
    command: str,
    *,
    interval: int,
    timeout: int,
    start_period: int,
    start_interval: int,
    retries: int,
    none: bool,
) -> Healthcheck | None:
    """Return the health check that flags ask for, times in nanoseconds; None for the image's.

    Raises InvalidFlag in docker's words.
    """
    numbers = {
        "interval": interval,
        "timeout": timeout,
        "retries": retries,
        "start-period": start_period,
        "start-interval": start_interval,
    }
    if none:
        if command or any(numbers.values()):
            raise InvalidFlag("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(test=["NONE"])
    if not command and not any(numbers.values()):
        return None
    for name, number in numbers.items():
        if number < 0:
            raise InvalidFlag(f"--health-{name} cannot be negative")
    return Healthcheck(
        test=["CMD-SHELL", command] if command else [],
        interval=interval,
        timeout=timeout,
        start_period=start_period,
        start_interval=start_interval,
        retries=retries,
    )
