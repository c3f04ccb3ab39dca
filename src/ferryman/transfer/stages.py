"""An image in stages: docker unpacks its lower layers while the upper ones are on their way.

docker begins with an archive only once it has all of it.  So a large image goes as several, each
with the layers on top of those before; all but the last make images without a name, which hold the
layers until the image itself does.  When the line breaks, what they hold is not sent again.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ferryman.archive import docker, oci, tar, write
from ferryman.archive.write import Part, Saved
from ferryman.image import digest as digests
from ferryman.image.decode import encode
from ferryman.transfer.plan import Plan, Step, carried
from ferryman.transfer.probe import Engine

LABEL = "io.ferryman.part-of"
"""The label of the images without a name: it gives the ID of the image that they are part of."""
_LEAST = 16 << 20
"""An archive for less than this takes docker longer than it saves."""


class Stage(NamedTuple):
    """One archive: its parts, and whether it is the image itself."""

    parts: Sequence[Part]
    last: bool

    def script(self, engine: Engine, plan: Plan) -> str:
        """Return what the shell there does with it."""
        load = f"{engine.command} load --quiet"
        return f"{load} && {{ {_clear(engine, plan)}; }}" if self.last else load


def _clear(engine: Engine, plan: Plan) -> str:
    """Return what removes the images without a name, once the image holds its layers itself."""
    chosen = f"--filter label={LABEL}={plan.image.id}"
    listed = f"$({engine.command} image ls --all --quiet --no-trunc {chosen})"
    return f'ids={listed}; [ -z "$ids" ] || {engine.command} rmi $ids >/dev/null 2>&1; :'


def stages(plan: Plan, saved: Saved, form: str) -> list[Stage]:
    """Return the archives that bring what is missing, in the order in which they are loaded.

    Those of another `form` than "docker-archive" are unpacked while they arrive: one brings all.
    """
    tops = list(_tops(plan.steps)) if form == "docker-archive" else [len(plan.steps)]
    made = []
    begin = 0
    for top in tops[:-1]:
        made.append(Stage(list(_part_of(plan, begin, top)), last=False))
        begin = top
    # One that stands twice in an image goes with each of the archives in which it does.
    rest = carried(saved, plan.steps[begin:])
    return [*made, Stage(list(write.parts([rest], form)), last=True)]


def _tops(steps: Sequence[Step]) -> Iterator[int]:
    """Yield how many layers there are after each stage."""
    size = 0
    for i, step in enumerate(steps, 1):
        size += 0 if step.there else step.layer.size
        if size >= _LEAST and i < len(steps):
            yield i
            size = 0
    yield len(steps)


def _part_of(plan: Plan, begin: int, top: int) -> Iterator[Part]:
    steps = plan.steps[:top]
    config: dict[str, Any] = {
        "os": "linux",
        "config": {"Labels": {LABEL: str(plan.image.id)}},
        "rootfs": {"type": "layers", "diff_ids": [str(step.diff_id) for step in steps]},
    }
    content = encode(config)
    name = oci.part_name(digests.of(content))
    layers = [oci.part_name(step.layer.id) for step in steps]
    yield write.file(name, content)
    yield write.file(docker.MANIFEST, encode([docker.Entry(config=name, layers=layers)]))
    missing = {step.layer.id: step.layer.size for step in steps[begin:] if not step.there}
    for digest, size in missing.items():
        yield Part(tar.file_header(oci.part_name(digest), size), digest, size)
    yield Part(tar.END)
