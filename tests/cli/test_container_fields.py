"""Templates on what inspect says of a container; docker itself is asked in tests/peers."""

from typing import Any

import pytest

from ferryman.cli.container_fields import CONTAINER
from ferryman.cli.gotemplate import Template, TemplateError

DOCUMENT: dict[str, Any] = {
    "Id": "4f75",
    "Args": ["-c", "true"],
    "State": {"Status": "running", "Running": True, "Pid": 7},
    "HostConfig": {
        "Binds": None,
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "Dns": ["1.1.1.1"],
        "PidsLimit": 100,
    },
    "Mounts": [{"Type": "bind", "Source": "/tmp", "Destination": "/mnt", "RW": False}],
    "Config": {"Env": ["A=1"], "Entrypoint": None, "Labels": {"a": "b"}},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "53/udp": None},
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "Aliases": None}},
    },
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.ID}} {{.Args}}", "4f75 [-c true]"),
        ("{{.State.Status}} {{.State.Running}} {{.State.Pid}}", "running true 7"),
        ("{{if .State.Health}}x{{else}}none{{end}} {{.State.Health}}", "none <nil>"),
        ("{{.HostConfig.Binds}} {{.HostConfig.CapAdd}} {{.HostConfig.DNS}}", "[] [] [1.1.1.1]"),
        ("{{.HostConfig.PidsLimit}} {{.HostConfig.Init}}", "100 <nil>"),
        ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8080}]]"),
        ("{{.HostConfig.RestartPolicy}}", "{on-failure 3}"),
        ("{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}}{{end}}", "bind:/mnt:false"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        (
            "{{range $port, $_ := .NetworkSettings.Ports}}{{$port}} {{end}}",
            "53/udp 80/tcp ",
        ),
        (
            "{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{.IPAddress}}{{end}}",
            "bridge=172.17.0.2",
        ),
        ("{{.NetworkSettings.IPAddress}}|{{.Config.StopTimeout}}", "|<nil>"),
        ("{{.Config.Env}} {{.Config.Entrypoint}} {{.Config.Labels.a}}", "[A=1] [] b"),
        ("{{json .HostConfig.RestartPolicy}}", '{"Name":"on-failure","MaximumRetryCount":3}'),
    ],
)
def test_what_docker_knows(template: str, text: str) -> None:
    assert Template(template).render(CONTAINER(DOCUMENT)) == text


@pytest.mark.parametrize("template", ["{{.Id}}", "{{.HostConfig.Dns}}", "{{.State.Health.Status}}"])
def test_what_it_looks_up_in_the_json(template: str) -> None:
    with pytest.raises(TemplateError):
        Template(template).render(CONTAINER(DOCUMENT))
