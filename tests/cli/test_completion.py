import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ferry import Ferry

# The scripts run the program by its name.
ENV = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(*command: str) -> str:
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ferry ima", {"image", "images"}),
        ("ferry image pr", {"prune"}),
        ("ferry images --dig", {"--digests"}),
        ("ferry system ", {"check", "df", "prune"}),
        ("ferry network c", {"connect", "create"}),
        ("ferry volume create --l", {"--label"}),
        ("ferry nonsen", set()),
    ],
)
def test_bash(ferry: Ferry, tmp_path: Path, words: str, completed: set[str]) -> None:
    (tmp_path / "script").write_bytes(ferry("completion", "bash").stdout)
    typed = " ".join(f"'{word}'" for word in words.split(" "))
    code = f"""
        source {tmp_path}/script
        COMP_WORDS=({typed}) COMP_CWORD={len(words.split(" ")) - 1}
        _ferry_completion ferry
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert set(run("bash", "-c", code).split()) == completed


@pytest.mark.parametrize(
    ("shell", "head"), [("zsh", "#compdef ferry\n"), ("fish", "function _ferry_completion;\n")]
)
def test_other_shells(ferry: Ferry, tmp_path: Path, shell: str, head: str) -> None:
    script = ferry("completion", shell).stdout.decode()
    assert script.startswith(head)
    assert f"_FERRY_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        run(shell, "-n", str(tmp_path / "script"))


def test_a_shell_that_is_not_known(ferry: Ferry) -> None:
    done = ferry("completion", "tcsh", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr
