"""``network``, ``volume``, ``port`` and ``system``: the same words, tables and JSON as docker's."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command import Command
from tests.containers.networks import free_subnet
from tests.ferry import Ferry
from tests.peers.conftest import need
from tests.peers.dockerd import running_dockerd

pytestmark = pytest.mark.peer

IMAGE = "box:1"
SUBNET = free_subnet()
BASE = SUBNET.removesuffix("0/24")


@pytest.fixture(scope="module")
def docker(private: Path, peer_home: Path, busybox_tar: Path) -> Iterator[Command]:
    """The client of a daemon with networks, in a network namespace of its own."""
    need("dockerd", "docker", "containerd", "setpriv", "unshare")
    folder = private / "networked"
    folder.mkdir()
    with running_dockerd(folder, peer_home, apart=True) as client:
        client.run("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", busybox_tar, IMAGE)
        yield client


class Said(NamedTuple):
    """What a command said, without what is another each time."""

    code: int
    out: str
    err: str


def said(peer: Command | Ferry, line: str) -> Said:
    done = peer.run(*shlex.split(line), check=False, input=b"")
    return Said(done.returncode, _plain(done.stdout), _plain(done.stderr))


def _plain(said: bytes) -> str:
    text = said.decode()
    text = re.sub(r"Error response from daemon: |ERROR: |Error: ", "", text)
    # What this one adds of its own.
    text = re.sub(r"exit status 1\n", "", text)
    text = re.sub(r"WARNING: IPv4 forwarding is disabled.*\n", "", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<short id>", text)
    return "\n".join(sorted(line.rstrip() for line in text.splitlines()))


@pytest.mark.parametrize(
    "line",
    [
        "network create host",
        "network create default",
        "network create -d host new",
        "network create --gateway 10.1.1.1 new",
        "network create --ip-range 10.1.1.0/24 new",
        "network create --subnet 10.9.0.0/24 --subnet 10.9.0.0/25 new",
        "network create --subnet 10.9.0.0/24,10.9.1.0/24 new",
        "network create --subnet 10.9.0.0/24 --gateway 10.8.0.1 new",
        "network create --subnet 10.9.0.0/24 --ip-range 10.8.0.0/25 new",
        "network create --subnet 10.9.0.0/24 --ip-range x new",
        "network create --subnet 10.9.0.0/24 --aux-address a=x new",
        "network create --subnet 10.9.0.0/24 --aux-address a new",
        "network rm nope bridge host",
        "network rm -f nope",
        "network inspect nope",
        "network connect nope nope",
        "network disconnect -f bridge nope",
        "network disconnect bridge nope",
        "network ls -f type=x",
        "network ls -f dangling=x",
        "network prune",
        "network prune -f",
        "network ls --format {{.Nope}}",
        "volume create x",
        "volume create 'a b'",
        "volume create -o foo=bar new",
        "volume create -o type=tmpfs new",
        "volume create -o device=x new",
        "volume create -o size=1m new",
        "volume create --name a b",
        "volume rm nope",
        "volume rm -f nope",
        "volume inspect nope",
        "volume ls",
        "volume ls -f dangling=x",
        "volume ls --format {{.Nope}}",
        "port nope",
        "inspect nope",
        "inspect --type network nope",
        "inspect --type volume nope",
        "inspect --type container nope",
        "system prune --volumes --filter until=1h",
        "system prune -f --filter until=zz",
        "container prune",
    ],
)
def test_words(docker: Command, ferry: Ferry, line: str) -> None:
    theirs, ours = said(docker, line), said(ferry, line)
    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    # docker's daemon says some words with a capital.
    assert ours.err.casefold() == theirs.err.casefold()


MEMBERS = "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}"
LIFE = f"""
network create --subnet {SUBNET} --label a=b --label c net
network create --internal --label a=b inner
network create net
volume create --label a=b mine
volume create mine
create --name idle -v mine:/v {IMAGE} true
run -d --name one -p 127.0.0.1::80 -p 127.0.0.1::53/udp {IMAGE} sleep 1000
run -d --name host --network host {IMAGE} sleep 1000
run -d --name none --network none {IMAGE} sleep 1000
run -d --name guest --network container:one {IMAGE} sleep 1000
ps --format '{{{{.Names}}}} {{{{.Networks}}}}'
ps -f network=net -f network=none -f network=nope --format '{{{{.Names}}}}'
network inspect -f '{MEMBERS}' host none net
network ls -f type=custom
network ls -f label=a=b -f driver=bridge --format '{{{{.Name}}}} {{{{.Internal}}}}'
network ls -f name=ne -f type=builtin
network connect --ip {BASE}50 --alias pier net one
network connect net one
network connect net idle
network connect net idle
network connect inner one
network connect host one
network connect none one
network connect net host
network connect net none
network connect net guest
network connect --ip 192.0.2.1 inner idle
network connect --ip 172.17.0.9 bridge none
network connect net nope
inspect -f '{{{{range $name, $_ := .NetworkSettings.Networks}}}}{{{{$name}}}} {{{{end}}}}' one idle
exec one sh -c 'ip -4 addr show eth1 | grep inet'
exec one ls /sys/class/net
network rm net
network inspect -f '{MEMBERS}' net
network prune -f --filter label=a
network disconnect nope one
network disconnect inner one
network disconnect inner one
network disconnect net idle
network disconnect net idle
network disconnect host host
network disconnect none none
network connect net none
network disconnect net none
port one 80/udp
port one x
port one 99999
port one 81
port idle
volume ls
volume ls -f dangling=true
volume ls -f name=mi -f label=a --format '{{{{.Name}}}} {{{{.Labels}}}} {{{{.Links}}}}'
volume rm mine
inspect --type volume net
inspect -f '{{{{.Name}}}}' net mine
rm -f idle
system df --format '{{{{.Type}}}} {{{{.TotalCount}}}} {{{{.Active}}}}'
rm -f one host none guest
network rm net
network ls -f type=custom
network prune -f
volume rm mine
volume ls -q
"""


@pytest.mark.slow
def test_a_life(docker: Command, box: Ferry) -> None:
    """All of it, line by line: the same is said, and the exit code is the same."""
    differing: list[tuple[str, Said, Said]] = []
    for line in LIFE.strip().splitlines():
        theirs, ours = said(docker, line), said(box, line)
        if line.startswith("system df"):
            # Ours counts two kinds of things more.
            shown = theirs.out.splitlines()
            ours = ours._replace(out="\n".join(x for x in ours.out.splitlines() if x in shown))
        if ours._replace(err=ours.err.casefold()) != theirs._replace(err=theirs.err.casefold()):
            differing.append((line, theirs, ours))
    assert differing == []


def _shape(value: Any) -> Any:
    """Return a document with types in the place of values."""
    if isinstance(value, Mapping):
        return {re.sub("^[0-9a-f]{64}$", "<id>", key): _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return type(value).__name__


def test_json(docker: Command, box: Ferry) -> None:
    """What is inspected has the keys that docker gives, and values of the same types."""
    found: list[dict[str, Any]] = []
    for peer in (docker, box):
        for line in (
            "network create --subnet 10.60.7.0/24 --gateway 10.60.7.1 --ip-range 10.60.7.128/25 "
            "--aux-address a=10.60.7.9 --label x=y -o com.docker.network.driver.mtu=1400 shaped",
            "volume create --label x=y -o type=tmpfs -o device=tmpfs shaped",
            "run -d --name shaped --network shaped --ip 10.60.7.200 -v shaped:/v box:1 sleep 1000",
        ):
            peer.run(*shlex.split(line))
        try:
            (network,) = json.loads(peer.text("network", "inspect", "shaped"))
            (volume,) = json.loads(peer.text("volume", "inspect", "shaped"))
            (container,) = json.loads(peer.text("container", "inspect", "shaped"))
        finally:
            peer.run("rm", "-f", "shaped")
            peer.run("network", "rm", "shaped")
            peer.run("volume", "rm", "shaped")
        place = container["NetworkSettings"]["Networks"]["shaped"]
        found.append({"network": network, "volume": volume, "place": place})
    theirs, ours = found
    # Of version 28 and later.
    assert ours["network"].pop("EnableIPv4") is True
    assert ours["network"]["IPAM"] == theirs["network"]["IPAM"]
    assert ours["network"]["Options"] == theirs["network"]["Options"]
    assert ours["volume"]["Options"] == theirs["volume"]["Options"]
    # What docker's client adds because the daemon does not know of it.
    for key in ("GwPriority", "DNSNames"):
        theirs["place"].pop(key, None)
    assert {**ours["place"], "Links": None}.keys() == theirs["place"].keys()
    assert ours["place"]["IPAMConfig"] == theirs["place"]["IPAMConfig"]
    for kind in ("network", "volume"):
        assert _shape(ours[kind]) == _shape(theirs[kind])
