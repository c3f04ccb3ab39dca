"""Dockerfiles that others wrote: where to find them, and what is known of each.

Only facts are kept here.  ``parser/archives.tsv`` lists packages (kind, name, version, file, size,
sha256), which ``scripts/make-corpus`` fetches, and ``parser/dockerfiles.tsv`` what is in them;
``python -m tests.peers.dockerfiles`` writes that one anew.  ``parser/repositories.tsv`` lists
public repositories whose files were compared once: commit, files, how many are refused, how many
docker 26.1 reads otherwise for a known reason, and a digest of all that came of them.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.conftest import SCRIPTS
from tests.peers.parsers import DockerParser, Reading, difference, ferrys, make_parser

_LISTS = Path(__file__).parent / "parser"
_LARGEST = 1 << 20  # bytes of a Dockerfile
_NAME = re.compile(
    r"(.*[._-])?(docker|container)file([._-].*)?|Test(Labels|Comments)", re.IGNORECASE
)
_OTHER = (".go", ".md", ".py", ".js", ".json", ".yml", ".yaml", ".sh", ".dockerignore", ".txt")


class Fact(NamedTuple):
    """One Dockerfile, and what is to come of it."""

    archive: str
    path: str
    sha256: str
    line: int
    """The line that it is refused for; 0 when it is taken, or the error is of no line."""
    instructions: int
    """How many there are; 0 when it is refused."""
    reading: str
    """A digest of all that is read, or of the error."""
    differs: str = ""
    """Why docker 26.1 reads it otherwise, if it does."""


def facts() -> list[Fact]:
    """Return the list."""
    lines = (_LISTS / "dockerfiles.tsv").read_text().splitlines()
    return [_fact(*line.split("\t")) for line in lines]


def _fact(
    archive: str, path: str, sha256: str, line: str, count: str, reading: str, differs: str = ""
) -> Fact:
    return Fact(archive, path, sha256, int(line), int(count), reading, differs)


def fetched() -> Path:
    """Return the folder of the packages, fetched where they are not yet."""
    made = subprocess.run([SCRIPTS / "make-corpus"], stdout=subprocess.PIPE, check=True)
    return Path(made.stdout.decode().strip())


def of_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each Dockerfile of a package."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if _wanted(info.filename) and info.file_size <= _LARGEST:
                    yield info.filename, wheel.read(info)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isreg() and _wanted(member.name) and member.size <= _LARGEST:
                content = tar.extractfile(member)
                assert content
                yield member.name, content.read()


def _wanted(path: str) -> bool:
    name = path.rpartition("/")[2]
    return bool(_NAME.fullmatch(name)) and not name.endswith(_OTHER)


def known(folder: Path) -> Iterator[tuple[Fact, bytes]]:
    """Yield each Dockerfile of the list that can be had."""
    listed = {(fact.archive, fact.path): fact for fact in facts()}
    for archive in sorted({fact.archive for fact in listed.values()}):
        if (folder / archive).exists():
            for path, text in of_archive(folder / archive):
                fact = listed.get((archive, path))
                if fact and hashlib.sha256(text).hexdigest() == fact.sha256:
                    yield fact, text


def digest(reading: Reading) -> str:
    """Return what is written into the list for a reading."""
    whole = reading.facts or reading.error
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


def fact(archive: str, path: str, text: bytes, differs: str) -> Fact:
    """Return what is to be listed for a Dockerfile, which ferry reads as it should."""
    ours = ferrys(text)
    count = len(ours.facts[1]) if ours.facts else 0
    sha256 = hashlib.sha256(text).hexdigest()
    return Fact(archive, path, sha256, ours.line, count, digest(ours), differs)


def _renew() -> None:
    """Write the list anew; fails where ferry differs from docker and no reason is known."""
    docker = DockerParser(make_parser())
    found: dict[str, Fact] = {}
    folder = fetched()
    for line in sorted((_LISTS / "archives.tsv").read_text().splitlines()):
        archive = folder / line.split("\t")[3]
        for path, text in of_archive(archive):
            (theirs,) = docker.read_all([text])
            differs = difference(text, ferrys(text), theirs)
            if differs == "":
                sys.exit(f"{archive.name} {path}: read otherwise by docker")
            new = fact(archive.name, path, text, differs or "")
            found.setdefault(new.sha256, new)
    docker.close()
    rows = ["\t".join(map(str, row)).rstrip() for row in sorted(found.values())]
    (_LISTS / "dockerfiles.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    _renew()
