"""Rows as docker prints them: a table, JSON, or a template of the user's."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import click

_MINIMUM = 10
_PADDING = 3
_FIELD = re.compile(r"\{\{\.(\w+)\}\}")


def rendered(
    form: str,
    rows: Sequence[Mapping[str, Any]],
    headers: Mapping[str, str],
    type: str = "*formatter.SubContext",
) -> Iterator[bytes]:
    """Yield the lines for rows of fields.

    `form` is ``json``, ``table TEMPLATE`` (with a line of headers) or a template; `headers` are
    the words above each field, and `type` is what docker calls the type of the rows in its errors.
    Raises TemplateError.
    """
    table = form.startswith("table")
    # A user's shell keeps \t and \n as they were typed.
    source = form.removeprefix("table").strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    fields = _FIELD.findall(source)
    if "\t".join(f"{{{{.{field}}}}}" for field in fields) == source and headers.keys() >= {*fields}:
        # Most forms are fields and nothing else: for them, the language need not be loaded.
        all_rows = (headers, *rows) if table else rows
        texts = ["\t".join(str(row[field]) for field in fields) for row in all_rows]
    else:
        texts = _by_template(form, source, rows, headers, type)
    if table:
        texts = aligned("\n".join(texts).split("\n"))
    for text in texts:
        # What cuts a character in two (as docker's truncate does) leaves bytes that are no text.
        yield text.encode(errors="surrogateescape")


def _by_template(
    form: str,
    source: str,
    rows: Sequence[Mapping[str, Any]],
    headers: Mapping[str, str],
    type: str,
) -> list[str]:
    from ferryman.cli.gotemplate import Map, Struct, Template

    template = Template("{{json .}}" if form == "json" else source)
    structs = [Struct(type, row, {k: row[k] for k in sorted(row)}, escaped=True) for row in rows]
    texts = [template.render(struct) for struct in structs]
    if form.startswith("table"):
        texts.insert(0, template.render(Map(headers, "", headers), header=True))
    return texts


def print_list(title: str, rows: Sequence[str]) -> None:
    """Print rows below a title, and nothing when there are none."""
    if rows:
        click.echo("\n".join([title, *rows, ""]))


def aligned(lines: Sequence[str], minimum: int = _MINIMUM) -> list[str]:
    """Return lines with tabs between cells as lines with columns of `minimum` places or more.

    A column ends at a line that does not have it; the last cell of a line is in no column.
    """
    cells = [line.split("\t") for line in lines]
    padded = [""] * len(lines)
    for column in range(max(map(len, cells), default=0)):
        for block in _blocks([len(row) > column + 1 for row in cells]):
            room = max(minimum, *(width(cells[at][column]) + _PADDING for at in block))
            for at in block:
                padded[at] += cells[at][column] + " " * (room - width(cells[at][column]))
    return [start + row[-1] for start, row in zip(padded, cells, strict=True)]


def _blocks(has: Sequence[bool]) -> list[list[int]]:
    """Return the lines that have a column, those that follow each other together."""
    return [list(lines) for had, lines in groupby(range(len(has)), has.__getitem__) if had]


def width(text: str) -> int:
    """Return the places that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(c) in ("Mn", "Me", "Cf") else 2 if east_asian_width(c) in "WF" else 1
        for c in text
    )


def shortened(text: str, most: int) -> str:
    """Return the text with its end replaced by … where it takes more places than `most`."""
    if width(text) <= most:
        return text
    kept = 0
    for at, character in enumerate(text):
        kept += width(character)
        if kept >= most:
            return f"{text[:at]}…"
    return text
