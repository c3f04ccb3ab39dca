"""Layers that a host fetches from a bucket, by signed addresses and with what it has for that.

docker and ferry are given an archive without the layers that are there, as in `by_archive`: its
small parts come by ssh, its layers from the bucket, and a script of the POSIX shell on the host
puts them together.  Python alone fetches what its layout lacks.  Engines that pull are answered by
the registry of `serve`, which sends them on to the bucket for the layers.

An address is a secret for as long as it is good: it goes by stdin, never as an argument, and is in
no error.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

from ferryman.archive import tar, write
from ferryman.archive.write import Saved
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.transfer import by_agent, by_pull
from ferryman.transfer.agent.incoming import FETCH
from ferryman.transfer.channel import Channel, HostError, end
from ferryman.transfer.depot import Depot, Kept
from ferryman.transfer.line import Line, Pace
from ferryman.transfer.plan import Plan, carried
from ferryman.transfer.pressed import Press
from ferryman.transfer.probe import Engine, Far
from ferryman.transfer.program import Program
from ferryman.transfer.serve import Content

_SMALL = 16 << 10
"""Blobs of so many bytes go by ssh: the bucket would take longer."""
_PIECE = 4 << 10
_LINE = 1 << 10

# Each writes what $what is the address of to stdout, and one line to stderr when it cannot.
# That some stores undo gzip for whoever does not say that he takes it is why all say so.
_GET = {
    "curl": r"""printf 'url = "%s"\n' "$what" |
    curl -gfsS -K - -H 'Accept-Encoding: gzip' --retry 3 \
        --connect-timeout 30 --speed-limit 1 --speed-time 60""",
    "python3": r"""printf '%s\n' "$what" | python3 -c '
import sys, urllib.request as u
try:
    asked = u.Request(sys.stdin.readline().strip(), headers={"Accept-Encoding": "gzip"})
    with u.urlopen(asked, timeout=60) as answer:
        left = int(answer.headers["Content-Length"])
        while left > 0:
            piece = answer.read(min(left, 1 << 18))
            if not piece:
                sys.exit("the connection ended too early")
            left -= sys.stdout.buffer.write(piece)
except Exception as e:
    sys.exit(str(e))
'""",
    "wget": r"""printf '%s\n' "$what" |
    wget -nv -O - --tries=3 --timeout=60 --header='Accept-Encoding: gzip' -i -""",
    # It takes addresses as arguments only, and some of it breaks when it is given a time (-T).
    "busybox": """wget -q -O - --header 'Accept-Encoding: gzip' "$what" """,
}

# stdin has pairs of lines: "bytes" and what printf makes of them, or a codec and an address.  Of a
# pipeline the shell knows the end of its last part only: what goes wrong in the others is said to
# descriptor 3 or 6.  Each layer that has been fetched is a line on stdout.
_SCRIPT = r"""
export LC_ALL=C
exec 9>&1
get() {
GET
}
undo() {
    case $1 in zstd) zstd -dcq ;; gzip) gzip -dcq ;; *) cat ;; esac
    code=$?
    # What is damaged is read to its end, so that it is not the fetching that fails.
    case $code in 0 | 141) ;; *) cat >/dev/null ;; esac
    return $code
}
said=$( {
    {
        n=0
        while IFS= read -r kind && IFS= read -r what; do
            if [ "$kind" = bytes ]; then
                printf %b "$what"
                continue
            fi
            bad=$( {
                { why=$(get 2>&1 >&5) || echo "get $n $why" >&6; } 5>&1 |
                    undo "$kind" >&4 || echo "undo $? $n" >&6
            } 6>&1 )
            [ -z "$bad" ] || { printf '%s\n' "$bad" >&3; break; }
            n=$((n + 1))
            echo >&9
        done
    } 4>&1 | LOAD >&2 3>&- 9>&- || echo load >&3
} 3>&1 )
case $said in
    "") exit 0 ;;
    # Whoever takes the archive ended first.
    load | *"undo 141"*) exit 1 ;;
esac
printf '\nFAILED%s\n' "$(printf %s "$said" | tr '\n' ' ')" >&2
exit 1
"""
_SCRIPT = _SCRIPT.replace("FAILED", FETCH)


