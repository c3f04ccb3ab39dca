"""By Python there: parts are kept until the image is whole, and layers are sent as differences.

What is missing is a part: a layer, or the delta that makes it of layers which the engine there has
and which are here too.  The agent takes those out of the engine and undoes the delta.  What has
come of it all it hands to the engine's own ``load``, or has it pulled by an engine that pulls, or
keeps as a layout where there is no engine.
"""

import base64
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from ferryman.archive import tar, write
from ferryman.archive.write import Saved
from ferryman.errors import FerryError
from ferryman.image.digest import Digest
from ferryman.transfer import by_pull, inventory, serve
from ferryman.transfer.agent_client import Agent, Looked, look, shown
from ferryman.transfer.channel import Channel
from ferryman.transfer.differences import Difference, Differences
from ferryman.transfer.inventory import Inventory, alike
from ferryman.transfer.line import Pace
from ferryman.transfer.plan import Plan
from ferryman.transfer.pressed import FRAME, Press, Pressed
from ferryman.transfer.probe import PYTHON, Engine
from ferryman.transfer.serve import Content
from ferryman.transfer.stages import stages

_PORT = "FERRY_PORT"
"""Stands in a script for the port that the agent serves on."""
_SMALL = 64 << 10
# ctr gives out each blob, and knows no layers by their images.
_GET_BLOB = ("-n", "default", "content", "get")


class Job(NamedTuple):
    """What is to be done, and with what."""

    engine: Engine
    site: Inventory
    plan: Plan
    saved: Saved
    press: Press
    differences: Differences | None
    """What makes deltas; None where there are to be none."""
    form: str = "docker"
    """Of the archive that the engine loads: see archive.write."""
    elsewhere: Callable[[Digest], tuple[str, str] | None] = lambda digest: None
    """Says where else a blob is to be had, whole: a codec and a URL."""


def move(
    channel: Channel,
    job: Job,
    pace: Pace,
    heard: Callable[[int], None],
    check: Callable[[], None],
) -> int:
    """Send what the plan says, have the engine load it, and return the bytes that were sent.

    What has arrived is kept there until `check` finds the image whole.  Raises HostError, and what
    `check` raises.
    """
    missing = {step.layer.id: step for step in job.plan.missing}
    with Agent(channel, pace, heard) as agent:
        looked = look(agent, missing)
        wanted = [digest for digest in missing if digest not in looked.whole]
        elsewhere = _elsewhere(job, wanted)
        made, taken = _differences(agent, job, wanted, looked, elsewhere)
        whole = looked.whole | taken | {difference.result for difference in made}
        _load(channel, agent, job, whole, looked)
        check()
        # Of an earlier try, whose layers the engine has by now, parts may be left.
        layers = (step.layer.id for step in job.plan.steps)
        _forget(agent, [*layers, *(blob.id for blob in job.saved.blobs)], made)
        return agent.line.sent


def _forget(agent: Agent, parts: Iterable[Digest], made: Iterable[Difference]) -> None:
    """Have parts forgotten, and deltas with what they made: the image is there."""
    deltas = (digest for each in made for digest in (each.digest, each.result))
    agent.ask({"ask": "done", "digests": [digest.encoded for digest in (*parts, *deltas)]})


def pull(
    channel: Channel,
    job: Job,
    content: Content,
    pace: Pace,
    heard: Callable[[int], None],
    check: Callable[[], None],
) -> int:
    """Have the engine pull the image from the agent, which is sent what the engine asks for.

    Return the bytes that were sent.  What has arrived is kept there until `check` finds the image
    whole.  Raises HostError, and what `check` raises.
    """
    with Agent(channel, pace, heard) as agent:
        looked = look(agent, content.blobs)
        missing = {step.layer.id for step in job.plan.missing if step.layer.id == step.diff_id}
        fresh = missing - job.site.diff_ids - looked.whole
        made, _ = _differences(agent, job, sorted(fresh), looked)
        name = serve.secret_name()
        source, names = serve.reference(name, _PORT), job.plan.image.names
        agent.say(
            {
                "ask": "pull",
                "script": by_pull.script(job.engine, source, names, insecure=True),
                "port": _PORT,
                "name": name,
                "target": content.target.digest,
                "documents": {
                    digest: (media_type, base64.b64encode(document).decode())
                    for digest, (media_type, document) in content.documents.items()
                },
                "blobs": {digest.encoded: size for digest, size in content.blobs.items()},
            }
        )
        _answer_wants(channel, agent, job, content, looked)
        check()
        _forget(agent, content.blobs, made)
        return agent.line.sent


