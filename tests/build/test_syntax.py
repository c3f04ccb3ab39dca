"""The lines of Dockerfiles as instructions, with their here-documents and the lines they are on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.build.heredoc import Heredoc
from ferryman.build.instructions import stages, understood
from ferryman.build.lines import DockerfileError
from ferryman.build.syntax import Instruction, parse


def one(text: str) -> Instruction:
    (instruction,) = parse(text).instructions
    return instruction


def test_lines_are_counted() -> None:
    text = (
        "# comment\n\nFROM a\nRUN x \\\n  # in between\n\n  y\nCOPY <<A <<B /\n1\nA\n2\nB\nCMD z\n"
    )
    found = [(each.keyword, each.line) for each in parse(text).instructions]
    assert found == [("from", 3), ("run", 4), ("copy", 8), ("cmd", 13)]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("RUN a \\\n b", ("a  b",)),
        ("RUN a \\ \t\n b", ("a  b",)),
        ("RUN a \\\\\n", ("a \\\\",)),
        ("RUN a \\\n# c\n\n b", ("a  b",)),
        ("run a\r\n", ("a",)),
        ("# escape=`\nRUN a `\n b", ("a  b",)),
        ("# escape=`\nRUN a \\", ("a \\",)),
        ("\ufeffRUN a", ("a",)),
        ('CMD ["a", "b"]', ("a", "b")),
        ('CMD ["a", "b"', ('["a", "b"',)),
        ("CMD ['a']", ("['a']",)),
        (r'CMD ["\ud83d\udc33", "\udc33\ud83d"]', ("\U0001f433", "\ufffd\ufffd")),
        (r'CMD ["\\ud800\ud800a"]', ("\\ud800\ufffda",)),
        ("RUN a\udcff", ("a\ufffd",)),
        ("COPY a b  c", ("a", "b", "c")),
        ('COPY ["a b", "c"]', ("a b", "c")),
        ("ENV a b c", ("a", "b c")),
        ("ENV a=b c='d e'", ("a", "b", "c", "'d e'")),
        ("ONBUILD RUN a", ("run", "a")),
        ("ONBUILD nonsense a", ("nonsense",)),
        ("RUN --mount=a --network=none -- b", ("b",)),
    ],
)
def test_arguments(text: str, arguments: tuple[str, ...]) -> None:
    assert one(text).arguments == arguments


@pytest.mark.parametrize(
    ("text", "heredocs"),
    [
        ("RUN <<EOF\na\n b\nEOF\n", (Heredoc("EOF", True, False, "a\n b\n"),)),
        ("RUN <<-EOF\n\ta\n\tEOF\n", (Heredoc("EOF", True, True, "\ta\n"),)),
        ("RUN <<'EOF'\n$a\nEOF\n", (Heredoc("EOF", False, False, "$a\n"),)),
        ('RUN <<"E"OF\n$a\nEOF\n', (Heredoc("EOF", False, False, "$a\n"),)),
        (
            "RUN <<A cat <<B\n1\nA\n2\nB\n",
            (Heredoc("A", True, False, "1\n"), Heredoc("B", True, False, "2\n")),
        ),
        ("RUN cat << EOF\n1\nEOF\n", (Heredoc("EOF", True, False, "1\n"),)),
        ("RUN 3<<EOF\n1\nEOF\n", (Heredoc("EOF", True, False, "1\n"),)),
        ("RUN <<E${a:-'b'}\n1\nE${a:-b}\n", (Heredoc("E${a:-b}", False, False, "1\n"),)),
        ("RUN <<E${a:x}\n1\nE${a:x}\n", (Heredoc("E${a:x}", True, False, "1\n"),)),
        ('RUN <<E ${a/\\"/b} ${/a/b}\n1\nE\n', (Heredoc("E", True, False, "1\n"),)),
        ("RUN <<\ufeffEOF\n1\nEOF\n", (Heredoc("EOF", True, False, "1\n"),)),
        ("RUN echo '<<EOF'", ()),
        ('RUN echo "<<EOF"', ()),
        ("RUN echo $((1<<2))", ()),
        ("RUN echo it's <<EOF", ()),
        ("RUN cat <<<word", ()),
        ('RUN ["<<EOF"]', ()),
        ("CMD <<EOF", ()),
        ("ONBUILD COPY <<EOF /x\n1\nEOF\n", (Heredoc("EOF", True, False, "1\n"),)),
    ],
)
def test_heredocs(text: str, heredocs: tuple[Heredoc, ...]) -> None:
    assert one(text).heredocs == heredocs


def test_what_is_no_utf8_is_a_byte_each() -> None:
    (instruction,) = parse("FROM a\n#" + "\udcff" * 65533 + "\n").instructions
    assert instruction.keyword == "from"


def test_heredocs_leave_what_follows_alone() -> None:
    found = parse("RUN <<EOF\n# no comment\nFROM x\nEOF\nFROM y\n").instructions
    assert [each.keyword for each in found] == ["run", "from"]
    assert found[0].heredocs[0].content == "# no comment\nFROM x\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "file with no instructions"),
        ("# only\n\n", 2, "file with no instructions"),
        ("\ufeff", 1, "file with no instructions"),
        ("FROM a\nRUN <<EOF\n1\n", 2, "unterminated heredoc"),
        ("FROM a\nRUN <<E${a%b c}\n1\nE\n", 2, "syntax error: missing '}'"),
        ("FROM a\nENV b\n", 2, "ENV must have two arguments"),
        ("FROM a\n\nENV b=1 c\n", 3, 'Syntax error - can\'t find = in "c"'),
        ("# escape=x\n", 1, "invalid escape token 'x'"),
        ("# escape= \n", 1, "invalid escape token ' '"),
        ("# escape=`\n# escape=`\n", 2, "only one escape parser directive"),
        ("FROM a\nRUN " + "x" * 70000, 2, "dockerfile line greater than max allowed size of 65535"),
    ],
)
def test_refused(text: str, line: int, words: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        parse(text)
    assert words in str(raised.value)
    assert raised.value.line == line


_WORDS = "FROM RUN COPY ADD ENV ARG CMD ONBUILD LABEL SHELL HEALTHCHECK a b= $x ${x:-y} \\ ' \" [ ]"
_PIECES = st.sampled_from([*_WORDS.split(), " ", "\n", "\t", "<<EOF", "EOF", "#", "--from=x", "`"])


def outcome(text: str) -> DockerfileError | None:
    try:
        found = parse(text).instructions
        for each in found:
            understood(each)
        stages(found)
    except DockerfileError as e:
        return e
    return None


@given(st.lists(_PIECES | st.text(max_size=3), max_size=40))
def test_any_text_is_taken_or_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    error = outcome(text)
    assert error is None or (str(error) and 0 <= error.line <= text.count("\n") + 1)
