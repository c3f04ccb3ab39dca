"""What instructions say, and how they are refused."""

import pytest

from ferryman.build import modes
from ferryman.build.instructions import (
    Arg,
    CommandLine,
    Copy,
    Expose,
    From,
    HealthCheck,
    OnBuild,
    Run,
    Shell,
    stages,
    understood,
)
from ferryman.build.lines import DockerfileError
from ferryman.build.mounts import Mount, read, stage_of
from ferryman.build.syntax import parse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM a", From("a")),
        ("FROM --platform=linux/arm64 a:1 AS B", From("a:1", "b", "linux/arm64")),
        ("FROM a a\u017f b", From("a", "b")),
        ("FROM a AS B\u0130", From("a", "bi")),
        ("ARG a b=1 c=", Arg((("a", None), ("b", "1"), ("c", "")))),
        ("RUN a b", Run(CommandLine(("a b",), True))),
        ('RUN ["a", "b"]', Run(CommandLine(("a", "b"), False))),
        (
            "RUN --network=none --mount=type=cache,target=/a --mount=type=tmpfs,target=/b x",
            Run(
                CommandLine(("x",), True),
                ("type=cache,target=/a", "type=tmpfs,target=/b"),
                "none",
            ),
        ),
        ("COPY a b", Copy(("a",), (), "b")),
        (
            "COPY --from=x --chown=1:2 --chmod=755 --link --parents --exclude=*.a --exclude=b c d/",
            Copy(("c",), (), "d/", "x", "1:2", "755", True, True, ("*.a", "b")),
        ),
        (
            "ADD --keep-git-dir --unpack=false a b",
            Copy(("a",), (), "b", add=True, keep_git_dir=True, unpack=False),
        ),
        ("EXPOSE 443 80", Expose(("443", "80"))),
        ('SHELL ["a", "-c"]', Shell(("a", "-c"))),
        ("ONBUILD  RUN  a", OnBuild("RUN  a")),
        ("ONBU\u0130LD RUN a", OnBuild("ONBU\u0130LD RUN a")),
        ("ONBUILD COPY <<E /\nx\nE\n", OnBuild("COPY <<E /\nx\nE")),
        (
            "HEALTHCHECK --interval=1m --retries=3 CMD a",
            HealthCheck(("CMD-SHELL", "a"), interval=60 * 10**9, retries=3),
        ),
    ],
)
def test_said(text: str, said: object) -> None:
    assert understood(parse(text).instructions[0]) == said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FORM a", "unknown instruction: FORM (did you mean FROM?)"),
        ("form a", "unknown instruction: form (did you mean from?)"),
        ("QUX a", "unknown instruction: QUX"),
        ("QUX\ta", "unknown instruction: QUX"),
        ("\x1fRUN a", "unknown instruction: \x1fRUN"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b c", "FROM requires either one or three arguments"),
        ("FROM a AS 1b", 'invalid name for build stage: "1b"'),
        ("MAINTAINER --x a", "Unknown flag: x"),
        ("ADD --x=1 a", "ADD requires at least two arguments, but only one was provided"),
        ("COPY --link=Maybe a b", "Expecting boolean value for flag link, not: Maybe"),
        ("ONBUILD FROM\u2028 x", "FROM isn't allowed as an ONBUILD trigger"),
        ("COPY a", "COPY requires at least two arguments, but only one was provided"),
        ("COPY a <<EOF\nEOF\n", "COPY cannot accept a heredoc as a destination"),
        ("COPY --form=a b c", "Unknown flag: form (did you mean from?)"),
        ("COPY --link=maybe a b", "Expecting boolean value for flag link, not: maybe"),
        ("COPY --from a b", "Missing a value on flag: from"),
        ("RUN --network=bridge x", 'invalid network mode "bridge"'),
        ("RUN --security=x y", 'security "x" is not valid'),
        ("RUN --mount=from=$x,target=/a y", "'from' doesn't support variable expansion"),
        ("RUN --mount='\"a' y", "failed to parse csv mounts"),
        ("RUN --mount= y", "failed to parse csv mounts: EOF"),
        ("HEALTHCHECK --timeout=1\u00a0 CMD a", r'time: unknown unit "\xc2\xa0" in duration'),
        ("HEALTHCHECK --timeout=\x7f CMD a", 'time: invalid duration "\x7f"'),
        ("SHELL a b", "SHELL requires the arguments to be in JSON form"),
        ("ARG =a", "ARG names can not be blank"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        understood(parse("\n" + text).instructions[0])
    assert str(raised.value).startswith(words)
    assert raised.value.line == 2


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("ARG a", "dockerfile contains no stages to build", 0),
        ("\nRUN a\nFROM b", "no build stage in current context", 2),
    ],
)
def test_stages_refused(text: str, words: str, line: int) -> None:
    with pytest.raises(DockerfileError, match=words) as raised:
        stages(parse(text).instructions)
    assert raised.value.line == line