def _answer_wants(
    channel: Channel, agent: Agent, job: Job, content: Content, looked: Looked
) -> None:
    """Send what the engine asks for until it has ended."""
    left = {digest.encoded: digest for digest in content.blobs}
    while "want" in (answer := agent.answer()):
        # What has arrived is not asked for again.
        digest = left.pop(str(answer["want"]), None)
        if digest is None:
            raise channel.error("it asks for what is not to be had")
        as_it_is = digest not in content.plain
        how = looked._replace(codec="none") if as_it_is else looked
        pressed = _rest(job, how, digest, content.blobs[digest])
        agent.say(_part(digest, pressed))
        agent.send(pressed)
    _check_ended(channel, f"{job.engine.name} pull", answer)


def _check_ended(channel: Channel, what: str, answer: dict[str, Any]) -> None:
    """Raise HostError, with what an engine said, where it did not end well."""
    if answer.get("code") != 0:
        raise channel.error(f"{what}: {shown(answer.get('said', '')) or 'it failed'}")


def site(channel: Channel) -> Inventory:
    """Return what a host without an engine has in its layout; raises HostError."""
    with Agent(channel, Pace(None), lambda n: None) as agent:
        answer = agent.ask({"ask": "have"})
    blobs, images = (
        each if isinstance(each := answer.get(key), list) else [] for key in ("blobs", "images")
    )
    try:
        return inventory.from_layout([f"sha256:{each}" for each in blobs], images)
    except FerryError as e:
        raise channel.error(str(e)) from None


def keep(
    channel: Channel,
    job: Job,
    pace: Pace,
    heard: Callable[[int], None],
) -> int:
    """Send what a layout there lacks, and return the bytes that were sent; raises HostError."""
    blobs = {blob.id: blob.size for blob in job.saved.blobs}
    missing = [digest for digest in blobs if digest not in job.site.blobs]
    layers = {layer.id for layer in job.saved.layers}
    with Agent(channel, pace, heard) as agent:
        looked = look(agent, missing)
        wanted = [d for d in missing if d not in looked.whole and d in layers]
        made, _ = _differences(agent, job, wanted, looked)
        whole = looked.whole | {difference.result for difference in made}
        for digest in missing:
            if digest in whole:
                continue
            if found := job.elsewhere(digest):
                codec, url = found
                part = {"digest": digest.encoded, "size": blobs[digest], "at": 0, "codec": codec}
                agent.ask({"ask": "fetch", "url": url, **part})
                heard(blobs[digest])
            else:
                pressed = _rest(job, looked, digest, blobs[digest])
                agent.say({"ask": "put", **_part(digest, pressed)})
                agent.send(pressed)
                agent.answer()
        images = [msgspec.to_builtins(each) for each in write.descriptors([job.saved], "oci")]
        agent.ask({"ask": "keep", "digests": [d.encoded for d in missing], "images": images})
        there = agent.ask({"ask": "have"}).get("blobs")
        if not isinstance(there, list) or not {digest.encoded for digest in blobs} <= set(there):
            raise channel.error("what was sent is not there")
        _forget(agent, (), made)
        return agent.line.sent


def _part(digest: Digest, pressed: Pressed) -> dict[str, Any]:
    return {
        "digest": digest.encoded,
        "size": pressed.size,
        "at": pressed.start,
        "codec": pressed.codec,
    }


def _rest(job: Job, looked: Looked, digest: Digest, size: int) -> Pressed:
    """Return what has not arrived there of a part."""
    at = looked.begun.get(digest, 0) // FRAME * FRAME
    return job.press(looked.codec, digest, size, min(at, size))


def _elsewhere(job: Job, wanted: Sequence[Digest]) -> set[Digest]:
    """Return the layers that the engine has, but on top of others.

    None where they are small: to be sent takes less than to have the engine save an image.
    """
    sizes = {step.layer.id: step.layer.size for step in job.plan.missing}
    found = job.site.diff_ids.intersection(wanted)
    return found if sum(sizes[digest] for digest in found) > _SMALL else set()


