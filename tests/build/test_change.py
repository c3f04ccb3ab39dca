"""Changes to a config, each beside what docker answers.

`want` was answered by ``docker import --change`` of docker 20.10 (tests/peers/test_change_docker.py
asks again).  Where a newer docker answers otherwise, `want` is what its sources (moby 29) say, and
`was` what docker 20.10 answered.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.build.change import ChangeError, apply_changes

Answer = dict[str, Any] | str  # the fields that are set, or the words of a refusal


class Case(NamedTuple):
    changes: Sequence[str]
    want: Answer
    was: Answer | None = None


def name(case: Case) -> str:
    return " | ".join(case.changes)


def answer(changes: Sequence[str], before: Sequence[str] = ()) -> Answer:
    """Return what ferryman makes of changes, to what changes made before have left."""
    try:
        return filled(apply_changes(apply_changes({}, before), changes))
    except ChangeError as e:
        return str(e)


def filled(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are set; an empty list is one thing for docker, null another."""
    return {key: value for key, value in config.items() if value not in (None, "", False, {})}


NO_SINGLE_QUOTE = "unexpected end of statement while looking for matching single-quote"
NO_DOUBLE_QUOTE = "unexpected end of statement while looking for matching double-quote"

CASES = [
    # CMD
    Case(["CMD foo"], {"Cmd": ["/bin/sh", "-c", "foo"]}),
    Case(["CMD foo  'bar'   baz"], {"Cmd": ["/bin/sh", "-c", "foo  'bar'   baz"]}),
    Case(['CMD ["foo", "bar baz"]'], {"Cmd": ["foo", "bar baz"]}),
    Case(['cmd ["foo"]'], {"Cmd": ["foo"]}),
    Case(["Cmd   foo"], {"Cmd": ["/bin/sh", "-c", "foo"]}),
    Case(["CMD []"], {"Cmd": []}),
    Case(["CMD"], {"Cmd": ["/bin/sh", "-c"]}),
    Case(
        ['CMD ["a", 1]'], "when using JSON array syntax, arrays must be comprised of strings only"
    ),
    Case(['CMD ["a" "b"]'], {"Cmd": ["/bin/sh", "-c", '["a" "b"]']}),
    Case(["CMD ['a']"], {"Cmd": ["/bin/sh", "-c", "['a']"]}),
    Case(['CMD ["a"] b'], {"Cmd": ["/bin/sh", "-c", '["a"] b']}, was={"Cmd": ["a"]}),
    Case(['CMD ["a",]'], {"Cmd": ["/bin/sh", "-c", '["a",]']}),
    Case(["CMD [null]"], "when using JSON array syntax, arrays must be comprised of strings only"),
    Case(['CMD ["\\u00e9\\n"]'], {"Cmd": ["é\n"]}),
    Case(['CMD [["a"]]'], "when using JSON array syntax, arrays must be comprised of strings only"),
    Case(["CMD --foo bar"], "Unknown flag: foo"),
    Case(["CMD -- bar"], {"Cmd": ["/bin/sh", "-c", "bar"]}),
    Case(["CMD\tfoo"], {"Cmd": ["/bin/sh", "-c", "foo"]}),
    Case(["CMD échо ☃"], {"Cmd": ["/bin/sh", "-c", "échо ☃"]}),
    Case(['CMD echo $HOME "a b" \\$x'], {"Cmd": ["/bin/sh", "-c", 'echo $HOME "a b" \\$x']}),
    Case(
        ["ENTRYPOINT b", "CMD a"],
        {"Entrypoint": ["/bin/sh", "-c", "b"], "Cmd": ["/bin/sh", "-c", "a"]},
    ),
    Case(["CMD a", "CMD"], {"Cmd": ["/bin/sh", "-c"]}),
    Case(["  CMD   a   "], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(["EXPOSE abc", "CMD --x"], "Unknown flag: x"),
    Case(["CMD a # not a comment"], {"Cmd": ["/bin/sh", "-c", "a # not a comment"]}),
    Case(["CMD\xa0a"], "cmd\xa0a is not a valid change command"),
    # ENTRYPOINT
    Case(['ENTRYPOINT ["/bin/x"]'], {"Entrypoint": ["/bin/x"]}),
    Case(["ENTRYPOINT /bin/x -y"], {"Entrypoint": ["/bin/sh", "-c", "/bin/x -y"]}),
    Case(["ENTRYPOINT"], {}),
    Case(["ENTRYPOINT []"], {}),
    Case(["ENTRYPOINT --x=1 y"], "Unknown flag: x"),
    Case(
        ["CMD a", "ENTRYPOINT b"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Entrypoint": ["/bin/sh", "-c", "b"]},
    ),
    Case(["CMD []", "ENTRYPOINT b"], {"Entrypoint": ["/bin/sh", "-c", "b"]}),
    Case(["CMD", "ENTRYPOINT b"], {"Entrypoint": ["/bin/sh", "-c", "b"]}),
    Case(["CMD a", "ENTRYPOINT"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(["CMD a", "ENTRYPOINT []"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    # ENV
    Case(["ENV a=b"], {"Env": ["a=b"]}),
    Case(['ENV a=b c="d e" f=$a'], {"Env": ["a=b", "c=d e", "f="]}),
    Case(["ENV a=b", "ENV c=$a d=${a}x e=$az"], {"Env": ["a=b", "c=b", "d=bx", "e="]}),
    Case(["ENV key value of many   words"], {"Env": ["key=value of many   words"]}),
    Case(['ENV key "quoted value"'], {"Env": ["key=quoted value"]}),
    Case(["ENV key 'single $x' and \"double\""], {"Env": ["key=single $x and double"]}),
    Case(["ENV key\tvalue"], {"Env": ["key=value"]}),
    Case(["ENV key"], "ENV must have two arguments"),
    Case(["ENV"], "ENV requires at least one argument"),
    Case(["ENV a"], "ENV must have two arguments"),
    Case(["ENV =b"], "ENV names can not be blank"),
    Case(["ENV $x=1"], {"Env": ["=1"]}),
    Case(["ENV a=1 b c=2"], 'Syntax error - can\'t find = in "b". Must be of the form: name=value'),
    Case(["ENV a=1", "ENV a=2 b=$a"], {"Env": ["a=2", "b=1"]}),
    Case(["ENV a='it''s'"], {"Env": ["a=its"]}),
    Case(
        ['ENV a="x\\"y" b=\'x\\y\' c=x\\ y d="x\\ny"'],
        {"Env": ['a=x"y', "b=x\\y", "c=x y", "d=x\\ny"]},
    ),
    Case(
        ['ENV a="unfinished'],
        'failed to process "\\"unfinished": ' + NO_DOUBLE_QUOTE,
    ),
    Case(
        ["ENV a='unfinished"],
        'failed to process "\'unfinished": ' + NO_SINGLE_QUOTE,
    ),
    Case(["ENV a=${b:-default} c=${b:+set}"], {"Env": ["a=default", "c="]}),
    Case(["ENV b=1", "ENV a=${b:-default} c=${b:+set}"], {"Env": ["b=1", "a=1", "c=set"]}),
    Case(["ENV b=", "ENV a=${b:-default}. c=${b:+set}."], {"Env": ["b=", "a=default.", "c=."]}),
    Case(
        ["ENV b=", "ENV a=${b-default}."],
        {"Env": ["b=", "a=."]},
        was="failed to process \"${b-default}.\": missing ':' in substitution",
    ),
    Case(
        ["ENV b=", "ENV a=${b+set}."],
        {"Env": ["b=", "a=set."]},
        was="failed to process \"${b+set}.\": missing ':' in substitution",
    ),
    Case(
        ["ENV a=${b+set}."],
        {"Env": ["a=."]},
        was="failed to process \"${b+set}.\": missing ':' in substitution",
    ),
    Case(["ENV a=${b:?}"], 'failed to process "${b:?}": b: is not allowed to be unset'),
    Case(["ENV a=${b?}"], 'failed to process "${b?}": b: is not allowed to be unset'),
    Case(
        ["ENV a=${b?not here}"],
        'Syntax error - can\'t find = in "here}". Must be of the form: name=value',
    ),
    Case(["ENV b=", "ENV a=${b:?}"], 'failed to process "${b:?}": b: is not allowed to be empty'),
    Case(["ENV b=", "ENV a=${b?}"], {"Env": ["b=", "a="]}),
    Case(
        ["ENV a=${b:?no $c}"],
        'Syntax error - can\'t find = in "$c}". Must be of the form: name=value',
    ),
    Case(
        ["ENV a=${b:=x}"], 'failed to process "${b:=x}": unsupported modifier (=) in substitution'
    ),
    Case(["ENV a=${b=x}"], "failed to process \"${b=x}\": missing ':' in substitution"),
    Case(["ENV a=${b"], "failed to process \"${b\": missing ':' in substitution"),
    Case(["ENV a=${"], "failed to process \"${\": syntax error: missing '}'"),
    Case(["ENV a=${}"], 'failed to process "${}": syntax error: bad substitution'),
    Case(["ENV a=${:x}"], 'failed to process "${:x}": syntax error: bad substitution'),
    Case(["ENV a=${b:"], "failed to process \"${b:\": syntax error: missing '}'"),
    Case(["ENV a=${b:-${c:-deep}}"], {"Env": ["a=deep"]}),
    Case(['ENV a=${b:-"q r"}'], {"Env": ["a=q r"]}),
    Case(
        ["ENV a=$$x b=$1 c=$12z d=$@ e=$- f=$. g=$ h=$é"],
        {"Env": ["a=x", "b=", "c=z", "d=", "e=", "f=$.", "g=$", "h="]},
    ),
    Case(["ENV a=100%"], {"Env": ["a=100%"]}),
    Case(["ENV a=\"$b\" c='$b'"], {"Env": ["a=", "c=$b"]}),
    Case(["ENV é=ü b=$é"], {"Env": ["é=ü", "b="]}),
    Case(["ENV --foo a=b"], "Unknown flag: foo"),
    Case(["ENV a=b=c"], {"Env": ["a=b=c"]}),
    Case(["ENV a=="], {"Env": ["a=="]}),
    Case(["ENV 'a b'=c"], {"Env": ["a b=c"]}),
    Case(['ENV "a"="b"'], {"Env": ["a=b"]}),
    Case(["ENV a= b="], {"Env": ["a=", "b="]}),
    Case(["ENV a=\\$x"], {"Env": ["a=$x"]}),
    Case(["ENV a=b # c"], 'Syntax error - can\'t find = in "#". Must be of the form: name=value'),
    Case(
        ["ENV a=x\xa0y b=z"], 'Syntax error - can\'t find = in "y". Must be of the form: name=value'
    ),
    Case(["ENV a=x\x1cy"], {"Env": ["a=x\x1cy"]}),
    Case(["ENV PATH=/a:$PATH"], {"Env": ["PATH=/a:"]}),
    Case(["ENV a=${b:-x}y}z"], {"Env": ["a=xy}z"]}),
    Case(["ENV a='$b'\\''c'"], {"Env": ["a=$b'c"]}),
    Case(["ENV a=${b:-\\}}"], {"Env": ["a=}"]}),
    Case(["ENV a={b}"], {"Env": ["a={b}"]}),
    Case(
        ['ENV a="${b:-x y}" c=${b:-x y}'],
        'Syntax error - can\'t find = in "y}". Must be of the form: name=value',
    ),
    Case(
        ['ENV a="x\ty\\\\"bad\'"'],
        'failed to process "\\"x\\ty\\\\\\\\\\"bad\'\\"": ' + NO_SINGLE_QUOTE,
    ),
    # EXPOSE
    Case(["EXPOSE 80"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE 80/udp"], {"ExposedPorts": {"80/udp": {}}}),
    Case(["EXPOSE 80/UDP 443"], {"ExposedPorts": {"443/tcp": {}, "80/udp": {}}}),
    Case(
        ["EXPOSE 8000-8003/tcp"],
        {"ExposedPorts": {"8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}, "8003/tcp": {}}},
    ),
    Case(
        ["EXPOSE 80 443 53/udp 53/tcp"],
        {"ExposedPorts": {"443/tcp": {}, "53/tcp": {}, "53/udp": {}, "80/tcp": {}}},
    ),
    Case(
        ["ENV PORT=8080", "EXPOSE $PORT"], {"Env": ["PORT=8080"], "ExposedPorts": {"8080/tcp": {}}}
    ),
    Case(
        ['ENV PORTS="80 443/udp"', "EXPOSE $PORTS"],
        {"Env": ["PORTS=80 443/udp"], "ExposedPorts": {"80/tcp": {}, "443/udp": {}}},
    ),
    Case(["EXPOSE $UNSET"], {}),
    Case(["EXPOSE"], "EXPOSE requires at least one argument"),
    Case(["EXPOSE abc"], "Invalid containerPort: abc"),
    Case(["EXPOSE 80/foo"], "Invalid proto: foo"),
    Case(["EXPOSE 80/FOO"], "Invalid proto: FOO"),
    Case(["EXPOSE 65536"], "Invalid containerPort: 65536"),
    Case(["EXPOSE 65535"], {"ExposedPorts": {"65535/tcp": {}}}),
    Case(["EXPOSE 0"], {"ExposedPorts": {"0/tcp": {}}}),
    Case(["EXPOSE 080"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE -1"], "Invalid containerPort: -1"),
    Case(["EXPOSE 90-80"], "Invalid containerPort: 90-80"),
    Case(["EXPOSE 8080:80"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE 127.0.0.1:8080:80"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE [::1]:8080:80"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE x:8080:80"], "Invalid ip address: x"),
    Case(["EXPOSE a:80"], "Invalid hostPort: a"),
    Case(["EXPOSE 1-3:80"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(
        ["EXPOSE 1-3:80-81"], "Invalid ranges specified for container and host Ports: 80-81 and 1-3"
    ),
    Case(["EXPOSE /tcp"], "No port specified: /tcp<empty>"),
    Case(["EXPOSE 80/"], {"ExposedPorts": {"80/tcp": {}}}),
    Case(["EXPOSE 80/tcp/x"], "Invalid proto: tcp/x", was={"ExposedPorts": {"80/tcp": {}}}),
    Case(
        ["EXPOSE 1-2-3"],
        "Invalid containerPort: 1-2-3",
        was={"ExposedPorts": {"1/tcp": {}, "2/tcp": {}}},
    ),
    Case(['EXPOSE "80"'], {"ExposedPorts": {"80/tcp": {}}}),
    Case(
        ['EXPOSE "80'],
        'failed to process "\\"80": ' + NO_DOUBLE_QUOTE,
    ),
    Case(["EXPOSE --x 80"], "Unknown flag: x"),
    Case(["EXPOSE 80 80"], {"ExposedPorts": {"80/tcp": {}}}),
    # HEALTHCHECK
    Case(["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    Case(["HEALTHCHECK none"], {"Healthcheck": {"Test": ["NONE"]}}),
    Case(["HEALTHCHECK NONE x"], "HEALTHCHECK NONE takes no arguments"),
    Case(["HEALTHCHECK NONE []"], {"Healthcheck": {"Test": ["NONE"]}}),
    Case(["HEALTHCHECK --interval=x NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    Case(
        ["HEALTHCHECK CMD curl -f localhost"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"]}},
    ),
    Case(
        ['HEALTHCHECK CMD ["curl", "localhost"]'],
        {"Healthcheck": {"Test": ["CMD", "curl", "localhost"]}},
    ),
    Case(
        ["HEALTHCHECK --interval=5s --timeout=1m30s --start-period=500ms --retries=3 CMD true"],
        {
            "Healthcheck": {
                "Test": ["CMD-SHELL", "true"],
                "Interval": 5000000000,
                "Timeout": 90000000000,
                "StartPeriod": 500000000,
                "Retries": 3,
            }
        },
    ),
    Case(
        ["HEALTHCHECK --interval=1.5h CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5400000000000}},
    ),
    Case(
        ['HEALTHCHECK --interval="5s" CMD true'],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000}},
    ),
    Case(["HEALTHCHECK --interval= CMD true"], {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}}),
    Case(["HEALTHCHECK --interval CMD true"], "Missing a value on flag: interval"),
    Case(["HEALTHCHECK --interval 5s CMD true"], "Missing a value on flag: interval"),
    Case(
        ["HEALTHCHECK --interval=5s --interval=6s CMD true"], "Duplicate flag specified: interval"
    ),
    Case(["HEALTHCHECK --interval=5 CMD true"], 'time: missing unit in duration "5"'),
    Case(["HEALTHCHECK --interval=x CMD true"], 'time: invalid duration "x"'),
    Case(["HEALTHCHECK --interval=5x CMD true"], 'time: unknown unit "x" in duration "5x"'),
    Case(["HEALTHCHECK --interval=-5s CMD true"], 'Interval "interval" cannot be less than 1ms'),
    Case(
        ["HEALTHCHECK --interval=0s CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}},
        was='Interval "interval" cannot be less than 1ms',
    ),
    Case(["HEALTHCHECK --interval=10us CMD true"], 'Interval "interval" cannot be less than 1ms'),
    Case(["HEALTHCHECK --interval=9999999999h CMD true"], 'time: invalid duration "9999999999h"'),
    Case(
        ["HEALTHCHECK --interval=.5s CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 500000000}},
    ),
    Case(
        ["HEALTHCHECK --interval=1.s CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000}},
    ),
    Case(["HEALTHCHECK --interval=. CMD true"], 'time: invalid duration "."'),
    Case(
        ["HEALTHCHECK --interval=+2s CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2000000000}},
    ),
    Case(
        ["HEALTHCHECK --retries=0 CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}},
        was="--retries must be at least 1 (not 0)",
    ),
    Case(
        ["HEALTHCHECK --retries=-1 CMD true"],
        "--retries cannot be negative (-1)",
        was="--retries must be at least 1 (not -1)",
    ),
    Case(["HEALTHCHECK --retries=x CMD true"], 'strconv.ParseInt: parsing "x": invalid syntax'),
    Case(
        ["HEALTHCHECK --retries=99999999999 CMD true"],
        'strconv.ParseInt: parsing "99999999999": value out of range',
    ),
    Case(["HEALTHCHECK --retries=1.5 CMD true"], 'strconv.ParseInt: parsing "1.5": invalid syntax'),
    Case(["HEALTHCHECK --foo=1 CMD true"], "Unknown flag: foo"),
    Case(
        ["HEALTHCHECK --start-interval=1s CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "StartInterval": 1000000000}},
        was="Unknown flag: start-interval",
    ),
    Case(["HEALTHCHECK"], "HEALTHCHECK requires at least one argument"),
    Case(["HEALTHCHECK CMD"], "Missing command after HEALTHCHECK CMD"),
    Case(["HEALTHCHECK CMD []"], "Missing command after HEALTHCHECK CMD"),
    Case(["HEALTHCHECK --interval=5s"], "HEALTHCHECK requires at least one argument"),
    Case(["HEALTHCHECK foo bar"], 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
    Case(
        ["HEALTHCHECK CMD [1]"],
        "when using JSON array syntax, arrays must be comprised of strings only",
    ),
    Case(["HEALTHCHECK --timeout=1ns CMD true"], 'Interval "timeout" cannot be less than 1ms'),
    Case(
        ["HEALTHCHECK --interval=1h2m3.5s --retries=0000000000000000000000000000005 CMD true"],
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 3723500000000, "Retries": 5}},
    ),
    Case(["HEALTHCHECK CMD x", "HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
    # LABEL
    Case(
        ["LABEL a=b c=\"d e\" \"f g\"=h 'i'='j k'"],
        {"Labels": {"a": "b", "c": "d e", "f g": "h", "i": "j k"}},
    ),
    Case(["LABEL key value"], {"Labels": {"key": "value"}}),
    Case(["LABEL a.b.c/d=1"], {"Labels": {"a.b.c/d": "1"}}),
    Case(["LABEL a=$x b=${y:-z}"], {"Labels": {"a": "", "b": "z"}}),
    Case(["LABEL a"], "LABEL must have two arguments"),
    Case(["LABEL"], "LABEL requires at least one argument"),
    Case(["LABEL =x"], "LABEL names can not be blank"),
    Case(["LABEL a=b c"], 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
    Case(['LABEL größe="ganz groß" 雪=☃'], {"Labels": {"größe": "ganz groß", "雪": "☃"}}),
    Case(["LABEL a=1", "LABEL a=2 b=3"], {"Labels": {"a": "2", "b": "3"}}),
    Case(["LABEL --x a=b"], "Unknown flag: x"),
    Case(["LABEL a\u2003=b c\u2003=d"], {"Labels": {"a\u2003=b": "c\u2003=d"}}),
    # ONBUILD
    Case(["ONBUILD RUN true"], {"OnBuild": ["RUN true"]}),
    Case(["onbuild   run   true"], {"OnBuild": ["run   true"]}),
    Case(['ONBUILD RUN ["a", "b"]'], {"OnBuild": ['RUN ["a", "b"]']}),
    Case(["ONBUILD ADD . /x", "ONBUILD COPY . /y"], {"OnBuild": ["ADD . /x", "COPY . /y"]}),
    Case(
        ["ONBUILD CMD [1]"],
        "when using JSON array syntax, arrays must be comprised of strings only",
    ),
    Case(["ONBUILD ONBUILD RUN x"], "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    Case(["ONBUILD FROM x"], "FROM isn't allowed as an ONBUILD trigger"),
    Case(["ONBUILD from x"], "FROM isn't allowed as an ONBUILD trigger"),
    Case(["ONBUILD MAINTAINER x"], "MAINTAINER isn't allowed as an ONBUILD trigger"),
    Case(["ONBUILD"], "ONBUILD requires at least one argument"),
    Case(["ONBUILD FOO bar"], {"OnBuild": ["FOO bar"]}),
    Case(["ONBUILD ENV a"], "ENV must have two arguments"),
    Case(["ONBUILD --x RUN true"], "Unknown flag: x"),
    Case(["ONBUILD RUN --x true"], {"OnBuild": ["RUN --x true"]}),
    Case(["ONBUILD HEALTHCHECK --zz CMD x"], {"OnBuild": ["HEALTHCHECK --zz CMD x"]}),
    Case(["ONBUILD RUN x   "], {"OnBuild": ["RUN x   "]}),
    # STOPSIGNAL
    Case(
        ["STOPSIGNAL SIGTERM"],
        {"StopSignal": "SIGTERM"},
        was="stopsignal is not a valid change command",
    ),
    Case(["STOPSIGNAL 9"], {"StopSignal": "9"}, was="stopsignal is not a valid change command"),
    Case(
        ["STOPSIGNAL sigkill"],
        {"StopSignal": "sigkill"},
        was="stopsignal is not a valid change command",
    ),
    Case(
        ["STOPSIGNAL RTMIN+3"],
        {"StopSignal": "RTMIN+3"},
        was="stopsignal is not a valid change command",
    ),
    Case(
        ["STOPSIGNAL RTMIN+16"],
        "invalid signal: RTMIN+16",
        was="stopsignal is not a valid change command",
    ),
    Case(
        ["STOPSIGNAL SIGFOO"],
        "invalid signal: SIGFOO",
        was="stopsignal is not a valid change command",
    ),
    Case(["STOPSIGNAL 0"], "invalid signal: 0", was="stopsignal is not a valid change command"),
    Case(
        ["STOPSIGNAL"],
        "STOPSIGNAL requires exactly one argument",
        was="stopsignal is not a valid change command",
    ),
    Case(
        ["ENV s=INT", "STOPSIGNAL $s"],
        {"Env": ["s=INT"], "StopSignal": "INT"},
        was="stopsignal is not a valid change command",
    ),
    # USER
    Case(["USER foo"], {"User": "foo"}),
    Case(["USER 0:0"], {"User": "0:0"}),
    Case(["USER foo bar"], {"User": "foo bar"}),
    Case(["USER $x"], {}),
    Case(['USER "foo"'], {"User": "foo"}),
    Case(["ENV u=me", "USER $u"], {"Env": ["u=me"], "User": "me"}),
    Case(["USER"], "USER requires exactly one argument"),
    Case(["USER --x y"], "Unknown flag: x"),
    Case(["USER a", "USER b"], {"User": "b"}),
    Case(["CMD a\r", "USER b\r"], {"Cmd": ["/bin/sh", "-c", "a"], "User": "b"}),
    Case(["USER \xa0a\xa0"], {"User": "a"}),
    # VOLUME
    Case(["VOLUME /data"], {"Volumes": {"/data": {}}}),
    Case(["VOLUME /data /more"], {"Volumes": {"/data": {}, "/more": {}}}),
    Case(['VOLUME ["/data", "/more data"]'], {"Volumes": {"/data": {}, "/more data": {}}}),
    Case(["VOLUME []"], "VOLUME requires at least one argument"),
    Case(['VOLUME [""]'], "VOLUME specified can not be an empty string"),
    Case(['VOLUME ["  /x  "]'], {"Volumes": {"/x": {}}}),
    Case(["VOLUME"], "VOLUME requires at least one argument"),
    Case(["VOLUME $x"], "VOLUME specified can not be an empty string"),
    Case(["ENV d=/v", "VOLUME $d ${d}2"], {"Env": ["d=/v"], "Volumes": {"/v": {}, "/v2": {}}}),
    Case(['VOLUME ["$d"]'], "VOLUME specified can not be an empty string"),
    Case(
        ['VOLUME ["/a", 1]'],
        "when using JSON array syntax, arrays must be comprised of strings only",
    ),
    Case(['VOLUME ["/a"'], {"Volumes": {"[/a": {}}}),
    Case(
        ['VOLUME "/a b"'],
        'failed to process "\\"/a": ' + NO_DOUBLE_QUOTE,
    ),
    Case(["VOLUME relative"], {"Volumes": {"relative": {}}}),
    # WORKDIR
    Case(["WORKDIR /a"], {"WorkingDir": "/a"}),
    Case(["WORKDIR a"], {"WorkingDir": "/a"}),
    Case(["WORKDIR /a", "WORKDIR b/c"], {"WorkingDir": "/a/b/c"}),
    Case(["WORKDIR /a", "WORKDIR ../.."], {"WorkingDir": "/"}),
    Case(["WORKDIR /a/../b//c/"], {"WorkingDir": "/b/c"}, was={"WorkingDir": "/a/../b//c/"}),
    Case(["WORKDIR /a", "WORKDIR b/../c/"], {"WorkingDir": "/a/c"}),
    Case(["WORKDIR //x"], {"WorkingDir": "/x"}, was={"WorkingDir": "//x"}),
    Case(["WORKDIR /a b"], {"WorkingDir": "/a b"}),
    Case(['WORKDIR "/a b"'], {"WorkingDir": "/a b"}),
    Case(["WORKDIR $x"], "cannot normalize nothing"),
    Case(["WORKDIR"], "WORKDIR requires exactly one argument"),
    Case(["WORKDIR ."], {"WorkingDir": "/"}),
    Case(["WORKDIR /"], {"WorkingDir": "/"}),
    Case(["WORKDIR /a/"], {"WorkingDir": "/a"}, was={"WorkingDir": "/a/"}),
    Case(["WORKDIR C:\\x"], {"WorkingDir": "/C:x"}),
    # Refused
    Case(["MAINTAINER me"], "maintainer is not a valid change command"),
    Case(["RUN true"], "run is not a valid change command"),
    Case(["ADD a b"], "add is not a valid change command"),
    Case(["COPY a b"], "copy is not a valid change command"),
    Case(["ARG x"], "arg is not a valid change command"),
    Case(["FROM x"], "from is not a valid change command"),
    Case(['SHELL ["a"]'], "shell is not a valid change command"),
    Case(["FOO bar"], "foo is not a valid change command"),
    # Lines
    Case(["ENV a=x\\"], {"Env": ["a=x"]}),
    Case(
        ['ENV a="x\\'],
        'failed to process "\\"x": ' + NO_DOUBLE_QUOTE,
    ),
    Case(
        ['LABEL a="line1\\'],
        'failed to process "\\"line1": ' + NO_DOUBLE_QUOTE,
    ),
    Case(["ENV x=/e", "WORKDIR $x", "WORKDIR $x2", "WORKDIR y"], "cannot normalize nothing"),
    Case([""], "file with no instructions"),
    Case(["# comment"], "file with no instructions"),
    Case(["# comment", "CMD a"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(["CMD a", "# comment", "ENV b=c"], {"Cmd": ["/bin/sh", "-c", "a"], "Env": ["b=c"]}),
    Case(["CMD a \\", "  b \\", "  # no", "  c"], {"Cmd": ["/bin/sh", "-c", "a   b   c"]}),
    Case(["CMD a\\\\", "ENV b=c"], {"Cmd": ["/bin/sh", "-c", "a\\\\"], "Env": ["b=c"]}),
    Case(["ENV a=1 \\", "", "  b=2"], {"Env": ["a=1", "b=2"]}),
    Case(["\\", "CMD a"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(["CMD a \\"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(
        ["# escape=`", 'ENV a=x\\y b="`""', "CMD c `", "  d"],
        {"Env": ["a=x\\y", 'b="'], "Cmd": ["/bin/sh", "-c", "c   d"]},
    ),
    Case(["#escape=`", "ENV a=x`$y"], {"Env": ["a=x$y"]}),
    Case(["# escape=x", "CMD a"], "invalid escape token 'x' does not match ` or \\"),
    Case(["# escape=`", "# escape=`", "CMD a"], "only one escape parser directive can be used"),
    Case(["# syntax=foo", "# escape=`", "ENV a=x`y"], {"Env": ["a=xy"]}),
    Case(["# hello", "# escape=`", "ENV a=x\\y"], {"Env": ["a=xy"]}),
    Case(["CMD a", "RUN b"], "run is not a valid change command"),
    Case(["ENV a", "RUN b"], "ENV must have two arguments"),
    Case(["EXPOSE abc", "RUN b"], "run is not a valid change command"),
    Case(["\ufeffCMD a"], {"Cmd": ["/bin/sh", "-c", "a"]}),
    Case(
        [
            "HEALTHCHECK --interval=5s --timeout=3s \\",
            "  CMD curl -f http://localhost/ \\",
            "  ",
            "",
            " exit 1",
        ],
        {
            "Healthcheck": {
                "Test": ["CMD-SHELL", "curl -f http://localhost/  exit 1"],
                "Interval": 5000000000,
                "Timeout": 3000000000,
            }
        },
    ),
    Case(["ENV a=b\\", "c=d"], {"Env": ["a=bc=d"]}),
    Case(['ENV a="b \\', '  c"'], {"Env": ["a=b   c"]}),
    Case(
        ["CMD a\nENTRYPOINT b\n# c\nENV d=e", "USER f"],
        {
            "Cmd": ["/bin/sh", "-c", "a"],
            "Entrypoint": ["/bin/sh", "-c", "b"],
            "Env": ["d=e"],
            "User": "f",
        },
    ),
    # All together
    Case(
        [
            'CMD ["python3", "-m", "http.server"]',
            'ENTRYPOINT ["/init"]',
            "ENV A=1 B='two words' PATH=/usr/bin:/bin",
            "ENV C three words here",
            "EXPOSE 80 53/udp 8000-8002",
            'LABEL plain=yes "größe"="ganz groß"',
            "USER 0:0",
            'VOLUME ["/data", "/more data"]',
            "WORKDIR /srv",
            "WORKDIR deeper",
            "ONBUILD RUN true",
            "HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD python3 -V",
        ],
        {
            "Cmd": ["python3", "-m", "http.server"],
            "Entrypoint": ["/init"],
            "Env": ["A=1", "B=two words", "PATH=/usr/bin:/bin", "C=three words here"],
            "ExposedPorts": {
                "53/udp": {},
                "80/tcp": {},
                "8000/tcp": {},
                "8001/tcp": {},
                "8002/tcp": {},
            },
            "Labels": {"plain": "yes", "größe": "ganz groß"},
            "User": "0:0",
            "Volumes": {"/data": {}, "/more data": {}},
            "WorkingDir": "/srv/deeper",
            "OnBuild": ["RUN true"],
            "Healthcheck": {
                "Test": ["CMD-SHELL", "python3 -V"],
                "Interval": 5000000000,
                "Timeout": 3000000000,
                "Retries": 2,
            },
        },
    ),
]

# A config as an image has it, the changes of a commit, and what becomes of it.
TO_AN_IMAGE: list[tuple[Sequence[str], Sequence[str], dict[str, Any]]] = [
    (["CMD a"], ["ENTRYPOINT b"], {"Entrypoint": ["/bin/sh", "-c", "b"]}),
    (
        ["CMD a"],
        ["ENTRYPOINT b", "CMD c"],
        {"Entrypoint": ["/bin/sh", "-c", "b"], "Cmd": ["/bin/sh", "-c", "c"]},
    ),
    (
        ["ENTRYPOINT b", "CMD a"],
        ["CMD c"],
        {"Entrypoint": ["/bin/sh", "-c", "b"], "Cmd": ["/bin/sh", "-c", "c"]},
    ),
    (
        ["CMD a", "ENV a=1 b=2"],
        ["ENV b=$a$b c=3"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Env": ["a=1", "b=12", "c=3"]},
    ),
    (["CMD a", "WORKDIR /x"], ["WORKDIR y"], {"Cmd": ["/bin/sh", "-c", "a"], "WorkingDir": "/x/y"}),
    (
        ["CMD a", "LABEL a=1 b=2"],
        ["LABEL b=3 c=4"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Labels": {"a": "1", "b": "3", "c": "4"}},
    ),
    (
        ["CMD a", "EXPOSE 80"],
        ["EXPOSE 81"],
        {"Cmd": ["/bin/sh", "-c", "a"], "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}},
    ),
    (
        ["CMD a", "VOLUME /a"],
        ["VOLUME /b"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Volumes": {"/a": {}, "/b": {}}},
    ),
    (
        ["CMD a", "HEALTHCHECK CMD x"],
        ["HEALTHCHECK NONE"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Healthcheck": {"Test": ["NONE"]}},
    ),
    (["CMD a", "USER x"], ["USER y"], {"Cmd": ["/bin/sh", "-c", "a"], "User": "y"}),
    (
        ["CMD a", "ENV a=1"],
        ["USER $a"],
        {"Cmd": ["/bin/sh", "-c", "a"], "Env": ["a=1"], "User": "1"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name)
def test_change(case: Case) -> None:
    assert answer(case.changes) == case.want


@pytest.mark.parametrize(("before", "changes", "want"), TO_AN_IMAGE)
def test_change_to_an_image(
    before: Sequence[str], changes: Sequence[str], want: dict[str, Any]
) -> None:
    assert answer(changes, before) == want


def test_the_table_is_of_use() -> None:
    assert len({tuple(case.changes) for case in CASES}) == len(CASES) >= 70
    assert all(case.want != case.was for case in CASES)


def test_what_is_given_stays_as_it_is() -> None:
    config = {
        "Env": ["a=1"],
        "Labels": {"a": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/a": {}},
        "OnBuild": ["RUN a"],
        "Other": "kept",
    }
    before = repr(config)
    changed = apply_changes(
        config, ["ENV a=2", "LABEL a=2", "EXPOSE 81", "VOLUME /b", "ONBUILD RUN b"]
    )
    assert repr(config) == before
    assert changed["Env"] == ["a=2"]
    assert changed["Other"] == "kept"


def test_no_changes() -> None:
    config = {"Cmd": ["a"], "ArgsEscaped": True}
    assert apply_changes(config, []) == config


def test_entrypoint_takes_the_command_of_the_image_away() -> None:
    config = {"Cmd": ["a"], "Entrypoint": ["b"]}
    assert apply_changes(config, ["ENTRYPOINT []"]) == {}
    assert apply_changes(config, ["CMD c", "ENTRYPOINT []"]) == {"Cmd": ["/bin/sh", "-c", "c"]}


@pytest.mark.parametrize("keyword", ["CMD", "ENTRYPOINT"])
def test_the_shell_of_the_image(keyword: str) -> None:
    config = {"Shell": ["/bin/bash", "-ec"], "ArgsEscaped": True}
    key = keyword.capitalize()
    assert apply_changes(config, [f"{keyword} a b"]) == {
        "Shell": ["/bin/bash", "-ec"],
        key: ["/bin/bash", "-ec", "a b"],
    }
    windows = apply_changes({}, [f"{keyword} a b"], os="windows")
    assert windows == {key: ["cmd", "/S", "/C", "a b"]}


def test_variables_of_odd_environments() -> None:
    config = {"Env": ["a", "b=1", "b=2"]}
    assert apply_changes(config, ["USER <$a$b>"])["User"] == "<2>"
    assert apply_changes(config, ["ENV b=3"])["Env"] == ["a", "b=3", "b=2"]


@pytest.mark.parametrize(
    "config",
    [{"Env": 5}, {"Env": [5]}, {"Labels": []}, {"ExposedPorts": "80"}, {"WorkingDir": ["/"]}],
)
def test_a_config_that_is_none(config: dict[str, Any]) -> None:
    with pytest.raises(ChangeError, match="the config to change is invalid"):
        apply_changes(config, ["CMD a"])


def test_bytes_that_are_not_utf8() -> None:
    assert answer(["CMD a\udcffb"]) == {"Cmd": ["/bin/sh", "-c", "a\ufffdb"]}


def test_long_lines() -> None:
    value = "é" * 32763 + "."
    assert answer(["USER ok", f"LABEL a={value}"]) == {"User": "ok", "Labels": {"a": value}}
    refusal = "dockerfile line greater than max allowed size of 65535"
    assert answer(["USER ok", f"LABEL a={value}."]) == refusal


def test_deep_nesting() -> None:
    said = answer(["ENV a=" + "${b:-" * 5000 + "}" * 5000])
    assert said == "failed to process a word: substitutions are nested too deeply"
    assert answer(["CMD " + "[" * 60000]) == {"Cmd": ["/bin/sh", "-c", "[" * 60000]}


keywords = st.sampled_from(
    "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR".split()
)
arguments = st.text(st.sampled_from("ab0=$\\{}:-+?\"' \t\n#[],/s`é\x1c\xa0\udcff")) | st.text()


@given(st.lists(st.tuples(keywords, arguments), min_size=1))
def test_anything_is_taken_or_refused(lines: list[tuple[str, str]]) -> None:
    said = answer([f"{keyword} {argument}" for keyword, argument in lines])
    # What is set can be written as JSON, as not every str can.
    assert msgspec.json.decode(msgspec.json.encode(said)) == said
