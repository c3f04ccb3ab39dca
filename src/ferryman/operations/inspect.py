"""Inspect: what is known of an image, in the shape of ``docker image inspect``."""

from typing import Any

from ferryman.image import config as configs
from ferryman.image.platform import Platform
from ferryman.store import images
from ferryman.store.images import Image, find, read_document
from ferryman.store.layout import Store
from ferryman.store.lease import reading

# The keys of docker's container config in its order: those that are always there, with what stands
# for "not set", and (...) those that are there only when set.
_CONFIG: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": ...,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Healthcheck": ...,
    "ArgsEscaped": ...,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "NetworkDisabled": ...,
    "MacAddress": ...,
    "OnBuild": None,
    "Labels": None,
    "StopSignal": ...,
    "StopTimeout": ...,
    "Shell": ...,
}
_MAPS = ("ExposedPorts", "Labels", "Volumes")


def inspect(store: Store, text: str, platform: Platform | None = None) -> dict[str, Any]:
    """Return an image's description as JSON values; raises ImageNotFound, StoreError."""
    with reading(store):
        image = find(store, text, platform)
        image = image._replace(names=tuple(sorted(image.names, key=lambda name: name.canonical)))
        content = read_document(store, image.manifest.config)
        size = images.size(store, image)
    return _described(store, image, configs.as_mapping(content, f"config of {text}"), size)


def _described(store: Store, image: Image, config: dict[str, Any], size: int) -> dict[str, Any]:
    container = config.get("config")
    described: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Parent": "",
        "Comment": config.get("comment") or _last_comment(config),
        "Created": config.get("created") or "0001-01-01T00:00:00Z",
        "DockerVersion": config.get("docker_version") or "",
        "Author": config.get("author") or "",
        "Config": _settings(container if isinstance(container, dict) else {}),
        "Architecture": config.get("architecture") or "",
    }
    if config.get("variant"):
        described["Variant"] = config["variant"]
    return described | {
        "Os": config.get("os") or "",
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Data": {"Layout": store.layout}, "Name": "oci-layout"},
        "RootFS": {"Type": "layers", "Layers": [str(d) for d in image.config.diff_ids]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": {
            "mediaType": image.target.media_type,
            "digest": image.target.digest,
            "size": image.target.size,
        },
    }


def _settings(container: dict[str, Any]) -> dict[str, Any]:
    settings = {
        key: container.get(key, default)
        for key, default in _CONFIG.items()
        if default is not ... or container.get(key)
    }
    settings |= {key: value for key, value in container.items() if key not in _CONFIG}
    return settings | {
        key: dict(sorted(settings[key].items()))
        for key in _MAPS
        if isinstance(settings.get(key), dict)
    }


def _last_comment(config: dict[str, Any]) -> str:
    history = config.get("history")
    last = history[-1] if isinstance(history, list) and history else {}
    comment = last.get("comment") if isinstance(last, dict) else ""
    return comment if isinstance(comment, str) else ""
