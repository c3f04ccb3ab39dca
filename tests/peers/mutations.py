"""Dockerfiles nobody wrote: of a grammar of our own, and others' with small damage done to them."""

from collections.abc import Callable, Sequence
from random import Random

PIECES = [
    *(
        b"FROM a",
        b"FROM a AS b",
        b"FROM --platform=$P a",
        b"ARG a",
        b"ARG a=1 b='2 3' c",
        b"ARG =x",
    ),
    *(b"RUN a b", b'RUN ["a", "b"]', b'RUN ["a"] b', b"RUN ['a']", b'RUN ["a", 1]', b"RUN"),
    *(b"RUN <<EOF\na\nEOF", b"RUN <<-'EOF' cat\n\ta\n\tEOF", b'RUN 3<<A cat <<"B"\n1\nA\n2\nB'),
    *(b"RUN echo $((1<<2))", b"RUN << EOF\na\nEOF", b"RUN <<E\\OF\na\nEOF", b"RUN <<$E\na\n$E"),
    *(b"RUN --mount=type=cache,target=/a x", b"RUN --mount=from=$x y", b"RUN --network=none x"),
    *(b"RUN --security=insecure x", b"RUN --mount='\"a,b\",c' x", b"RUN --network=x y"),
    *(b"COPY a b", b"COPY --from=b --chown=1:1 a b c/", b'COPY ["a b", "c"]', b"COPY a", b"COPY"),
    *(b"COPY <<A <<'B' /x\n1\nA\n2\nB", b"COPY a <<A\nA", b"COPY --link=false --exclude=*.a a b"),
    *(b"ADD --checksum=sha256:1 http://a b", b"ADD --keep-git-dir=true a b", b"ADD a b", b"ADD a"),
    *(b"ENV a=1 b=\"2 $a\" c='3'", b"ENV a b c", b"ENV a", b"ENV a=1 b", b"ENV =1", b"ENV a=\\ b"),
    *(b"LABEL a=b 'c d'=e \"f\"", b"LABEL a b", b'LABEL a.b="c\\\nd"', b"LABEL"),
    *(b"EXPOSE 80 443/udp 1-2", b"EXPOSE", b"VOLUME /a /b", b'VOLUME ["/a b"]', b'VOLUME [""]'),
    *(b"CMD a", b'CMD ["a"]', b"CMD", b"CMD []", b'ENTRYPOINT ["a"', b"ENTRYPOINT [ ]"),
    *(
        b'SHELL ["a", "-c"]',
        b"SHELL a",
        b"SHELL []",
        b"USER a b",
        b"USER",
        b"WORKDIR a b",
        b"WORKDIR",
    ),
    *(b"STOPSIGNAL 9", b"STOPSIGNAL", b"MAINTAINER a <b@c>", b"MAINTAINER", b"MAINTAINER --x y"),
    *(b"ONBUILD RUN a", b"ONBUILD COPY <<A /x\n1\nA", b"ONBUILD ONBUILD RUN a", b"ONBUILD FROM a"),
    *(b"ONBUILD", b"ONBUILD ENV a", b"ONBUILD x y", b"ONBUILD --a RUN --b c"),
    *(b"HEALTHCHECK NONE", b"HEALTHCHECK --interval=1m --retries=3 CMD a", b"HEALTHCHECK"),
    *(
        b'HEALTHCHECK CMD ["a"]',
        b"HEALTHCHECK --timeout=1 CMD a",
        b"HEALTHCHECK x",
        b"HEALTHCHECK CMD",
    ),
    *(
        b"HEALTHCHECK --interval=1us CMD a",
        b"HEALTHCHECK --retries=-1 CMD a",
        b"HEALTHCHECK NONE a",
    ),
    *(
        b"# escape=`",
        b"# escape = \\",
        b"#syntax=a/b:1",
        b"# Escape=x",
        b"# c",
        b"",
        b"RUN a \\\n\n# c\n b",
    ),
    *(
        b"RUN a `\n b",
        b"RUN a \\\\",
        b"QUX a",
        b"FORM a",
        b"run a",
        b"RUN a\\ \t\nb",
        b"\\",
        b"RUN \\",
    ),
]

