"""Where there is neither an engine nor Python: the shell there keeps an OCI image layout.

It is the same layout as Python would keep, in the place where a ferry looks for one.  A blob has
its name only when its digest is right; what has arrived of it when the line breaks is kept.
"""

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ferryman.archive import write
from ferryman.archive.write import Saved
from ferryman.errors import FerryError, InvalidImage
from ferryman.image import digest as digests
from ferryman.image.decode import decode, encode
from ferryman.image.digest import Digest
from ferryman.image.manifest import OCI_INDEX, Descriptor
from ferryman.store.durable import write_all
from ferryman.transfer import inventory
from ferryman.transfer.agent.layout import added
from ferryman.transfer.channel import Channel, end
from ferryman.transfer.engines import LAYOUT
from ferryman.transfer.inventory import Inventory
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.pressed import FRAME, Pressed
from ferryman.transfer.program import Program

_LIMIT = 16 << 20
_TRIES = 3
_BLOCK = 64 << 10
"""What dd reads and writes at once: parts go on at multiples of it."""
_UNDO = {"zstd": "zstd -dcq", "gzip": "gzip -dcq", "none": "cat"}
_CHANGED = "ferry:changed"

_LOOK = (
    LAYOUT
    + r"""
cd "$layout" 2>/dev/null || exit 0
for each in blobs/sha256/*; do
    [ ! -f "$each" ] || echo "blob ${each##*/}"
done
for each in .ferry-*.part; do
    [ ! -f "$each" ] || echo "part $each $(wc -c <"$each")"
done
[ ! -f index.json ] || { echo index; cat index.json; }
"""
)

# dd cuts the file off where it begins to write.  What an earlier try, whose line broke, may still
# write belongs in its own place: so nothing is appended.  How the first command of a pipe has ended
# is not known: the size tells.
_PUT = (
    LAYOUT
    + r"""
umask 022
mkdir -p "$layout/blobs/sha256" && cd "$layout" || exit 1
if ! UNDO | dd of=.ferry-DIGEST.part bs=BLOCK seek=START 2>/dev/null; then
    echo "it cannot be written: is there room in $layout?" >&2
    exit 1
fi
[ "$(wc -c <.ferry-DIGEST.part)" -eq SIZE ] || { echo "not all of it has arrived" >&2; exit 1; }
case $(sha256sum <.ferry-DIGEST.part) in
    DIGEST*) exec mv -f .ferry-DIGEST.part blobs/sha256/DIGEST ;;
esac
rm -f .ferry-DIGEST.part
echo "what arrived is not what was sent" >&2
exit 1
"""
)

# Another one may have added an image since the index was read.
_NAME = (
    LAYOUT
    + r"""
umask 022
cd "$layout" || exit 1
cat >".index.json-$$" && sync || exit 1
was=
[ ! -f index.json ] || was=$(sha256sum <index.json)
if [ "${was%% *}" != "BEFORE" ]; then
    rm -f ".index.json-$$"
    echo CHANGED >&2
    exit 1
fi
[ -f oci-layout ] || printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout || exit 1
mv -f ".index.json-$$" index.json && sync
"""
).replace("CHANGED", _CHANGED)


class _Looked(NamedTuple):
    """What a layout has: blobs, how many bytes of others, and its index, if there is one."""

    blobs: frozenset[Digest]
    begun: dict[Digest, int]
    listed: bytes | None


def site(channel: Channel) -> Inventory:
    """Return what a host has in its layout; raises HostError."""
    looked = _look(channel)
    try:
        return inventory.from_layout(looked.blobs, _index(looked.listed)["manifests"])
    except FerryError as e:
        raise channel.error(str(e)) from None


