"""Move the other way: images from another machine to this one, without what is here already."""

import shlex
import subprocess
import threading
from collections.abc import Sequence

from ferryman.archive.stream import PipeStream
from ferryman.errors import FerryError
from ferryman.operations import load
from ferryman.operations.progress import Progress, silent
from ferryman.store.layout import Store
from ferryman.transfer import engines, inventory
from ferryman.transfer.channel import SILENCE, Channel, end, opened
from ferryman.transfer.place import Place
from ferryman.transfer.probe import KEEPERS, Engine, Far, probe
from ferryman.transfer.program import Program

_SECONDS = 5.0


def move_here(
    store: Store,
    names: Sequence[str],
    place: Place,
    *,
    via: str = "",
    silence: int = SILENCE,
    progress: Progress = silent,
) -> list[load.Loaded]:
    """Have an engine there save images, and load them; all of them or none.

    A ferry there leaves out what is here; other engines cannot.  Raises HostError, and what load
    raises.
    """
    with opened(place, silence=silence) as channel:
        far = probe(channel)
        engine = engines.chosen(channel, far, via)
        if engine.name in ("ctr", *KEEPERS):
            raise channel.error(f"{engine.name} does not save what is to be loaded elsewhere")
        process = channel.start(
            _script(engine, far, names),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        program = Program(process, "stderr")
        asking = threading.Thread(target=_ask, args=(process, engine, store), daemon=True)
        asking.start()
        try:
            assert process.stdout
            stream = PipeStream(process.stdout.fileno(), place.name)
            return load.load(store, stream, place.name, progress=progress)
        except FerryError as e:
            raise _reason(channel, program) or e from None
        finally:
            end(process)


def _script(engine: Engine, far: Far, names: Sequence[str]) -> str:
    images = " ".join(shlex.quote(name) for name in names)
    press = "zstd -qT0" if far.zstd else "gzip -1"
    save = f"{engine.command} save"
    if engine.name == "podman" and len(names) > 1:
        save += " --multi-image-archive"
    if engine.name != "ferry":
        return f"{save} -- {images} </dev/null | {press}"
    # What is here comes by standard input; a file is what it wants.
    return (
        'base=$(mktemp) && trap \'rm -f "$base"\' EXIT && cat > "$base" && '
        f'{save} --base "$base" -- {images} | {press}'
    )


def _ask(process: "subprocess.Popen[bytes]", engine: Engine, store: Store) -> None:
    """Send a ferry what is here."""
    assert process.stdin
    try:
        if engine.name == "ferry":
            process.stdin.write(inventory.write(inventory.from_store(store)))
        process.stdin.close()
    except (OSError, FerryError):
        end(process)


def _reason(channel: Channel, program: Program) -> FerryError | None:
    """Return what the engine says of its failure: what came of it here is no more than that."""
    said = program.said(_SECONDS)
    return channel.error(said) if said and program.process.poll() is not None else None
