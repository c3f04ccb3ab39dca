"""Templates give with ferry what they give with docker: text, words of errors, exit codes."""

import os
import re
from collections.abc import Iterator, Sequence

import pytest

from tests.cli.gotemplate.cases import MALFORMED, NEWER, PRINTED, REFUSED
from tests.cli.gotemplate.image import ARCHIVE, IMAGE, NAME
from tests.command import Command
from tests.ferry import Ferry

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def there(dockerd: Command) -> Iterator[Command]:
    """A docker with the image that the cases are about."""
    dockerd.run("load", input=ARCHIVE)
    yield dockerd
    dockerd.run("rmi", "--force", IMAGE.id)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A ferry with the image."""
    ferry = Ferry(tmp_path_factory.mktemp("store") / "root")
    ferry("load", input=ARCHIVE)
    return ferry.at(None)


def answer(engine: Command, *command: str) -> tuple[int, str, str]:
    """Return exit code, output and errors; that they are errors, docker leaves unsaid here."""
    done = engine.run(*command, check=False)
    errors = re.sub("^Error: ", "", os.fsdecode(done.stderr), flags=re.MULTILINE)
    return done.returncode, os.fsdecode(done.stdout), errors


@pytest.mark.parametrize(
    "cases", [PRINTED, MALFORMED, REFUSED], ids=["printed", "malformed", "refused"]
)
def test_inspect(
    there: Command, here: Command, new_client: bool, cases: Sequence[tuple[object, ...]]
) -> None:
    templates = [str(template) for template, *_ in cases]
    for template in templates if new_client else [t for t in templates if t not in NEWER]:
        command = ("inspect", "-f", template, NAME)
        assert (template, answer(here, *command)) == (template, answer(there, *command))


@pytest.mark.parametrize("template", ["{{.Os}}", "{{.Nope}}", "{{", "json", ""])
@pytest.mark.parametrize("names", [(NAME, IMAGE.id), ("nothing", NAME), ("nothing", "no")])
def test_several(
    there: Command, here: Command, new_client: bool, template: str, names: tuple[str, ...]
) -> None:
    """What is known of one is told, whatever there is to say of others."""
    command = ("inspect", "-f", template, *names)
    mine, theirs = answer(here, *command), answer(there, *command)
    if template in ("json", ""):
        # What docker says of an image is compared elsewhere.
        mine, theirs = ((code, out[:2], errors) for code, out, errors in (mine, theirs))
    if template != "json" or new_client:
        assert mine == theirs
    assert mine[0] == theirs[0]