def _differences(
    agent: Agent,
    job: Job,
    wanted: Sequence[Digest],
    looked: Looked,
    elsewhere: Collection[Digest] = (),
) -> tuple[list[Difference], set[Digest]]:
    """Bring layers as deltas, where those are smaller, and take those that are there elsewhere.

    Return both: all of them are whole there now.
    """
    chosen = _chosen(job, [d for d in wanted if d not in elsewhere], looked)
    needed = {base for bases in chosen.values() for base in bases} | set(elsewhere)
    begun = _ask_for(agent, job, needed)
    # The engine there saves meanwhile.
    found = [
        job.differences.made(digest, bases, looked.compressions)
        for digest, bases in chosen.items()
        if job.differences
    ]
    there = _found(agent, job, needed) if begun else set()
    made = [each for each in found if each and there.issuperset(each.bases)]
    _undo(agent, made)
    taken = there.intersection(elsewhere)
    for digest in taken:
        agent.ask({"ask": "take", "digest": digest.encoded})
    return made, taken


def _chosen(job: Job, wanted: Sequence[Digest], looked: Looked) -> dict[Digest, tuple[Digest, ...]]:
    """Return the layers that deltas are worth being made of, and of which others there."""
    if job.differences is None:
        return {}
    there = alike(job.plan.image.names, job.plan.image.diff_ids, job.site)
    if job.engine.name in (PYTHON, "ferry", "ctr"):
        # What keeps layers as they came gives out as tars only those that it knows by diff IDs.
        plain = job.site.blobs
        there = [each for each in there if each in plain] + sorted(plain)
    # What has begun to arrive goes on.
    fresh = [digest for digest in wanted if not looked.begun.get(digest)]
    found = {digest: job.differences.bases(digest, there) for digest in fresh}
    return {digest: bases for digest, bases in found.items() if bases}


def _undo(agent: Agent, chosen: Sequence[Difference]) -> None:
    """Bring deltas, and have the layers made of them."""
    if not chosen:
        return
    kept = look(agent, [each.digest for each in chosen])
    for each in chosen:
        if each.digest not in kept.whole:
            at = min(kept.begun.get(each.digest, 0), each.size)
            put = {"digest": each.digest.encoded, "size": each.size, "at": at, "codec": "none"}
            agent.say({"ask": "put", **put})
            agent.send_file(each.fd, at, each.size)
            agent.answer()
        undo = {"delta": each.digest.encoded, "digest": each.result.encoded}
        agent.ask({"ask": "undo", **undo})


def _ask_for(agent: Agent, job: Job, wanted: set[Digest]) -> bool:
    """Have layers taken out of the image that has most of them; tell whether one has any."""
    if not wanted:
        return False
    command = each = None
    if job.engine.name == "ctr":
        each = [*job.engine.command.split(), *_GET_BLOB]
    elif job.engine.name != PYTHON:
        image = max(job.site.images, key=lambda i: len(wanted & set(i.diff_ids)), default=None)
        if image is None or not wanted & set(image.diff_ids):
            return False
        command = [*job.engine.command.split(), "save", str(image.id)]
    agent.say({"ask": "base", "command": command, "each": each, "layers": sorted(wanted)})
    return True


def _found(agent: Agent, job: Job, wanted: set[Digest]) -> set[Digest]:
    """Return the layers that were found there, in as many images as it takes."""
    found: set[Digest] = set()
    while True:
        said = agent.answer().get("found")
        new = {each for each in wanted - found if isinstance(said, list) and each in said}
        found |= new
        more = new and job.engine.name not in (PYTHON, "ctr") and wanted - found
        if not more or not _ask_for(agent, job, more):
            return found


def _load(
    channel: Channel,
    agent: Agent,
    job: Job,
    whole: set[Digest],
    looked: Looked,
) -> None:
    """Have the image loaded, whose parts are there or are sent."""
    there = set(whole)
    for stage in stages(job.plan, job.saved, job.form):
        parts: list[dict[str, Any]] = []
        coming: list[Pressed] = []
        for part in stage.parts:
            parts.append({"bytes": base64.b64encode(part.content).decode()})
            if part.blob is None:
                continue
            described: dict[str, Any] = {"digest": part.blob.encoded, "size": part.size}
            if part.blob not in there:
                pressed = _rest(job, looked, part.blob, part.size)
                coming.append(pressed)
                described |= {"at": pressed.start, "codec": pressed.codec}
                there.add(part.blob)
            padding = bytes(-part.size % tar.BLOCK)
            parts += [described, {"bytes": base64.b64encode(padding).decode()}]
        script = stage.script(job.engine, job.plan)
        agent.say({"ask": "load", "script": script, "last": stage.last, "parts": parts})
        for pressed in coming:
            agent.send(pressed)
        _check_ended(channel, f"{job.engine.name} load", agent.answer())
