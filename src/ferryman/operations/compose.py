"""The images of a compose project (compose-spec, "image", "name", "Interpolation")."""

import os
import re
from collections.abc import Mapping
from typing import Any

from ferryman.errors import FerryError
from ferryman.operations import yaml_file


class ComposeError(FerryError):
    """A compose file that cannot be read as one."""


def image_names(path: str) -> list[str]:
    """Return the images of all services of a compose file, each once, in the file's order.

    A service that is built and has no ``image`` is called by the project, as compose calls it.
    Variables come from the environment and from ``.env`` beside the file.  Raises ComposeError.
    """
    document = _document(path)
    folder = os.path.dirname(os.path.abspath(path))
    variables = _dotenv(os.path.join(folder, ".env")) | dict(os.environ)
    services = document.get("services")
    if not isinstance(services, dict) or not services:
        raise ComposeError(f"{path}: no services in it")
    project = _project(document, folder, variables, path)
    names: list[str] = []
    for service, definition in services.items():
        if not isinstance(definition, dict):
            raise ComposeError(f"{path}: services.{service} must be a mapping")
        image = definition.get("image")
        if isinstance(image, str):
            names.append(interpolate(image, variables, f"{path}: services.{service}.image"))
        elif "build" in definition:
            names.append(f"{project}-{service}")
        else:
            raise ComposeError(f"{path}: services.{service} has neither an image nor a build")
    return list(dict.fromkeys(names))


def _document(path: str) -> dict[str, Any]:
    document = yaml_file.read(path, "a compose file", ComposeError)
    if not isinstance(document, dict):
        raise ComposeError(f"{path} is not a compose file")
    return document


def _project(
    document: Mapping[str, Any], folder: str, variables: Mapping[str, str], path: str
) -> str:
    name = document.get("name")
    if isinstance(name, str):
        name = interpolate(name, variables, f"{path}: name")
    chosen = variables.get("COMPOSE_PROJECT_NAME") or name or os.path.basename(folder)
    return re.sub(r"[^a-z0-9_-]", "", str(chosen).lower()).lstrip("_-")


def _dotenv(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read(yaml_file.MAX_FILE).splitlines()
    except OSError:
        return {}
    variables: dict[str, str] = {}
    for line in lines:
        text = line.strip().removeprefix("export ")
        name, equals, value = text.partition("=")
        if not equals or text.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in "'\"" and value[-1:] == value[:1] and len(value) > 1:
            value = value[1:-1]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        variables[name.strip()] = value
    return variables


_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_]\w*)"
    r"|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<modifier>:?[-+?])(?P<word>[^{}]*))?\}|(?P<bad>))",
    re.ASCII,
)


def interpolate(text: str, variables: Mapping[str, str], what: str) -> str:
    """Return a text with ``$NAME`` and ``${NAME:-word}`` replaced; raises ComposeError."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["bad"] is not None:
            raise ComposeError(f"{what}: invalid interpolation in {text!r}")
        found = variables.get(match["name"] or match["braced"])
        modifier = match["modifier"] or ""
        given = bool(found) if modifier.startswith(":") else found is not None
        if modifier.endswith("-") and not given:
            return str(match["word"])
        if modifier.endswith("+"):
            return str(match["word"]) if given else ""
        if modifier.endswith("?") and not given:
            raise ComposeError(f"{what}: {match['braced']} is not set: {match['word']}")
        return found or ""

    return _VARIABLE.sub(value, text)
