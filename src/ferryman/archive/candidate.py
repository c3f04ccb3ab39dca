"""What an archive offers: images, as far as its JSON tells, before any layer is read."""

from typing import NamedTuple

from ferryman.image import platform as platforms
from ferryman.image.config import Config
from ferryman.image.digest import Digest
from ferryman.image.manifest import Descriptor
from ferryman.image.reference import Reference


class Layer(NamedTuple):
    """A layer that an image needs.

    `descriptor` is None where only the diff ID is known (docker-archives); `part` is its name in
    the archive, None when it is not in there.
    """

    diff_id: Digest | None
    descriptor: Descriptor | None
    part: str | None


class Part(NamedTuple):
    """One image for one platform: the digest of its config, the config, and its layers.

    What an index holds beside its images, attestations and signatures, is carried along as parts
    that are no image.
    """

    config_digest: Digest
    config: Config
    layers: tuple[Layer, ...]
    manifest: Digest | None = None
    is_image: bool = True


class Candidate(NamedTuple):
    """One thing that a name can stand for.

    `target` is None where the manifest has yet to be made, once the layers are known.
    `documents` are the JSON blobs (indexes, manifests, configs) by their digests.
    """

    names: tuple[Reference, ...]
    target: Descriptor | None
    documents: dict[Digest, bytes]
    parts: tuple[Part, ...]
    label: str | None = None
    """What the archive calls an image that has no whole name: a tag without a repository."""
    companions: "tuple[Candidate, ...]" = ()
    """Signatures, SBOMs and whatever else belongs to it without being part of it."""

    @property
    def image_id(self) -> Digest:
        """The digest of the config for this machine's platform, else of the first one."""
        here = platforms.host()
        images = [part for part in self.parts if part.is_image]
        return next(
            (part.config_digest for part in images if here.runs(part.config.platform)),
            images[0].config_digest,
        )

    def named(self, names: tuple[Reference, ...]) -> "Candidate":
        """Return the same with other names."""
        return self._replace(names=names)