TOKENS = [
    *(
        b" ",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b"\\",
        b"\\\n",
        b"`",
        b"`\n",
        b"'",
        b'"',
        b"#",
        b"=",
        b"--",
    ),
    *(
        b"$",
        b"${",
        b"}",
        b"${a:-b}",
        b"${a:+b}",
        b"${a#b}",
        b"${a%%b}",
        b"${a/b/c}",
        b"${a?}",
        b"$1",
    ),
    *(b"<<", b"<<EOF", b"<<-EOF", b"<<'EOF'", b'<<"E"OF', b"EOF", b"\nEOF\n", b"<<<", b"<<A <<B"),
    *(b"[", b"]", b'["a"', b',"b"]', b"[]", b"{}", b",", b":", b"/", b"-", b"\\\\", b"\\$", b'\\"'),
    *(b"--from=a ", b"--chown=", b"--link ", b"--link=x ", b"--mount=type=cache ", b"-- ", b"--x "),
    *(
        b"\x00",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x1f",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
    ),
    *(
        b"\xc2\x85",
        b"\xc2\xa0",
        b"\xe2\x80\x83",
        b"\xe2\x80\xa8",
        b"\xe2\x80\x8b",
        b"\xf0\x9f\x90\xb3",
    ),
    *(b"\xed\xa0\x80", b"\xd9\xa3", b"\xc4\xb0", b"\xe2\x84\xaa", b"0", b"9", b"a", b"A"),
]

LARGEST = 4096  # bytes taken of a file: what is longer has nothing that is not in shorter ones


def made(random: Random) -> bytes:
    """Return a Dockerfile of the grammar, most of them with a stage to begin with."""
    pieces = [random.choice(PIECES) for _ in range(random.randint(0, 6))]
    if random.random() < 0.8:
        pieces.insert(random.randint(0, 1), b"FROM a")
    return random.choice([b"\n", b"\n", b"\n", b"\r\n", b"\n\n"]).join(pieces)


def damaged(random: Random, texts: Sequence[bytes]) -> bytes:
    """Return one of the texts, or one of the grammar, changed in a few places."""
    text = random.choice(texts) if texts and random.random() < 0.5 else made(random)
    if len(text) > LARGEST:
        lines = text.splitlines(keepends=True)
        start = random.randrange(len(lines))
        text = b"FROM a\n" + b"".join(lines[start : start + 40])[:LARGEST]
    for _ in range(random.choice([0, 1, 1, 2, 3, 5])):
        text = random.choice(CHANGES)(random, text)
    return text


def _place(random: Random, text: bytes) -> int:
    return random.randint(0, len(text))


def _insert(random: Random, text: bytes) -> bytes:
    at = _place(random, text)
    return text[:at] + random.choice(TOKENS) + text[at:]


def _insert_at_an_edge(random: Random, text: bytes) -> bytes:
    """Put a token where lines and words begin or end."""
    edges = [n for n, byte in enumerate(text) if byte in b" \n=,\"'"]
    at = random.choice(edges) + random.randint(0, 1) if edges else 0
    return text[:at] + random.choice(TOKENS) + text[at:]


def _drop(random: Random, text: bytes) -> bytes:
    at = _place(random, text)
    return text[:at] + text[at + random.choice([1, 1, 2, 8]) :]


def _replace(random: Random, text: bytes) -> bytes:
    at = _place(random, text)
    return text[:at] + random.choice(TOKENS) + text[at + 1 :]


def _random_byte(random: Random, text: bytes) -> bytes:
    at = _place(random, text)
    return text[:at] + random.randbytes(1) + text[at + 1 :]


def _case(random: Random, text: bytes) -> bytes:
    at = _place(random, text)
    return text[:at] + text[at : at + 8].swapcase() + text[at + 8 :]


def _lines(random: Random, text: bytes) -> bytes:
    """Drop, double or swap lines, or put one of the grammar among them."""
    lines = text.split(b"\n")
    here, there = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[here]
        case 1:
            lines.insert(there, lines[here])
        case 2:
            lines[here], lines[there] = lines[there], lines[here]
        case _:
            lines.insert(here, random.choice(PIECES))
    return b"\n".join(lines)


def _within_a_keyword(random: Random, text: bytes) -> bytes:
    """Turn a line into what is done later."""
    lines = text.split(b"\n")
    at = random.randrange(len(lines))
    lines[at] = b"ONBUILD " + lines[at]
    return b"\n".join(lines)


Change = Callable[[Random, bytes], bytes]
CHANGES: list[Change] = [
    *(_insert, _insert_at_an_edge, _insert_at_an_edge, _drop, _replace, _random_byte, _case),
    *(_lines, _lines, _within_a_keyword),
]
