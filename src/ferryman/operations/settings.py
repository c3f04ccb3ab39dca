"""The settings of a container, taken over from an image or from a file (moby#34187)."""

import os
from typing import Any

from ferryman.errors import ImageNotFound, InvalidImage
from ferryman.image import config as configs
from ferryman.image.decode import MAX_JSON, decode
from ferryman.store.images import find, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import reading

# By these keys a container's config is told from an image's, which has it under "config".
_KEYS = frozenset(
    (
        "Cmd Entrypoint Env ExposedPorts Healthcheck Labels OnBuild Shell StopSignal User "
        "Volumes WorkingDir"
    ).split()
)


def of(store: Store, text: str) -> dict[str, Any]:
    """Return the settings (Cmd, Env, …) of an image of the store, or of a JSON file.

    The file may be an image's config, what ``inspect`` prints, or the settings alone.  What looks
    like a path (it has a slash and exists, or ends in ``.json``) is a file.  Raises ImageNotFound,
    InvalidImage, StoreError.
    """
    if text.endswith(".json") or (text.startswith((".", "/")) and os.path.exists(text)):
        return _of_file(text)
    with reading(store):
        image = find(store, text)
        content = read_document(store, image.manifest.config)
    settings = configs.as_mapping(content, f"config of {text}").get("config")
    return dict(settings) if isinstance(settings, dict) else {}


def _of_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as f:
            content = f.read(MAX_JSON + 1)
    except OSError as e:
        raise ImageNotFound(f"cannot read {path}: {e.strerror}") from None
    value = decode(content, Any, path)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        for key in ("Config", "config"):
            if isinstance(value.get(key), dict):
                return dict(value[key])
        if _KEYS & value.keys():
            return dict(value)
    raise InvalidImage(f"{path} holds neither an image's config nor the output of inspect")
