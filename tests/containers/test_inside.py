"""What a user does with a container that runs: exec, logs, attach."""

import time

from tests.containers.test_life import RUN, said, until
from tests.ferry import Ferry


def test_exec(box: Ferry) -> None:
    box(*RUN, "-d", "--name", "busy", "-e", "KEPT=1", "box:1", "sleep", "100")
    script = "echo $KEPT $NEW; id -u; pwd; exit 5"
    flags = ("-e", "NEW=2", "-u", "ann", "-w", "/tmp")
    done = box("exec", *flags, "busy", "sh", "-c", script, check=False)
    assert (done.stdout, done.returncode) == (b"1 2\n1000\n/tmp\n", 5)
    assert box("exec", "-i", "busy", "cat", input=b"in and out").stdout == b"in and out"
    assert "executable file not found in $PATH" in said(box, "exec", "busy", "nosuch", code=127)


def test_exec_where_nothing_runs(box: Ferry) -> None:
    container = box.text("create", "--name", "idle", "box:1")
    assert said(box, "exec", "idle", "true", code=1).endswith(
        f"container {container} is not running"
    )
    assert "No such container: nobody" in said(box, "exec", "nobody", "true", code=1)


def test_logs(box: Ferry) -> None:
    box(*RUN, "--name", "talks", "box:1", "sh", "-c", "echo out; echo err >&2; sleep 0.3; echo end")
    done = box("logs", "talks")
    assert (done.stdout, done.stderr) == (b"out\nend\n", b"err\n")
    assert box("logs", "--tail", "1", "talks").stdout == b"end\n"
    assert box("logs", "-t", "talks").stdout.split()[1::2] == [b"out", b"end"]


def test_logs_are_followed_to_the_end(box: Ferry) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.2; done"
    box(*RUN, "-d", "--name", "counts", "box:1", "sh", "-c", script)
    assert box("logs", "-f", "counts").stdout == b"1\n2\n3\n"


def test_attach(box: Ferry) -> None:
    script = "read line; echo got $line; exit 6"
    box(*RUN, "-d", "-i", "--name", "waits", "box:1", "sh", "-c", script)
    time.sleep(0.2)
    done = box("attach", "waits", input=b"this\n", check=False)
    assert (done.stdout, done.returncode) == (b"got this\n", 6)
    until(lambda: not box.text("ps", "-q"))
