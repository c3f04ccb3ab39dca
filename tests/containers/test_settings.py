"""Settings of containers that tests/peers cannot compare: with others, or where docker fails."""

import resource

import pytest

from ferryman.runtime import capabilities
from tests.ferry import Ferry

RUN = ("run", "--rm", "--network", "none")


def failed(box: Ferry, *args: str) -> str:
    """Run what must fail as docker's run does, and return the one line that it says."""
    done = box(*args, check=False)
    assert done.returncode == 125
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.fixture
def donor(box: Ferry) -> str:
    flags = ("-d", "--name", "donor", "--ipc", "shareable", "--network", "none")
    box("run", *flags, "box:1", "sh", "-c", "echo shared > /dev/shm/x; exec sleep 1000")
    return "donor"


def test_namespaces_of_another(box: Ferry, donor: str) -> None:
    joined = [f"--{kind}=container:{donor}" for kind in ("ipc", "pid", "network")]
    links = "for kind in ipc pid net; do readlink /proc/self/ns/$kind; done"
    script = f"{links}; cat /dev/shm/x; echo back > /dev/shm/y"
    inside = box.text("run", "--rm", *joined, "box:1", "sh", "-c", script).splitlines()
    theirs = box.text("run", "--rm", *joined, "box:1", "sh", "-c", links).splitlines()
    assert inside[:3] == theirs[:3]
    assert inside[-1] == "shared"
    # It is the same memory, not a copy.
    back = box.text("run", "--rm", *joined, "box:1", "cat", "/dev/shm/y")
    assert back == "back"


def test_what_is_not_to_be_shared(box: Ferry) -> None:
    box("run", "-d", "--name", "private", "--network", "none", "box:1", "sleep", "1000")
    assert "non-shareable IPC (hint: use IpcMode:shareable" in failed(
        box, *RUN, "--ipc", "container:private", "box:1", "true"
    )


def test_nobody_to_share_with(box: Ferry) -> None:
    box("create", "--name", "still", "box:1")
    for kind in ("ipc", "pid"):
        flag = f"--{kind}=container:still"
        assert f"cannot join {kind} of a non running container" in failed(
            box, *RUN, flag, "box:1", "true"
        )
        assert "No such container: nobody" in failed(
            box, *RUN, f"--{kind}=container:nobody", "box:1", "true"
        )


def test_ulimits_beyond_what_can_be_had(box: Ferry) -> None:
    """Without CAP_SYS_RESOURCE nobody can raise them; docker does not start then."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = "1000000" if "CAP_SYS_RESOURCE" in capabilities.held() else str(hard)
    asked = ("--ulimit", "nproc=1000000:1000000")
    limits = box.text(*RUN, *asked, "box:1", "grep", "processes", "/proc/self/limits")
    assert limits.split()[2:4] == [most, most]


def test_an_oom_score_below_ones_own(box: Ferry) -> None:
    script = "cat /proc/self/oom_score_adj"
    score = int(box.text(*RUN, "--oom-score-adj", "-900", "box:1", "sh", "-c", script))
    assert score == -900 or "CAP_SYS_RESOURCE" not in capabilities.held()


def test_what_a_machine_cannot_hold_is_said(box: Ferry) -> None:
    done = box(*RUN, "--oom-kill-disable", "--log-opt", "tag=x", "box:1", "true")
    said = done.stderr.decode().splitlines()
    assert said[1] == "WARNING: --log-opt tag has no effect in ferry"
    assert len(said) == 2
    assert said[0].startswith("WARNING: ")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("-u nobody-here", "unable to find user nobody-here: no matching entries in passwd file"),
        ("-u ann:crew", "unable to find group crew: no matching entries in group file"),
        ("--cap-add FOO", 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        # docker's client takes any file that is not there for the program, and exits with 127.
        ("--device /dev/nowhere", 'custom device "/dev/nowhere": no such file or directory'),
        ("-m 1m", "Minimum memory limit allowed is 6MB"),
        ("-w relative", "the working directory 'relative' is invalid, it needs to be an absolute"),
        ("--stop-signal FOO", "invalid signal: FOO"),
        ("--tmpfs /x:foo", 'invalid tmpfs option ["foo"]'),
        ("--tmpfs x", "invalid mount path: 'x' mount path must be absolute"),
        ("--security-opt foo=bar", 'invalid --security-opt 2: "foo=bar"'),
    ],
)
def test_what_cannot_be(box: Ferry, flags: str, words: str) -> None:
    assert words in failed(box, "run", "--rm", "--network", "none", *flags.split(), "box:1", "true")
    assert not box.text("ps", "--all", "--quiet")
