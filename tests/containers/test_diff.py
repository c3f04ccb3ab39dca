"""Diff: what of a container's files is not as in its image.  See also tests/peers."""

from tests.containers.test_life import RUN
from tests.ferry import Ferry


def differs(box: Ferry, script: str) -> list[str]:
    box(*RUN, "--name", "differs", "box:1", "sh", "-c", script)
    return box.text("diff", "differs").splitlines()


def test_nothing(box: Ferry) -> None:
    script = "chmod 600 /etc/passwd; chmod 644 /etc/passwd; echo > /tmp/x; rm /tmp/x; touch /bin"
    assert not differs(box, script)


def test_each_kind(box: Ferry) -> None:
    script = """
        echo more >> /etc/notes; rm /etc/group; mkdir -p /new/deep; chmod 700 /root
        mv /bin/vi /bin/vo; rm /bin/ls && mkdir /bin/ls && echo > /bin/ls/in
    """
    assert differs(box, script) == [
        *("C /bin", "C /bin/ls", "A /bin/ls/in", "D /bin/vi", "A /bin/vo"),
        *("C /etc", "D /etc/group", "C /etc/notes", "A /new", "A /new/deep", "C /root"),
    ]


def test_what_a_new_folder_hides(box: Ferry) -> None:
    script = "rm -r /home && mkdir -p /home/bob && ln -s / /home/bob/link"
    assert differs(box, script) == ["C /home", "D /home/ann", "A /home/bob", "A /home/bob/link"]


def test_odd_names(box: Ferry) -> None:
    assert differs(box, r"echo > $(printf '/a\nb\033\377')") == [r"A /a\nb\x1b\xff"]