def fetcher(channel: Channel, far: Far, what: str) -> str:
    """Return what a host fetches from a bucket with; raises HostError where it has nothing."""
    has = {*far.fetchers, *(("python3",) if far.python else ())}
    for each in _GET:
        if each in has:
            return each
    raise channel.error(f"there is no curl, wget or python3 to fetch from {what}")


def large(blobs: Sequence[Descriptor]) -> list[Descriptor]:
    """Return those blobs that are worth being fetched."""
    return [blob for blob in blobs if blob.size > _SMALL]


def load(
    channel: Channel,
    engine: Engine,
    fetcher: str,
    depot: Depot,
    codec: str,
    plan: Plan,
    saved: Saved,
    form: str,
    press: Press,
    pace: Pace,
    heard: Callable[[int], None],
) -> int:
    """Have a host put the archive together and load it; return the bytes that went by ssh.

    `codec` is what the host undoes, `form` the archive's (see archive.write).  `heard` is told of
    the bytes that it has, as they are stored here.  Raises CopyError for the bucket, HostError for
    the host, StoreError.
    """
    partial = carried(saved, plan.steps)
    kept = depot.keep(large(partial.blobs), codec)
    script = _SCRIPT.replace("GET", _GET[fetcher]).replace("LOAD", f"{engine.command} load")
    process = channel.start(
        script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program = Program(process, "stderr")
    assert process.stdin
    assert process.stdout
    line = Line(process.stdin.fileno(), pace)
    fetched: list[write.Part] = []
    broken: OSError | None = None
    try:
        try:
            for content, blob in _pieces(partial, form, kept, press):
                if blob is None or blob.blob is None:
                    line.write(_told(content))
                    continue
                it = kept[blob.blob]
                fetched.append(blob)
                line.write(f"{it.codec}\n{_address(channel, depot, it)}\n".encode())
            process.stdin.close()
        except OSError as e:
            broken = e
        for part in fetched:
            if process.stdout.readline(_LINE) != b"\n":
                break
            heard(part.size)
        said = program.said()
        code = process.wait()
    finally:
        end(process)
    if said.startswith(FETCH):
        names = [kept[part.blob] for part in fetched if part.blob]
        raise channel.error(_why(said.removeprefix(FETCH), names, depot))
    if code or broken:
        said = said or (broken and broken.strerror) or "it failed"
        raise channel.error(f"{engine.name} load: {hidden(said)}")
    return line.sent


def keep(
    channel: Channel, job: by_agent.Job, depot: Depot, pace: Pace, heard: Callable[[int], None]
) -> int:
    """Have Python fetch what a layout there lacks; return the bytes that went by ssh.

    Raises CopyError for the bucket, HostError for the host.
    """
    missing = [blob for blob in job.saved.blobs if blob.id not in job.site.blobs]
    kept = depot.keep(large(missing), "gzip")
    asked: list[Kept] = []

    def elsewhere(digest: Digest) -> tuple[str, str] | None:
        it = kept.get(digest)
        if it is None:
            return None
        asked.append(it)
        return it.codec, _address(channel, depot, it)

    try:
        fetching = job._replace(elsewhere=elsewhere, differences=None)
        return by_agent.keep(channel, fetching, pace, heard)
    except HostError as e:
        _, failed, why = str(e).partition(FETCH)
        if not failed:
            raise
        raise channel.error(_why(f"get 0 {why}", asked[-1:], depot)) from None


def _pieces(
    saved: Saved, form: str, kept: Mapping[Digest, Kept], press: Press
) -> Iterator[tuple[bytes, write.Part | None]]:
    """Yield the archive: bytes that are sent, and parts that are fetched."""
    pending = b""
    for part in write.parts([saved], form):
        pending += part.content
        if part.blob is None:
            continue
        if part.blob in kept:
            yield pending, None
            yield b"", part
            pending = b""
        else:
            small = _Memory()
            press("none", part.blob, part.size, 0).send(small)
            pending += small.content
        pending += bytes(-part.size % tar.BLOCK)
    yield pending, None


class _Memory:
    """Takes what is small."""

    content = b""

    def copy(self, fd: int, start: int, size: int) -> None:
        """Take part of a file."""
        self.content += os.pread(fd, size, start)


def _told(content: bytes) -> bytes:
    """Return lines of which ``printf %b`` makes some bytes."""
    starts = range(0, len(content), _PIECE)
    return b"".join(b"bytes\n%b\n" % _escaped(content[i : i + _PIECE]) for i in starts)


def _escaped(content: bytes) -> bytes:
    said = bytearray()
    for i, byte in enumerate(content):
        if 0x20 <= byte < 0x7F and byte != 0x5C:
            said.append(byte)
            continue
        # Up to three digits are read: all are written where one might follow.
        follows = content[i + 1 : i + 2].isdigit()
        said += b"\\0%03o" % byte if follows else b"\\0%o" % byte
    return bytes(said)


def _address(channel: Channel, depot: Depot, kept: Kept) -> str:
    address = depot.address(kept)
    if not re.fullmatch(r"https?://[!#-\[\]-~]+", address):
        raise channel.error(f"the address of {depot.what} cannot be told to a host")
    return address


def _why(said: str, names: Sequence[Kept], depot: Depot) -> str:
    """Say what was wrong with a layer, of what the script says of it."""
    found = re.match(r"get (\d{1,6}) ?(.*?)(?: ?undo \d+ \d+)?(?: load)? *$", said)
    at = re.search(r"\d+ (\d{1,6})", said) if not found else None
    number = int(found[1]) if found else int(at[1]) if at else 0
    name = names[number].name if number < len(names) else "a layer"
    if not found:
        return (
            f"{name} of {depot.what} cannot be decompressed there: if it is damaged, remove it "
            "from the bucket, and move again"
        )
    why = hidden(found[2]) or "it failed"
    if re.search(r"\b403\b", why):
        return (
            f"{depot.what} does not give out {name} (403): the address that was signed has "
            "expired, or who signed it may not read it; move again"
        )
    if re.search(r"\b404\b", why):
        return f"{name} is gone from {depot.what} (404): move again, and it is put there again"
    return (
        f"cannot fetch {name} of {depot.what} from {depot.endpoint}, which hosts must reach: {why}"
    )


def hidden(said: str) -> str:
    """Return words of others without what signs an address."""
    return re.sub(r"\?\S*", "?…", said)


def pull(
    channel: Channel,
    engine: Engine,
    depot: Depot,
    plan: Plan,
    content: Content,
    pace: Pace,
    heard: Callable[[int], None],
) -> int:
    """Have an engine pull from here, and the layers from the bucket; return the bytes from here.

    Raises CopyError for the bucket, HostError for the host.
    """
    kept = depot.keep(large([step.layer for step in plan.missing]), "gzip")
    addresses = {digest: depot.address(it) for digest, it in kept.items()}

    def elsewhere(digest: Digest, takes_gzip: bool) -> str | None:
        packed = digest in kept and kept[digest].codec == "gzip"
        return None if packed and not takes_gzip else addresses.get(digest)

    there = content._replace(elsewhere=elsewhere)
    try:
        return by_pull.move(channel, engine, there, plan.image.names, pace, heard)
    except HostError as e:
        raise HostError(
            f"{hidden(str(e))} (layers are pulled from {depot.endpoint}, which hosts must reach)"
        ) from None
