"""Rows as docker prints them: a table, JSON, or a template of the user's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ferryman.cli.gotemplate import Fields, Template

_MINIMUM = 10
_PADDING = 3


def rendered(
    form: str, rows: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines for rows of fields.

    `form` is ``json``, ``table TEMPLATE`` (with a line of headers) or a template; `headers` are
    the words above each field.  Raises TemplateError.
    """
    # A user's shell keeps \t and \n as they were typed.
    form = form.replace("\\t", "\t").replace("\\n", "\n")
    if form == "json":
        json = Template("{{json .}}")
        yield from (json.render({key: row[key] for key in sorted(row)}) for row in rows)
        return
    table = form.startswith("table")
    template = Template(form.removeprefix("table").strip(" ") if table else form)
    lines = [template.render(Fields(row)) for row in rows]
    if not table:
        yield from lines
        return
    yield from aligned([template.render(Fields(headers)), *lines])


def aligned(lines: Sequence[str]) -> list[str]:
    """Return lines with tabs between columns as lines with columns."""
    cells = [line.split("\t") for line in lines]
    count = max((len(row) for row in cells), default=0)
    widths = [
        max([_MINIMUM, *(len(row[i]) + _PADDING for row in cells if i < len(row) - 1)])
        for i in range(count)
    ]
    return [
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1]
        for row in cells
    ]