def keep(
    channel: Channel,
    codec: str,
    saved: Saved,
    pressed: Callable[[str, Descriptor, int], Pressed],
    pace: Pace,
    heard: Callable[[int], None],
) -> int:
    """Send what a layout there lacks, and return the bytes that were sent.

    `codec` is what the host undoes; `pressed` gives a blob, by codec and from a byte on.  Raises
    HostError, StoreError.
    """
    looked = _look(channel)
    sent = 0
    for blob in saved.blobs:
        if blob.id not in looked.blobs:
            begun = looked.begun.get(blob.id, 0)
            at = begun // FRAME * FRAME if begun <= blob.size else 0
            sent += _put(channel, blob, pressed(codec, blob, at), pace, heard)
    images = write.descriptors([saved], "oci")
    _name(channel, images)
    looked = _look(channel)
    if not {blob.id for blob in saved.blobs} <= looked.blobs:
        raise channel.error("what was sent is not there")
    return sent


def _look(channel: Channel) -> _Looked:
    said = channel.ask(_LOOK, limit=_LIMIT)
    listed, mark, index = said.partition(b"index\n")
    blobs: set[Digest] = set()
    begun: dict[Digest, int] = {}
    for line in listed.decode(errors="replace").splitlines():
        word, _, rest = line.partition(" ")
        name, _, size = rest.partition(" ")
        encoded = name.removeprefix(".ferry-").removesuffix(".part")
        try:
            digest = digests.parse(f"sha256:{encoded}")
        except FerryError:
            continue
        if word == "blob":
            blobs.add(digest)
        elif size.isdecimal() and len(size) < 16:
            begun[digest] = int(size)
    return _Looked(frozenset(blobs), begun, index if mark else None)


def _put(
    channel: Channel, blob: Descriptor, pressed: Pressed, pace: Pace, heard: Callable[[int], None]
) -> int:
    words = {
        "DIGEST": blob.id.encoded,
        "SIZE": str(blob.size),
        "BLOCK": str(_BLOCK),
        "START": str(pressed.start // _BLOCK),
        "UNDO": _UNDO[pressed.codec],
    }
    script = _PUT
    for word, meant in words.items():
        script = script.replace(word, meant)
    sent = 0

    def send(fd: int) -> None:
        nonlocal sent
        line = Line(fd, pace, heard)
        pressed.send(line)
        sent = line.sent

    if failed := _fed(channel, script, send):
        raise channel.error(failed)
    return sent


def _name(channel: Channel, images: Sequence[Descriptor]) -> None:
    """Let images have their names in the index, in place of what did before."""
    for _ in range(_TRIES):
        before = _look(channel).listed
        try:
            index = _with_images(before, images)
        except FerryError as e:
            raise channel.error(str(e)) from None
        was = digests.of(before).encoded if before is not None else ""
        failed = _fed(channel, _NAME.replace("BEFORE", was), partial(_write, index))
        if not failed:
            return
        if failed != _CHANGED:
            raise channel.error(failed)
    raise channel.error("its index.json is changed by others all the time")


def _write(content: bytes, fd: int) -> None:
    write_all(fd, content)


def _fed(channel: Channel, script: str, send: Callable[[int], None]) -> str:
    """Run a script there whose stdin `send` writes; return what went wrong, or nothing."""
    process = channel.start(
        script, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    program = Program(process, "stderr")
    assert process.stdin
    broken = ""
    try:
        try:
            send(process.stdin.fileno())
            process.stdin.close()
        except OSError:
            broken = "the connection broke"
        return program.finish() or broken
    finally:
        end(process)


def _index(content: bytes | None) -> dict[str, Any]:
    """Return an index as it stands, with whatever more others have written into it."""
    if content is None:
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    index = decode(content, dict[str, Any], "its index.json")
    listed = index.setdefault("manifests", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise InvalidImage("its index.json is not an index")
    return index


def _with_images(before: bytes | None, images: Sequence[Descriptor]) -> bytes:
    index = _index(before)
    new = [msgspec.to_builtins(image) for image in images]
    index["manifests"] = added(index["manifests"], new)
    return encode(index)
