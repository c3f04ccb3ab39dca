"""Whatever is on the command line: it is read or refused in docker's words, and never crashes."""

import click
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.cli.run_flags import Requested
from tests.cli.test_run_flags import asked, create, refusal

FLAGS = [param for param in create.params if isinstance(param, click.Option)]
LONG = [max(flag.opts, key=len) for flag in FLAGS]
SHORT = [name for flag in FLAGS for name in flag.opts if len(name) == 2]

words = st.text(st.sampled_from("ab01259-.:,=/[]\"'kmgTroxwz %\\\n\udcffé")) | st.text()
flags = st.tuples(st.sampled_from(LONG), words).map("=".join) | st.tuples(
    st.sampled_from(SHORT), words
).map("".join)


@given(st.lists(flags, min_size=1, max_size=4))
@settings(max_examples=1000)
def test_anything(line: list[str]) -> None:
    try:
        found = asked(*line)
    except Exception:
        message, code = refusal(*line)
        assert message
        # A flag may have taken the image for its value.
        assert code == 125 or "requires at least 1 argument" in message
    else:
        assert isinstance(found, Requested | int)
