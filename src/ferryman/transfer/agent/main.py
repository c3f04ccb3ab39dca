"""The agent: takes parts of images, keeps them until they are whole, and has an engine load them.

It is sent to a host and run there by its Python, of 3.6 or later, with nothing but the modules
that it imports.  Each request is a line of JSON on standard input, with the bytes that belong to it
behind it; each answer is one line.  What has arrived is kept in the user's cache until the image is
there, so that nothing is sent twice over a line that breaks; all of it is checked by its digest.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
from typing import Any, Callable, Dict, Optional

from ferryman.transfer.agent import arrivals, inflate, registry
from ferryman.transfer.agent.engine import Engine, output
from ferryman.transfer.agent.incoming import Address, Failed, Input
from ferryman.transfer.agent.kept import Kept, pieces, receive
from ferryman.transfer.agent.layout import Layout
from ferryman.transfer.delta import undo

_PIECE = 1 << 20
_WELL = {"code": 0, "said": ""}
_MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


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
        self._loading = None  # type: Optional[Engine]
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
                with output([*request["each"], diff_id]) as content:
                    self._take_base(content, wanted)
            return {"found": sorted(self._bases)}
        if request["command"] is None:
            for diff_id in request["layers"]:
                path = self._layout.path(diff_id[len("sha256:") :])
                if os.path.exists(path):
                    self._bases[diff_id] = path
            return {"found": sorted(self._bases)}
        with output(request["command"]) as saved, contextlib.suppress(tarfile.TarError):
            with tarfile.open(fileobj=saved, mode="r|") as archive:
                for member in archive:
                    if not wanted:
                        break  # the rest of a large image is not worth being read
                    if member.isfile() and _may_be_layer(member.name):
                        self._take_base(archive.extractfile(member), wanted)
        return {"found": sorted(self._bases)}

    def _take_base(self, content: Any, wanted: Any) -> None:
        handle, path = tempfile.mkstemp(dir=self._scratch)
        hashed = hashlib.sha256()
        first = content.read(_PIECE)
        codec = next((codec for magic, codec in _MAGIC.items() if first.startswith(magic)), "none")
        saved = itertools.chain([first], iter(lambda: content.read(_PIECE), b""))
        with os.fdopen(handle, "wb") as file, contextlib.suppress(inflate.Damaged):
            for piece in inflate.inflated(saved, codec):
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
        """Have an engine load an archive of bytes and parts, some of which are still to come.

        The end of one that is not the last is not waited for: the next one arrives meanwhile.
        """
        loading = Engine(request["script"], fed=True)
        try:
            for part in request["parts"]:
                if "bytes" in part:
                    loading.feed(base64.b64decode(part["bytes"]))
                elif "at" in part:
                    receive(self._kept, self._source, part, loading.feed)
                else:
                    with open(self._kept.path(part["digest"]), "rb") as file:
                        for piece in pieces(file, part["size"]):
                            loading.feed(piece)
            # Its layers stand on those of the one before.
            before = self._loading.ended() if self._loading else _WELL
            if before["code"]:
                loading.end()
                return before
            loading.close()
        except BaseException:
            # Killed, or at the end of an archive that is cut, it loads nothing.
            loading.end()
            raise
        self._loading = None if request["last"] else loading
        return loading.ended() if request["last"] else _WELL

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
        with registry.serving(arrivals.handler(image, blobs)) as port:
            engine = Engine(request["script"].replace(request["port"], str(port)))
            waiting = threading.Thread(target=_wait, args=(engine, blobs))
            waiting.daemon = True
            waiting.start()
            try:
                while True:
                    digest = blobs.next()
                    if digest is None:
                        return engine.ended()
                    self._answer({"want": digest})
                    self._arrive(digest, blobs)
            except BaseException:
                blobs.end()
                engine.end(signal.SIGTERM)
                raise

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


def _wait(engine: Engine, blobs: arrivals.Arrivals) -> None:
    engine.wait()
    blobs.end()


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
