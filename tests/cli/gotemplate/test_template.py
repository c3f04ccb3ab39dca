from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ferryman.cli.gotemplate import Map, Struct, Template, TemplateError, TemplateSyntaxError
from ferryman.store.layout import open_store
from tests.cli.conftest import Answer, Ask
from tests.cli.gotemplate.cases import MALFORMED, PRINTED, REFUSED
from tests.cli.gotemplate.image import IMAGE, NAME
from tests.images import docker_archive, load_into


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the image that the cases are about."""
    root = tmp_path_factory.mktemp("store") / "root"
    load_into(open_store(str(root)), docker_archive(IMAGE))
    return str(root)


@pytest.fixture
def inspect(root: str, ask: Ask) -> Callable[..., Answer]:
    """``ferry inspect -f``."""

    def command(template: str, *names: str) -> Answer:
        return ask("inspect", "-f", template, *(names or (NAME,)), root=root)

    return command


@pytest.mark.parametrize(("template", "text"), PRINTED)
def test_printed(inspect: Callable[..., Answer], template: str, text: str) -> None:
    assert inspect(template) == Answer(0, f"{text}\n")


@pytest.mark.parametrize(("template", "line", "message"), MALFORMED)
def test_malformed(inspect: Callable[..., Answer], template: str, line: int, message: str) -> None:
    assert inspect(template) == Answer(
        64, "", f"Error: template parsing error: template: :{line}: {message}\n"
    )


@pytest.mark.parametrize(("template", "place", "node", "message"), REFUSED)
def test_refused(
    inspect: Callable[..., Answer], template: str, place: str, node: str, message: str
) -> None:
    said = f'template: :{place}: executing "" at <{node}>: {message}'
    # An empty line, as docker prints it where nothing could be told of any image.
    assert inspect(template) == Answer(1, "\n", f"Error: template parsing error: {said}\n")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('{{define "x"}}hi{{end}}', "{{define}} is not supported"),
        ('{{template "x"}}', "{{template}} is not supported"),
        ('{{block "x" .}}hi{{end}}', "{{block}} is not supported"),
        ('{{html "<a>"}}', 'function "html" not defined'),
        ("{{call .Os}}", 'function "call" not defined'),
        ("{{1i}}", 'bad number syntax: "1i"'),
    ],
)
def test_what_is_left_out_is_said(template: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as raised:
        Template(template)
    assert str(raised.value) == f"template parsing error: template: :1: {message}"


def test_several_images_one_after_the_other(inspect: Callable[..., Answer]) -> None:
    assert inspect("{{.Os}}", NAME, "nothing", IMAGE.id) == Answer(
        1, "linux\nlinux\n", "Error: No such object: nothing\n"
    )
    assert inspect("{{.Os}}", "nothing") == Answer(1, "\n", "Error: No such object: nothing\n")
    assert inspect("json", "nothing") == Answer(1, "[]\n", "Error: No such object: nothing\n")


ROW = Struct("*formatter.imageContext", {"ID": "1234", "Tag": "<none>"}, {}, escaped=True)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nope}}", "<.Nope>: can't evaluate field Nope in type *formatter.imageContext"),
        ("{{.ID.x}}", "<.ID.x>: can't evaluate field x in type string"),
        ("{{len .}}", "<len .>: error calling len: len of type *formatter.imageContext"),
        ("{{.ID 3}}", "<.ID>: ID is not a method but has arguments"),
    ],
)
def test_fields_that_rows_do_not_have(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as raised:
        Template(template).render(ROW)
    assert str(raised.value).endswith(message)
    assert raised.value.exit_code == 1


def test_rows_of_lists_escape_their_json() -> None:
    row = ROW._replace(raw={"Tag": "<a & b>"})
    assert Template("{{json .}}").render(row) == r'{"Tag":"\u003ca \u0026 b\u003e"}'
    assert Template("{{json .Tag}}").render(row) == '"<none>"'


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}}", "IMAGE ID"),
        ("{{.ID | lower | title}}", "IMAGE ID"),
        ("{{json .ID}}", "IMAGE ID"),
        ('{{index (split .ID " ") 0}}', "73"),
        ("{{truncate .ID 3}}", "IMAGE ID"),
        ("{{pad .ID 1 1}}", " IMAGE ID "),
        ("{{slice .ID 0 2}}", "IM"),
        ("{{len .ID}}", "8"),
        ("{{.Nope}}", "<no value>"),
    ],
)
def test_headers_stay_as_they_are(template: str, text: str) -> None:
    headers = Map({"ID": "IMAGE ID"}, "", None)
    assert Template(template).render(headers, header=True) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{" + "(" * 1000 + "1" + ")" * 1000 + "}}",
        "{{if 1}}" * 1000 + "{{end}}" * 1000,
        "{{if 1}}" + "{{else if 1}}" * 1000 + "{{end}}",
        "{{range 1}}" * 100_000,
    ],
)
def test_nesting_is_bounded(template: str) -> None:
    with pytest.raises(TemplateSyntaxError, match="template is nested too deeply"):
        Template(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{range 1000000000000}}{{end}}", "does too much"),
        ("{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}", "does too much"),
        ('{{$x := "a"}}{{range 100}}{{$x = print $x $x}}{{end}}', "does too much"),
        ('{{range 1000}}{{printf "%900000s" "a"}}{{end}}', "does too much"),
        ('{{range 1000}}{{json (split (printf "%900000s" "a") "")}}{{end}}', "does too much"),
        ('{{printf "%99999999999999s" "a"}}', "width of %s is too large"),
        ('{{printf "%.99999999999999f" 1.5}}', "width of %f is too large"),
        ('{{pad "a" 100000000000 0}}', "too much to pad"),
    ],
)
def test_what_a_template_does_is_bounded(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template(template).render(ROW)


@pytest.mark.parametrize("template", ["{{.}}", "{{json .}}", '{{printf "%s" .a}}', "{{len .a}}"])
def test_values_may_be_nested_deeply(template: str) -> None:
    """As deep as JSON may be when it is read; what is too much for the stack is an error."""
    value: object = []
    for _ in range(950):
        value = [value]
    with suppress(TemplateError):
        assert Template(template).render({"a": value}).strip()


PIECES = [
    *(
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "/*",
        "*/",
        " ",
        "\n",
        "text",
        ".",
        ".Os",
        ".x",
        "$",
        "$x",
        "(",
        ")",
    ),
    *("|", ",", ":=", "=", "if ", "else ", "end", "range ", "with ", "break", "continue", "nil"),
    *(
        "1",
        "-1",
        "1.5",
        "0x",
        "'a'",
        '"a"',
        '"',
        "`",
        "\\",
        "é",
        "true",
        "len ",
        "index ",
        "slice ",
    ),
    *(
        "printf ",
        "%s",
        "%-5.2f",
        "%",
        "json ",
        "join ",
        "split ",
        "eq ",
        "lt ",
        "truncate ",
        "and ",
    ),
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@example("{{.}}")
def test_whatever_is_wrong_is_a_template_error(template: str) -> None:
    document = {"Os": "linux", "x": [1, None, {"y": 2.5}], "a": True}
    for value in (ROW, document, Map({"Os": "OS"}, "", None), None, "text", 3):
        with suppress(TemplateError):
            assert isinstance(Template(template).render(value), str)


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_is_itself(text: str) -> None:
    assert Template(text).render(None) == text
