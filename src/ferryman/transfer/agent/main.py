"""The agent: takes parts of images, keeps them until they are whole, and has an engine load them.

It is sent to a host and run there by its Python, of 3.6 or later, with nothing but the modules
that it imports.  Each request is a line of JSON on standard input, with the bytes that belong to it
behind it; each answer is one line.  What has arrived is kept in the user's cache until the image is
there, so that nothing is sent twice over a line that breaks; all of it is checked by its digest.
"""

import base64
import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from ferryman.transfer.agent import arrivals, inflate, registry
from ferryman.transfer.delta import undo

_LINE = 64 << 20
_PIECE = 1 << 20
_LENGTH = struct.Struct(">I")
_TOLD = 8 << 10
_OLD_SECONDS = 7 * 86400
_FETCH_SECONDS = 60
FETCH = "ferry:fetch "
"""What stands before the reason why a URL gave nothing."""
_HEX = set("0123456789abcdef")
_MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


class Failed(Exception):
    """Why a request cannot be done, in one line."""


class Kept:
    """The folder of what has arrived: a file for each part, by its SHA-256, ``.part`` behind it
    while it is not whole."""

    def __init__(self, folder: str) -> None:
        """Make the folder, and forget what nobody has come back for."""
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if time.time() - os.stat(path).st_mtime > _OLD_SECONDS:
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def path(self, digest: str) -> str:
        """Return the file of a whole part."""
        if len(digest) != 64 or not set(digest) <= _HEX:
            raise Failed("a request for no digest")
        return os.path.join(self.folder, digest)

    def size(self, digest: str) -> Optional[int]:
        """Return the bytes of a whole part, or None."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            return None

    def begun(self, digest: str) -> int:
        """Return how many bytes of a part have arrived."""
        try:
            return os.stat(self.path(digest) + ".part").st_size
        except FileNotFoundError:
            return 0

    def forget(self, digests: List[str]) -> None:
        """Remove parts, and the folder if that was all."""
        for digest in digests:
            for path in (self.path(digest), self.path(digest) + ".part"):
                if os.path.exists(path):
                    os.unlink(path)
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


class Layout:
    """Images where there is no engine: an OCI image layout, where a ferry would look for it."""

    def __init__(self) -> None:
        """Find the place; nothing is made before something is to be kept."""
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        place = "/var/lib/ferry" if os.getuid() == 0 else os.path.join(data, "ferry")
        self._top = os.path.join(os.environ.get("FERRY_ROOT") or place, "image")
        self._blobs = os.path.join(self._top, "blobs", "sha256")

    def path(self, digest: str) -> str:
        """Return the file of a blob."""
        return os.path.join(self._blobs, digest)

    def have(self) -> List[str]:
        """Return the blobs that are there."""
        return os.listdir(self._blobs) if os.path.isdir(self._blobs) else []

    def images(self) -> List[Dict[str, Any]]:
        """Return the descriptors of its index."""
        try:
            with open(os.path.join(self._top, "index.json"), "rb") as file:
                found = json.loads(file.read().decode()).get("manifests")
        except (FileNotFoundError, ValueError):
            return []
        return found if isinstance(found, list) else []

    def take(self, digest: str, path: str) -> None:
        """Take a blob from a file, which it is by then."""
        os.makedirs(self._blobs, exist_ok=True)
        aside = os.path.join(self._top, ".ferry-" + digest)
        try:
            os.rename(path, aside)
        except OSError:  # another file system
            shutil.copyfile(path, aside)
            os.unlink(path)
        _sync(aside)
        os.rename(aside, self.path(digest))
        _sync(self._blobs)

    def add(self, images: List[Dict[str, Any]]) -> None:
        """Let descriptors stand for their names, in place of what did before."""
        lock = os.open(self._top, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = {_name(image) for image in images}
            kept = [each for each in self.images() if _name(each) not in names]
            index = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": kept + images,
            }
            self._write("oci-layout", {"imageLayoutVersion": "1.0.0"})
            self._write("index.json", index)
        finally:
            os.close(lock)

    def _write(self, name: str, content: Dict[str, Any]) -> None:
        aside = os.path.join(self._top, "." + name)
        with open(aside, "wb") as file:
            file.write(json.dumps(content).encode())
        _sync(aside)
        os.rename(aside, os.path.join(self._top, name))
        _sync(self._top)


def _name(image: Dict[str, Any]) -> str:
    """Return what an image is known by: its name, or its digest where it has none."""
    named = (image.get("annotations") or {}).get("io.containerd.image.name")
    return str(named or image.get("digest"))


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Input:
    """Standard input: lines, and frames of bytes."""

    def __init__(self, stream: Any) -> None:
        """Read from a binary stream."""
        self._stream = stream

    def line(self) -> Optional[Dict[str, Any]]:
        """Return the next request, None at the end."""
        line = self._stream.readline(_LINE)
        if not line:
            return None
        if not line.endswith(b"\n"):
            raise Failed("the line broke")
        return json.loads(line.decode())  # type: ignore[no-any-return]

    def body(self, codec: str) -> Any:
        """Yield what the frames hold, up to the one that is empty."""
        return inflate.inflated(self._frames(), codec)

    def _frames(self) -> Any:
        while True:
            (length,) = _LENGTH.unpack(self.exactly(_LENGTH.size))
            if not length:
                return
            while length:
                piece = self.exactly(min(length, _PIECE))
                length -= len(piece)
                yield piece

    def exactly(self, size: int) -> bytes:
        """Return so many bytes; raises Failed when the line breaks."""
        content = self._stream.read(size)
        if len(content) != size:
            raise Failed("the line broke")
        return content  # type: ignore[no-any-return]


class Address:
    """What a URL gives, in the place of frames."""

    def __init__(self, url: str) -> None:
        """Ask for it once it is wanted; the URL is told to nobody."""
        self._url = url

    def body(self, codec: str) -> Any:
        """Yield what it holds; raises Failed, with FETCH in front, where it cannot be had."""
        return inflate.inflated(self._fetched(), codec)

    def _fetched(self) -> Any:
        from http.client import HTTPException
        from urllib.request import Request, urlopen

        try:
            asked = Request(self._url, headers={"Accept-Encoding": "gzip"})
            with urlopen(asked, timeout=_FETCH_SECONDS) as answer:
                left = int(answer.headers["Content-Length"])
                while left:
                    piece = answer.read(min(left, _PIECE))
                    if not piece:
                        raise Failed(FETCH + "the connection ended too early")
                    left -= len(piece)
                    yield piece
        except (OSError, HTTPException, TypeError, ValueError) as e:
            raise Failed(FETCH + str(e)) from None


def receive(
    kept: Kept, source: Any, request: Dict[str, Any], write: Callable[[bytes], object]
) -> None:
    """Take a part, from where the last try ended, pass all of it on, and keep it.

    `source` is an Input or an Address.
    """
    digest, size, at = request["digest"], request["size"], request["at"]
    path = kept.path(digest) + ".part"
    hashed = hashlib.sha256()
    with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
        for piece in _pieces(file, at):
            hashed.update(piece)
            write(piece)
        if file.tell() != at:
            raise Failed("what was kept is gone")
        file.truncate()
        for piece in source.body(request["codec"]):
            at += len(piece)
            if at > size:
                raise Failed("more arrives than was announced")
            hashed.update(piece)
            file.write(piece)
            # Others may read it already.
            file.flush()
            write(piece)
    if at != size or hashed.hexdigest() != digest:
        os.unlink(path)
        raise Failed("what arrived is not what was sent")
    os.rename(path, kept.path(digest))


def _pieces(file: Any, size: int) -> Any:
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            return
        size -= len(piece)
        yield piece


def _ignore(piece: bytes) -> None:
    pass


class Agent:
    """What is asked for, each by a method."""

    def __init__(
        self, source: Input, answer: Callable[[Dict[str, Any]], None], folder: str
    ) -> None:
        """Serve what `source` asks for; `folder` is where parts are kept."""
        self._source = source
        self._answer = answer
        self._kept = Kept(folder)
        self._layout = Layout()
        self._bases = {}  # type: Dict[str, str]
        self._scratch = tempfile.mkdtemp(prefix="base-", dir=folder)

    def close(self) -> None:
        """Remove what is not to be kept."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._kept.forget([])

    def look(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Say which parts are here, which have begun, and what can be undone."""
        return {
            "whole": [d for d in request["digests"] if self._kept.size(d) is not None],
            "begun": {d: self._kept.begun(d) for d in request["digests"] if self._kept.begun(d)},
            "compressions": undo.compressions(),
            "codecs": inflate.codecs(),
        }

    def put(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Take a part."""
        receive(self._kept, self._source, request, _ignore)
        return {}

    def fetch(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Take a part from a URL."""
        receive(self._kept, Address(request["url"]), request, _ignore)
        return {}

    def base(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Take layers out of an image that an engine here has; say which were found.

        With ``each`` that is the command that gives out a layer by its digest.  Without an engine
        they are looked for in the layout.
        """
        wanted = set(request["layers"]) - set(self._bases)
        if request["each"]:
            for diff_id in sorted(wanted):
                with self._saving([*request["each"], diff_id]) as content:
                    self._take_base(content, wanted)
            return {"found": sorted(self._bases)}
        if request["command"] is None:
            for diff_id in request["layers"]:
                path = self._layout.path(diff_id[len("sha256:") :])
                if os.path.exists(path):
                    self._bases[diff_id] = path
            return {"found": sorted(self._bases)}
        with self._saving(request["command"]) as saved, contextlib.suppress(tarfile.TarError):
            with tarfile.open(fileobj=saved, mode="r|") as archive:
                for member in archive:
                    if not wanted:
                        break  # the rest of a large image is not worth being read
                    if member.isfile() and _may_be_layer(member.name):
                        self._take_base(archive.extractfile(member), wanted)
        return {"found": sorted(self._bases)}

    @contextlib.contextmanager
    def _saving(self, command: List[str]) -> Iterator[Any]:
        """Give what a command writes, which ends with the block."""
        saving = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield saving.stdout
        finally:
            _end(saving)

    def _take_base(self, content: Any, wanted: Any) -> None:
        handle, path = tempfile.mkstemp(dir=self._scratch)
        hashed = hashlib.sha256()
        first = content.read(_PIECE)
        codec = next((codec for magic, codec in _MAGIC.items() if first.startswith(magic)), "none")
        pieces = itertools.chain([first], iter(lambda: content.read(_PIECE), b""))
        with os.fdopen(handle, "wb") as file, contextlib.suppress(inflate.Damaged):
            for piece in inflate.inflated(pieces, codec):
                hashed.update(piece)
                file.write(piece)
        diff_id = "sha256:" + hashed.hexdigest()
        if diff_id in wanted:
            self._bases[diff_id] = path
            wanted.discard(diff_id)
        else:
            os.unlink(path)

    def take(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Make a part of a layer that was taken out of an image."""
        os.rename(
            self._bases.pop("sha256:" + request["digest"]), self._kept.path(request["digest"])
        )
        return {}

    def undo(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Make a part of a delta that has arrived, and of layers that are here."""
        delta, digest = request["delta"], request["digest"]
        opened = {}  # type: Dict[str, int]

        def find(diff_id: str) -> Optional[undo.Region]:
            path = self._bases.get(diff_id)
            if path is None:
                return None
            if diff_id not in opened:
                opened[diff_id] = os.open(path, os.O_RDONLY)
            return undo.Region(opened[diff_id], 0, os.stat(path).st_size)

        path = self._kept.path(digest)
        try:
            with open(self._kept.path(delta), "rb") as file, open(path + ".undone", "wb") as out:
                made = undo.undo(file, find, out.write)
            if made.diff_id != "sha256:" + digest:
                raise Failed("a delta of another layer")
            os.rename(path + ".undone", path)
        except undo.DeltaError as e:
            raise Failed(f"a delta cannot be undone: {e}") from None
        finally:
            for fd in opened.values():
                os.close(fd)
            if os.path.exists(path + ".undone"):
                os.unlink(path + ".undone")
        return {}

    def load(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Have an engine load an archive of bytes and parts, some of which are still to come."""
        told = tempfile.TemporaryFile()
        engine = subprocess.Popen(
            request["command"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told
        )
        stopped = []  # type: List[OSError]

        def feed(piece: bytes) -> None:
            # What still arrives is kept all the same.
            if not stopped:
                try:
                    engine.stdin.write(piece)  # type: ignore[union-attr]
                except OSError as e:
                    stopped.append(e)

        try:
            for part in request["parts"]:
                if "bytes" in part:
                    feed(base64.b64decode(part["bytes"]))
                elif "at" in part:
                    receive(self._kept, self._source, part, feed)
                else:
                    with open(self._kept.path(part["digest"]), "rb") as file:
                        for piece in _pieces(file, part["size"]):
                            feed(piece)
            if not stopped:
                engine.stdin.close()  # type: ignore[union-attr]
            code = engine.wait()
        except BaseException:
            # Killed, or at the end of an archive that is cut, it loads nothing.
            _end(engine)
            raise
        told.seek(max(0, told.tell() - _TOLD))
        return {"code": code, "said": told.read(_TOLD).decode("utf-8", "replace")}

    def pull(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Have an engine pull an image from here, and ask for the blobs that it wants.

        Each is asked for in a line, and comes as with ``put``.
        """
        blobs = arrivals.Arrivals(request["blobs"], self._kept.path)
        documents = {
            digest: (media_type, base64.b64decode(content))
            for digest, (media_type, content) in request["documents"].items()
        }
        image = registry.Image(request["name"], request["target"], documents)
        told = tempfile.TemporaryFile()
        with registry.serving(arrivals.handler(image, blobs)) as port:
            script = request["script"].replace(request["port"], str(port))
            engine = subprocess.Popen(
                ["sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                # All that it starts is ended with it.
                start_new_session=True,
            )
            waiting = threading.Thread(target=_wait, args=(engine, blobs))
            waiting.daemon = True
            waiting.start()
            try:
                while True:
                    digest = blobs.next()
                    if digest is None:
                        break
                    self._answer({"want": digest})
                    self._arrive(digest, blobs)
            except BaseException:
                with contextlib.suppress(PermissionError, ProcessLookupError):
                    os.killpg(engine.pid, signal.SIGTERM)
                blobs.end()
                raise
            waiting.join()
        told.seek(max(0, told.tell() - _TOLD))
        return {"code": engine.returncode, "said": told.read(_TOLD).decode("utf-8", "replace")}

    def _arrive(self, digest: str, blobs: arrivals.Arrivals) -> None:
        part = self._source.line()
        if part is None or part["digest"] != digest:
            raise Failed("the line broke")
        at = 0

        def arrived(piece: bytes) -> None:
            nonlocal at
            at += len(piece)
            blobs.arrived(digest, at)

        receive(self._kept, self._source, part, arrived)

    def have(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Say what the layout has."""
        return {"blobs": self._layout.have(), "images": self._layout.images()}

    def keep(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Put parts into the layout, and let images have their names there."""
        for digest in request["digests"]:
            if not os.path.exists(self._layout.path(digest)):
                self._layout.take(digest, self._kept.path(digest))
        self._layout.add(request["images"])
        return {}

    def done(self, request: Dict[str, Any]) -> Dict[str, Any]:
        """Forget parts: the image is there."""
        self._kept.forget(request["digests"])
        return {}


def _wait(engine: Any, blobs: arrivals.Arrivals) -> None:
    engine.wait()
    blobs.end()


def _end(engine: Any) -> None:
    """End an engine that has nothing more to do."""
    # One that sudo has started may be none of the user's to kill: it ends with its pipes.
    with contextlib.suppress(PermissionError):
        engine.kill()
    for pipe in (engine.stdin, engine.stdout):
        with contextlib.suppress(OSError, AttributeError):
            pipe.close()
    engine.wait()


def _may_be_layer(name: str) -> bool:
    return name.endswith(".tar") or name.startswith("blobs/sha256/")


def run() -> None:
    """Answer requests until there are no more."""
    out = sys.stdout.buffer

    def say(answer: Dict[str, Any]) -> None:
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()

    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    source = Input(sys.stdin.buffer)
    agent = Agent(source, say, os.path.join(home, "ferry-agent"))
    asked = {
        "look": agent.look,
        "put": agent.put,
        "fetch": agent.fetch,
        "base": agent.base,
        "take": agent.take,
        "undo": agent.undo,
        "load": agent.load,
        "pull": agent.pull,
        "have": agent.have,
        "keep": agent.keep,
        "done": agent.done,
    }
    try:
        while True:
            request = source.line()
            if request is None:
                return
            say(asked[request["ask"]](request))
    except (Failed, inflate.Damaged) as e:
        say({"failed": str(e)})
    except OSError as e:
        say({"failed": f"{e.filename}: {e.strerror}"})
    finally:
        agent.close()
