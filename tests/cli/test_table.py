import subprocess
import sys

import pytest

from ferryman.cli.gotemplate import TemplateError
from ferryman.cli.table import aligned, rendered, shortened, width

HEADERS = {"ID": "ROW ID", "Name": "NAME"}
ROWS = [{"ID": "1", "Name": "größe"}, {"ID": "0123456789ab", "Name": "<none>"}]


def lines(form: str) -> list[str]:
    return [line.decode(errors="surrogateescape") for line in rendered(form, ROWS, HEADERS, "*a.B")]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("{{.ID}}", ["1", "0123456789ab"]),
        ("{{.ID}}\t{{.Name}}", ["1\tgröße", "0123456789ab\t<none>"]),
        (r"{{.ID}}\t{{.Name}}\n", ["1\tgröße\n", "0123456789ab\t<none>\n"]),
        (" {{.ID}} ", ["1", "0123456789ab"]),
        ("{{.ID}} {{upper .Name}}", ["1 GRÖßE", "0123456789ab <NONE>"]),
        ("{{truncate .Name 3}}", ["gr\udcc3", "<no"]),
        (
            "json",
            [
                '{"ID":"1","Name":"größe"}',
                r'{"ID":"0123456789ab","Name":"\u003cnone\u003e"}',
            ],
        ),
        ("{{json .Name}}", ['"größe"', '"<none>"']),
        ("plain", ["plain", "plain"]),
        ("table {{.ID}}", ["ROW ID", "1", "0123456789ab"]),
        (
            "table {{.ID}}\t{{.Name}}",
            ["ROW ID         NAME", "1              größe", "0123456789ab   <none>"],
        ),
        (
            r"table{{.ID | len}}\t{{title .Name}}",
            ["6         NAME", "1         Größe", "12        <None>"],
        ),
        ("table {{.Name}}\n  {{.ID}}\tx", ["NAME", "  ROW ID   x", "größe"]),
        ("table", ["", "", ""]),
    ],
)
def test_rendered(form: str, shown: list[str]) -> None:
    assert lines(form)[: len(shown)] == shown


@pytest.mark.parametrize("form", ["{{.Nope}}", "table {{.Nope}}", "{{.ID}}\t{{.Nope}}"])
def test_a_field_that_there_is_not(form: str) -> None:
    with pytest.raises(TemplateError, match=r"can't evaluate field Nope in type \*a.B"):
        lines(form)


def test_headers_without_rows() -> None:
    assert list(rendered("table {{.ID}}\t{{.Name}}", [], HEADERS)) == [b"ROW ID    NAME"]
    assert list(rendered("table {{.Nope}}", [], HEADERS)) == [b"<no value>"]
    assert list(rendered("json", [], HEADERS)) == []


def test_a_plain_table_needs_no_templates() -> None:
    code = (
        "import sys; from ferryman.cli.table import rendered; "
        "print(list(rendered('table {{.A}}\\t{{.B}}', [{'A': 1, 'B': 2}], {'A': 'A', 'B': 'B'}))); "
        "sys.exit(any(name.startswith('ferryman.cli.gotemplate') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[b'A         B', b'1         2']\n"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["a", "b"], ["a", "b"]),
        (["a\tb"], ["a         b"]),
        (["a\tb", "0123456789\tc"], ["a            b", "0123456789   c"]),
        (["a\t"], ["a         "]),
        (["渡し船渡し船\tb", "a\tc"], ["渡し船渡し船   b", "a              c"]),
        # A column ends at a line without it.
        (["0123456789\tb", "-", "a\tc"], ["0123456789   b", "-", "a         c"]),
        (["a\t0123456789\tc", "a\tb"], ["a         0123456789   c", "a         b"]),
    ],
)
def test_aligned(given: list[str], shown: list[str]) -> None:
    assert aligned(given) == shown


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("äöüß", 3, "äö…"),
        ("渡し船", 6, "渡し船"),
        ("渡し船", 5, "渡し…"),
        ("渡し船", 4, "渡…"),
        ("e\u0301" * 5, 3, "e\u0301" * 2 + "…"),
    ],
)
def test_shortened(text: str, most: int, short: str) -> None:
    assert shortened(text, most) == short
    assert width(short) <= most
