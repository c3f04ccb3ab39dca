"""Dockerfiles of others, and damaged ones, are read by ferry as by docker's own parser.

What both must agree on: whether a Dockerfile is taken, the words and the line if it is not, and
all that its instructions say if it is.  Where they may differ, `parsers.REASONS` says why.

``FERRY_DOCKERFILES=FOLDER`` compares every file of a folder too, ``FERRY_TEST_SEED=SEED`` damages
Dockerfiles in other ways than always.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.peers.conftest import need
from tests.peers.dockerfiles import Fact, digest, facts, fetched, known
from tests.peers.mutations import damaged
from tests.peers.parsers import DockerParser, difference, ferrys, make_parser

pytestmark = [pytest.mark.peer, pytest.mark.slow]

FOLDERS = [os.environ["FERRY_DOCKERFILES"]] if "FERRY_DOCKERFILES" in os.environ else []
SEEDS = [int(os.environ["FERRY_TEST_SEED"])] if "FERRY_TEST_SEED" in os.environ else range(6)
CASES = 10_000


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerParser]:
    need("dpkg")
    parser = DockerParser(make_parser())
    yield parser
    parser.close()


@pytest.fixture(scope="module")
def corpus() -> list[tuple[Fact, bytes]]:
    need("dpkg")
    return list(known(fetched()))


def test_of_others(docker: DockerParser, corpus: list[tuple[Fact, bytes]]) -> None:
    assert len(corpus) > len(facts()) / 2, "most packages cannot be had: see scripts/make-corpus"
    readings = docker.read_all([text for _, text in corpus])
    for (fact, text), theirs in zip(corpus, readings, strict=True):
        ours = ferrys(text)
        count = len(ours.facts[1]) if ours.facts else 0
        assert (fact.path, ours.line, count, digest(ours), difference(text, ours, theirs)) == (
            *(fact.path, fact.line, fact.instructions, fact.reading),
            fact.differs or None,
        ), (ours, theirs)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged(docker: DockerParser, corpus: list[tuple[Fact, bytes]], seed: int) -> None:
    random = Random(seed)
    originals = [text for _, text in corpus]
    cases = [damaged(random, originals) for _ in range(CASES)]
    excused: Counter[str] = Counter()
    taken = 0
    for text, theirs in zip(cases, docker.read_all(cases), strict=True):
        ours = ferrys(text)
        taken += not theirs.error
        reason = difference(text, ours, theirs)
        assert reason != "", f"FERRY_TEST_SEED={seed}: {text!r}\nferry:  {ours}\ndocker: {theirs}"
        if reason:
            excused[reason] += 1
    print(f"seed {seed}: {CASES} cases, {taken} taken; differ as known: {dict(excused)}")
    # Neither is all taken, nor all refused, nor much excused.
    assert CASES / 5 < taken < CASES * 4 / 5
    assert excused.total() < CASES / 20


def test_of_folders(docker: DockerParser) -> None:
    found = [path for folder in FOLDERS for path in Path(folder).rglob("*") if path.is_file()]
    differ: Counter[str] = Counter()
    for start in range(0, len(found), 1000):
        texts = [path.read_bytes() for path in found[start : start + 1000]]
        for path, text, theirs in zip(found[start:], texts, docker.read_all(texts), strict=False):
            ours = ferrys(text)
            reason = difference(text, ours, theirs)
            assert reason != "", (path, ours, theirs)
            if reason:
                differ[reason] += 1
    print(f"{len(found)} Dockerfiles; differ as known: {dict(differ)}")
