"""Templates give with ferry what they give with docker: text, words of errors, exit codes."""

import json
import os
import re
from collections.abc import Iterator, Sequence

import pytest

from ferryman.cli.container_fields import CONTAINER
from ferryman.cli.gotemplate import Template, TemplateError
from tests.cli.gotemplate.cases import MALFORMED, NEWER, PRINTED, REFUSED
from tests.cli.gotemplate.image import ARCHIVE, IMAGE, NAME
from tests.command import Command
from tests.ferry import Ferry

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def there(dockerd: Command) -> Iterator[Command]:
    """A docker with the image that the cases are about."""
    dockerd.run("load", input=ARCHIVE)
    yield dockerd
    dockerd.run("rmi", "--force", IMAGE.id)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A ferry with the image."""
    ferry = Ferry(tmp_path_factory.mktemp("store") / "root")
    ferry("load", input=ARCHIVE)
    return ferry.at(None)


def answer(engine: Command, *command: str) -> tuple[int, str, str]:
    """Return exit code, output and errors; that they are errors, docker leaves unsaid here."""
    done = engine.run(*command, check=False)
    errors = re.sub("^Error: ", "", os.fsdecode(done.stderr), flags=re.MULTILINE)
    return done.returncode, os.fsdecode(done.stdout), errors


@pytest.mark.parametrize(
    "cases", [PRINTED, MALFORMED, REFUSED], ids=["printed", "malformed", "refused"]
)
def test_inspect(
    there: Command, here: Command, new_client: bool, cases: Sequence[tuple[object, ...]]
) -> None:
    templates = [str(template) for template, *_ in cases]
    for template in templates if new_client else [t for t in templates if t not in NEWER]:
        command = ("inspect", "-f", template, NAME)
        assert (template, answer(here, *command)) == (template, answer(there, *command))


@pytest.mark.parametrize("template", ["{{.Os}}", "{{.Nope}}", "{{", "json", ""])
@pytest.mark.parametrize("names", [(NAME, IMAGE.id), ("nothing", NAME), ("nothing", "no")])
def test_several(
    there: Command, here: Command, new_client: bool, template: str, names: tuple[str, ...]
) -> None:
    """What is known of one is told, whatever there is to say of others."""
    command = ("inspect", "-f", template, *names)
    mine, theirs = answer(here, *command), answer(there, *command)
    if template in ("json", ""):
        # What docker says of an image is compared elsewhere.
        mine, theirs = ((code, out[:2], errors) for code, out, errors in (mine, theirs))
    if template != "json" or new_client:
        assert mine == theirs
    assert mine[0] == theirs[0]


OF_CONTAINERS = [
    "{{.Id}} {{.ID}} {{.Name}} {{.Args}} {{.ExecIDs}}",
    "{{.State}}",
    "{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.StartedAt}}",
    "{{.State.Health}} {{if .State.Health}}x{{else}}none{{end}}",
    "{{.State.Health.Status}}",
    "{{json .State}}",
    "{{.HostConfig.PortBindings}} {{json .HostConfig.PortBindings}}",
    "{{.HostConfig.RestartPolicy}} {{.HostConfig.RestartPolicy.Name}}",
    "{{.HostConfig.Binds}} {{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}} {{.HostConfig.DNS}}",
    "{{.HostConfig.Dns}} {{.HostConfig.CapDrop}}",
    "{{.HostConfig.NetworkMode}} {{.HostConfig.Memory}} {{.HostConfig.Privileged}}",
    "{{.HostConfig.PidsLimit}} {{.HostConfig.MemorySwappiness}} {{.HostConfig.Init}}",
    "{{.HostConfig.Tmpfs}} {{.HostConfig.Sysctls}} {{.HostConfig.ConsoleSize}}",
    "{{range .HostConfig.Ulimits}}{{.Name}}={{.Soft}}:{{.Hard}}{{end}}",
    "{{.HostConfig.LogConfig}} {{.HostConfig.Devices}} {{.HostConfig.MaskedPaths}}",
    "{{range .Mounts}}{{.Type}}:{{.Destination}}:{{.RW}} {{end}}",
    "{{.Mounts}} {{json .Mounts}}",
    "{{.NetworkSettings.Ports}} {{json .NetworkSettings.Ports}} {{.NetworkSettings.IPAddress}}",
    "{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}}|{{end}}",
    "{{range .NetworkSettings.Networks}}{{.IPAddress}}|{{.Aliases}}|{{.IPAMConfig}}{{end}}",
    "{{.NetworkSettings.Networks.none.Gateway}}|",
    "{{.NetworkSettings.Networks.bridge.IPAddress}}",
    '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}',
    '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}',
    "{{range $p, $at := .HostConfig.PortBindings}}{{$p}}={{(index $at 0).HostPort}}{{end}}",
    "{{.Config.Env}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Labels}}",
    "{{.Config.Hostname}} {{.Config.Image}} {{.Config.Tty}} {{.Config.StopTimeout}}",
    "{{json .Config.Healthcheck}} {{.Config.Healthcheck.Interval}}",
    "{{.SizeRw}} {{.SizeRootFs}} {{.LogPath}}|{{.RestartCount}}",
    "{{.Nope}}",
    "{{.HostConfig.Nope.x}}",
]


def test_containers(there: Command) -> None:
    """What docker's JSON of a container becomes: ferry's own is in the same shape."""
    # One mount, in the place of the image's volume: docker tells several in any order.
    flags = "--network none -p 8080:80 -v /tmp:/data:ro -e A=1 --restart on-failure:3 --cap-add ALL"
    flags += " --memory 64m --dns 1.1.1.1 --ulimit nofile=1:2 --tmpfs /run --health-interval 5s"
    container = there.text("create", *flags.split(), "--health-cmd", "true", NAME, "sh")
    (document,) = json.loads(there.text("inspect", container))
    for template in OF_CONTAINERS:
        mine = applied(template, document)
        assert (template, mine) == (template, answer(there, "inspect", "-f", template, container))
    there.run("rm", "--force", "--volumes", container)


def applied(template: str, document: object) -> tuple[int, str, str]:
    """Do as ``ferry inspect -f`` does."""
    read = Template(template)
    try:
        return 0, read.render(CONTAINER(document)) + "\n", ""
    except TemplateError:
        pass
    try:
        return 0, read.render(document) + "\n", ""
    except TemplateError as e:
        return 1, "\n", f"{e}\n"
