from typing import Any

import pytest

from ferryman.cli.gotemplate import Struct, Template
from ferryman.cli.gotemplate.schema import (
    Type,
    boolean,
    duration,
    integer,
    map_of,
    pointer,
    slice_of,
    string,
    struct,
    time,
)

PERSON = struct("main.Person", Name=string, Age=integer)


@pytest.mark.parametrize(
    ("of", "raw", "text", "json"),
    [
        (string, "a", "a", '"a"'),
        (string, None, "", '""'),
        (string, 3, "", '""'),
        (integer, 3, "3", "3"),
        (integer, True, "0", "0"),
        (boolean, True, "true", "true"),
        (boolean, 1, "false", "false"),
        (duration, 5_000_000_000, "5s", "5000000000"),
        (duration, None, "0s", "0"),
        (time, "2024-02-29T12:00:00Z", "2024-02-29 12:00:00 +0000 UTC", '"2024-02-29T12:00:00Z"'),
        (time, None, "0001-01-01 00:00:00 +0000 UTC", '"0001-01-01T00:00:00Z"'),
        (slice_of(string), ["b", "a"], "[b a]", '["b","a"]'),
        (slice_of(string), [], "[]", "[]"),
        (slice_of(string), None, "[]", "null"),
        (slice_of(PERSON), [{"Name": "A"}], "[{A 0}]", '[{"Name":"A"}]'),
        (map_of(integer), {"a": 1}, "map[a:1]", '{"a":1}'),
        (map_of(integer), None, "map[]", "null"),
        (map_of(struct("struct {}")), {"80/tcp": {}}, "map[80/tcp:{}]", '{"80/tcp":{}}'),
        (PERSON, {"name": "A", "AGE": 7}, "{A 7}", '{"name":"A","AGE":7}'),
        (PERSON, {"Name": None, "More": 1}, "{ 0}", '{"Name":null,"More":1}'),
        (PERSON, None, "{ 0}", "{}"),
        (pointer(PERSON), {"Age": 7}, "{ 7}", '{"Age":7}'),
        (pointer(PERSON), None, "<nil>", "null"),
    ],
)
def test_types(of: Type, raw: Any, text: str, json: str) -> None:
    holder = Struct("main.Holder", {"V": of(raw)}, {})
    assert Template("{{.V}} {{json .V}}").render(holder) == f"{text} {json}"