def test_stages() -> None:
    found = stages(parse("ARG a\nFROM x AS one\nRUN 1\nFROM one\nRUN 2\nCMD 3").instructions)
    assert found.arguments == (Arg((("a", None),)),)
    assert [(each.base.base, len(each.steps)) for each in found.stages] == [("x", 1), ("one", 2)]


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/a", Mount("bind", target="/a")),
        ("type=bind,from=x,source=s,dst=/a,rw", Mount("bind", "x", "s", "/a", read_only=False)),
        ("type=cache,target=/a", Mount("cache", target="/a", read_only=False)),
        (
            "type=cache,target=/a,ro=true,sharing=locked,uid=1,mode=0700",
            Mount("cache", target="/a", sharing="locked", uid=1, mode=0o700),
        ),
        (
            "type=tmpfs,target=/a,size=1m",
            Mount("tmpfs", target="/a", read_only=False, size=1 << 20),
        ),
        ("type=secret,id=a,required", Mount("secret", id="a", required=True)),
        ("type=secret,id=a,env=TOKEN", Mount("secret", id="a", env="TOKEN")),
        ("TYPE=SSH", Mount("ssh")),
        ('"target=/a,b"', Mount("bind", target="/a,b")),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert read(text, lambda word: word) == mount


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=x", 'unsupported mount type "x"'),
        ("tagret=/a", "unexpected key 'tagret' in 'tagret=/a' (did you mean target?)"),
        ("target", "invalid field 'target' must be a key=value pair"),
        ("size=1,target=/a", "unexpected key 'size' for mount type 'bind'"),
        ("required,target=/a", "unexpected key 'required' for mount type 'bind'"),
        ("type=tmpfs,uid=1,target=/a", 'uid not allowed for "tmpfs" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=cache,sharing=x,target=/a", 'unsupported sharing value "x"'),
        ("sharing=shared,target=/a", "invalid cache sharing set for bind mount"),
        ("type=cache,mode=9,target=/a", "invalid value 9 for mode"),
        ("ro=maybe", "invalid value for readonly: maybe"),
        ('target="a', "failed to parse csv mounts"),
    ],
)
def test_mounts_refused(text: str, words: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        read(text, lambda word: word)
    assert str(raised.value).startswith(words)


def test_where_a_mount_comes_from() -> None:
    assert stage_of("type=bind,from=x,target=/a") == "x"
    assert stage_of("type=cache,target=/a") == ""
    with pytest.raises(DockerfileError, match="doesn't support variable expansion"):
        stage_of("from=$x")


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("755", 0o100644, 0o755),
        ("04711", 0o100644, 0o4711),
        ("u=rwX,go=rX", 0o040700, 0o755),
        ("u=rwX,go=rX", 0o100600, 0o644),
        ("u=rwX,go=rX", 0o100700, 0o755),
        ("a+x", 0o100644, 0o755),
        ("go-rw", 0o100666, 0o600),
        ("+x", 0o100644, 0o755),
        ("g=u", 0o100640, 0o660),
        ("u+s", 0o100755, 0o4755),
        ("+t", 0o040755, 0o1755),
        ("u=rw,u+x", 0o100000, 0o700),
    ],
)
def test_modes(text: str, before: int, after: int) -> None:
    modes.check(text)
    assert modes.changed(text, before) == after


@pytest.mark.parametrize("text", ["8", "77777", "x", "u=q", "rwx", "u=rw;", "0o7"])
def test_modes_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="invalid chmod parameter"):
        modes.check(text)
