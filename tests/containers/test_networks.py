"""``ferry network``: what containers see of it, and what docker says of it."""

import json
import re
import urllib.request
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.containers.networks import IMAGE, address, failed, free_subnet, inside, sleeping
from tests.containers.test_life import until
from tests.ferry import Ferry
from tests.machine import Machine


@pytest.fixture
def subnet() -> str:
    return free_subnet()


@pytest.fixture
def net(box: Ferry, subnet: str) -> Ferry:
    """A store with a network ``net``, of a subnet of its own."""
    box("network", "create", "--subnet", subnet, "net")
    return box


def inspected(box: Ferry, name: str) -> dict[str, object]:
    (found,) = json.loads(box.text("network", "inspect", name))
    assert isinstance(found, dict)
    return found


def test_create_and_inspect(box: Ferry, subnet: str) -> None:
    base = subnet.removesuffix("0/24")
    number = box.text(
        *("network", "create", "--subnet", subnet, "--gateway", f"{base}9", "--internal"),
        *("--ip-range", f"{base}128/25", "--aux-address", f"printer={base}128"),
        *("--label", "a=b", "--label", "c", "-o", "com.docker.network.driver.mtu=1400"),
        *("--attachable", "full"),
    )
    assert re.fullmatch("[0-9a-f]{64}", number)
    found = inspected(box, number[:5])
    assert (found["Name"], found["Id"], found["Driver"]) == ("full", number, "bridge")
    assert (found["Internal"], found["Attachable"], found["EnableIPv6"]) == (True, True, False)
    assert found["Labels"] == {"a": "b", "c": ""}
    assert found["Options"] == {"com.docker.network.driver.mtu": "1400"}
    assert found["IPAM"] == {
        "Driver": "default",
        "Options": {},
        "Config": [
            {
                "Subnet": subnet,
                "IPRange": f"{base}128/25",
                "Gateway": f"{base}9",
                "AuxiliaryAddresses": {"printer": f"{base}128"},
            }
        ],
    }
    container = sleeping(box, "--network", "full", "--name", "member")
    # The first address of the range is the printer's.
    assert address(box, container, "full") == f"{base}129"
    assert "mtu 1400" in inside(box, container, "ip link show eth0")
    assert inside(box, container, "ip route") == f"{subnet} dev eth0 scope link  src {base}129"
    place = inspected(box, "full")["Containers"][container]  # type: ignore[index]
    assert (place["Name"], place["IPv4Address"]) == ("member", f"{base}129/24")


def test_subnets_that_are_chosen(box: Ferry) -> None:
    for name in ("one", "two"):
        box("network", "create", "--ipv6", name)
    form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    texts = box.text("network", "inspect", "-f", form, "one", "two").split()
    subnets = [ip_network(text) for text in texts]
    assert [each.version for each in subnets] == [4, 6, 4, 6]
    assert all(each.is_private for each in subnets)
    assert len(set(subnets)) == 4
    container = sleeping(box, "--network", "one")
    seen = inside(box, container, "ip -o addr show eth0")
    assert re.search(r"inet6 fd", seen)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("net", "network with name net already exists"),
        ("host", "operation is not permitted on predefined host network"),
        ("default", "operation is not permitted on predefined default network"),
        ("-d macvlan new", 'plugin "macvlan" not found: networks here are of type bridge'),
        ("-d host new", 'only one instance of "host" network is allowed'),
        ("--gateway 10.1.1.1 new", "every ip-range or gateway must have a corresponding subnet"),
        (
            "--subnet 10.9.0.0/24 --subnet 10.9.0.0/25 new",
            "multiple overlapping subnet configuration is not supported",
        ),
        (
            "--subnet 10.9.0.0/24,10.9.1.0/24 new",
            "bridge driver doesn't support multiple subnets",
        ),
        (
            "--subnet 10.9.0.0/24 --gateway 10.8.0.1 new",
            "no matching subnet for gateway 10.8.0.1",
        ),
        (
            "--subnet 10.9.0.0/24 --ip-range 10.8.0.0/25 new",
            "no matching subnet for range 10.8.0.0/25",
        ),
        (
            "--subnet 10.9.0.0/24 --aux-address a=x new",
            "no matching subnet for aux-address x",
        ),
        ("--subnet 10.9.0.0/33 new", "invalid subnet 10.9.0.0/33: invalid CIDR block notation"),
        ("--subnet 10.9.0.0 new", "invalid subnet 10.9.0.0: invalid CIDR block notation"),
        ("--subnet 10.9.0.0/24 --ip-range 10.9.0.0 new", "invalid CIDR address: 10.9.0.0"),
        ("--subnet 10.9.0.1/24 new", "invalid subnet 10.9.0.1/24: it should be 10.9.0.0/24"),
        ("--no-ipv4 new", "IPv4 or IPv6 must be enabled"),
        (
            "-o com.docker.network.bridge.enable_icc=false new",
            "the option com.docker.network.bridge.enable_icc of networks can only be true here",
        ),
    ],
)
def test_what_cannot_be_created(net: Ferry, words: str, message: str) -> None:
    assert failed(net, "network", "create", *words.split()) == f"Error: {message}"
    assert net.text("network", "ls", "-qf", "type=custom").count("\n") == 0


def test_a_subnet_that_another_has(net: Ferry, subnet: str) -> None:
    said = failed(net, "network", "create", "--subnet", subnet, "new")
    assert said.endswith("Pool overlaps with other one on this address space")


def test_list(net: Ferry) -> None:
    net("network", "create", "--label", "a=1", "--internal", "marked")
    assert net.text("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines() == [
        *("bridge bridge", "host host", "marked bridge", "net bridge", "none null"),
    ]
    head, *rows = net.text("network", "ls").splitlines()
    assert head.split("  ")[0] == "NETWORK ID"
    assert rows[3].split()[1:] == ["net", "bridge", "local"]
    sleeping(net, "--network", "net")

    def names(*filters: str) -> list[str]:
        flags = [word for each in filters for word in ("-f", each)]
        return net.text("network", "ls", "--format", "{{.Name}}", *flags).split()

    number = net.text("network", "inspect", "-f", "{{.Id}}", "net")
    assert names("driver=host", "driver=null") == ["host", "none"]
    assert names("label=a=1") == names("label=a") == ["marked"]
    assert names("type=custom") == ["marked", "net"]
    assert names("type=custom", "dangling=true") == ["marked"]
    assert names("dangling=false") == ["bridge", "host", "net", "none"]
    assert names(f"id={number[:8]}") == names("name=ne", "type=custom") == ["net"]
    assert names("scope=swarm") == []
    assert net.text("network", "ls", "-qf", "name=net", "--no-trunc") == number
    row = json.loads(net.text("network", "ls", "--format", "json", "-f", "name=marked"))
    assert row.pop("CreatedAt").endswith(" +0000 UTC")
    assert len(row.pop("ID")) == 12
    assert row == {
        "Driver": "bridge",
        "IPv4": "true",
        "IPv6": "false",
        "Internal": "true",
        "Labels": "a=1",
        "Name": "marked",
        "Scope": "local",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nope=1", "invalid filter 'nope'"),
        ("type=x", "invalid filter: 'type'='x'"),
        (
            "dangling=x",
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")',
        ),
    ],
)
def test_list_by_what_there_is_not(ferry: Ferry, given: str, message: str) -> None:
    assert failed(ferry, "network", "ls", "-f", given) == f"Error: {message}"


def test_remove(net: Ferry) -> None:
    container = sleeping(net, "--network", "net")
    number = net.text("network", "inspect", "-f", "{{.Id}}", "net")
    in_use = f"Error: error while removing network: network net id {number} has active endpoints"
    assert failed(net, "network", "rm", "net") == in_use
    done = net("network", "rm", "nope", "bridge", "net", check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "Error: network nope not found",
        "Error: bridge is a pre-defined network and cannot be removed",
        in_use,
    ]
    assert net.text("network", "rm", "-f", "nope") == ""
    net("stop", "-t", "0", container)
    assert net.text("network", "rm", number[:8]) == number[:8]
    assert failed(net, "network", "rm", "net") == "Error: network net not found"
    assert failed(net, "start", container).endswith("network net not found")


def test_prune(net: Ferry) -> None:
    net("network", "create", "--label", "a", "marked")
    net("network", "create", "other")
    sleeping(net, "--network", "net")
    asked = net("network", "prune", input=b"n\n").stdout.decode()
    assert asked == (
        "WARNING! This will remove all custom networks not used by at least one container.\n"
        "Are you sure you want to continue? [y/N] "
    )
    assert net.text("network", "prune", "-f", "--filter", "until=1h") == ""
    done = net("network", "prune", "-f", "--filter", "label!=a").stdout.decode()
    assert done == "Deleted Networks:\nother\n\n"
    assert net.text("network", "prune", "-f") == "Deleted Networks:\nmarked"
    assert net.text("network", "prune", "-f") == ""


def test_names(net: Ferry) -> None:
    """Containers of a network find each other by name, alias and short ID; of others they do not.

    So does one that is in two networks, in each of them.
    """
    net("network", "create", "far")
    here = sleeping(net, "--network", "net", "--name", "here", "--network-alias", "quay")
    there = sleeping(net, "--network", "far", "--name", "there")
    both = sleeping(net, "--network", "net", "--network", "far", "--name", "both")

    def found(container: str, name: str) -> str:
        said = net.text("exec", container, "sh", "-c", f"nslookup {name} 2>&1; true")
        return ",".join(re.findall(rf"Name:\s+{name}\S*\s+Address: (\S+)", said))

    own = address(net, here, "net")
    assert found(both, "here") == found(both, "quay") == found(both, here[:12]) == own
    assert found(here, "both") == address(net, both, "net")
    assert found(there, "both") == address(net, both, "far")
    assert found(both, "there") == address(net, there, "far")
    assert found(here, "there") == found(there, "here") == ""
    assert "1 packets received" in inside(net, both, "ping -c 1 -W 5 there")
    net("rename", "here", "moored")
    until(lambda: found(both, "moored") == own)
    assert found(both, "quay") == found(both, here[:12]) == own
    assert found(both, "here") == ""
    assert found(here, "both") == address(net, both, "net")


def test_connect_and_disconnect_what_runs(net: Ferry, subnet: str) -> None:
    base = subnet.removesuffix("0/24")
    other = sleeping(net, "--network", "net", "--name", "other")
    one = sleeping(net, "--name", "one")
    hosts = inside(net, one, "cat /etc/hosts")
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "lo"]
    net("network", "connect", "--ip", f"{base}77", "--alias", "pier", "net", "one")
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    assert f"inet {base}77/24" in inside(net, one, "ip addr show eth1")
    assert address(net, one, "net") == f"{base}77"
    assert inside(net, one, "cat /etc/hosts") == f"{hosts}\n{base}77\t{one[:12]}"
    assert inside(net, one, "nslookup other").count(address(net, other, "net")) == 1
    assert f"Address: {base}77" in inside(net, other, "nslookup pier")
    again = failed(net, "network", "connect", "net", "one")
    assert again == "Error: endpoint with name one already exists in network net"

    net("network", "disconnect", "net", "one")
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "lo"]
    assert inside(net, one, "cat /etc/hosts") == hosts
    assert "pier" not in inside(net, other, "nslookup pier 2>/dev/null | grep Name; true")
    again = failed(net, "network", "disconnect", "net", "one")
    assert again == f"Error: container {one} is not connected to network net"
    # Without any network it goes on.
    net("network", "disconnect", "bridge", "one")
    assert inside(net, one, "ls /sys/class/net") == "lo"
    assert json.loads(net.text("inspect", "-f", "{{json .NetworkSettings.Networks}}", one)) == {}
    net("network", "connect", "net", "one")
    net("restart", "-t", "0", "one")
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "lo"]
    assert inside(net, one, "ip route").startswith(f"default via {base}1 ")


def test_connect_and_disconnect_what_does_not_run(net: Ferry, subnet: str) -> None:
    base = subnet.removesuffix("0/24")
    one = net.text("create", "--name", "one", IMAGE, "sleep", "1000")
    net("network", "connect", "net", "one")
    # As in docker: asked again, it is what was asked last.
    net("network", "connect", "--ip", f"{base}88", "net", "one")
    net("start", "one")
    assert address(net, one, "net") == f"{base}88"
    assert ip_address(address(net, one, "bridge")).is_private
    net("stop", "-t", "0", "one")
    net("network", "disconnect", "bridge", "one")
    again = failed(net, "network", "disconnect", "bridge", "one")
    assert again == f"Error: container {one} is not connected to the network bridge"
    net("start", "one")
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "lo"]
    net("stop", "-t", "0", "one")
    net("network", "disconnect", "net", "one")
    net("start", "one")
    assert inside(net, one, "ls /sys/class/net") == "lo"


def test_published_ports_move_to_the_next_network(net: Ferry) -> None:
    script = "echo ahoy > /index.html; exec httpd -f -h / -p 80"
    one = net.text("run", "-d", "-p", "127.0.0.1::80", "--name", "one", IMAGE, "sh", "-c", script)
    url = f"http://{net.text('port', 'one', '80')}"

    def fetched() -> bytes:
        with urllib.request.urlopen(url, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    assert fetched() == b"ahoy\n"
    net("network", "connect", "net", "one")
    net("network", "disconnect", "bridge", "one")
    assert fetched() == b"ahoy\n"
    assert address(net, one, "net")
    net("network", "disconnect", "net", "one")
    assert net.text("port", "one") == ""
    with pytest.raises(OSError, match=r".*"):
        fetched()


def test_what_cannot_be_connected(net: Ferry) -> None:
    sleeping(net, "--name", "one")
    for flags, name in (
        ("host", "shared"),
        ("container:one", "guest"),
        ("none", "private"),
    ):
        net("create", "--network", flags, "--name", name, IMAGE, "sleep", "1000")
    private_id = net.text("inspect", "-f", "{{.Id}}", "private")
    shared = (
        "container sharing network namespace with another container or host cannot be connected "
        "to any other network"
    )
    private = (
        "container cannot be connected to multiple networks with one of the networks in private "
        "(none) mode"
    )
    host = "container cannot be disconnected from host network or connected to host network"
    for words, message in (
        ("connect nope one", "network nope not found"),
        ("connect net nope", "No such container: nope"),
        ("connect host one", host),
        ("connect none one", private),
        ("connect net private", private),
        ("connect net shared", shared),
        ("connect net guest", shared),
        ("connect --ip 192.0.2.1 net one", "no configured subnet contains IP address 192.0.2.1"),
        (
            "connect --alias a bridge private",
            "network-scoped alias is supported only for containers in user defined networks",
        ),
        (
            "connect --link one:x net one",
            "links between containers are not known here: use --alias",
        ),
        ("disconnect host shared", host),
        ("disconnect net nope", "No such container: nope"),
        ("disconnect -f net nope", "endpoint nope not found"),
        ("disconnect nope one", "network nope not found"),
        ("disconnect nope private", f"container {private_id} is not connected to the network nope"),
    ):
        assert failed(net, "network", *words.split()) == f"Error: {message}"
    net("network", "disconnect", "none", "private")
    net("network", "connect", "net", "private")
    net("start", "private")
    assert address(net, "private", "net")
    # Whoever could not be connected is where it was.
    assert inside(net, "one", "ls /sys/class/net").split() == ["eth0", "lo"]


def test_an_address_that_is_taken(net: Ferry, subnet: str) -> None:
    base = subnet.removesuffix("0/24")
    sleeping(net, "--network", "net", "--ip", f"{base}5")
    one = sleeping(net, "--name", "one")
    for taken in ("5", "1"):
        said = failed(net, "network", "connect", "--ip", f"{base}{taken}", "net", "one")
        assert said == "Error: Address already in use"
    assert inside(net, one, "ls /sys/class/net").split() == ["eth0", "lo"]
    assert list(json.loads(net.text("inspect", one))[0]["NetworkSettings"]["Networks"]) == [
        "bridge"
    ]


def test_nothing_is_left(net: Ferry) -> None:
    """Of the bridges, once the last one has left, however it left."""
    sleeping(net, "--network", "net", "--name", "one")
    number = net.text("network", "inspect", "-f", "{{.Id}}", "net")
    bridge = Path("/sys/class/net", f"fy-{number[:12]}")
    assert bridge.is_dir()
    net("network", "disconnect", "net", "one")
    assert not bridge.exists()
    net("network", "connect", "net", "one")
    assert bridge.is_dir()
    net("rm", "-f", "one")
    assert not bridge.exists()


def test_networks_stay_apart_when_one_has_gone(alone: Machine) -> None:
    for name in ("one", "other", "passing"):
        alone("network", "create", name)
    alone("run", "-d", "--network", "one", "box:1", "httpd", "-f", "-p", "80")
    alone("run", "-d", "--name", "asks", "--network", "other", "box:1", "sleep", "1000")
    before = alone.left().firewall
    alone("run", "--rm", "--network", "passing", "-p", "1080:80", "box:1", "true")
    until(lambda: alone.left().firewall == before)
    (one,) = json.loads(alone.text("network", "inspect", "one"))
    (server,) = one["Containers"].values()
    address = server["IPv4Address"].partition("/")[0]
    assert alone.asked([address])[address]
    asked = alone("exec", "asks", "nc", "-w", "1", address, "80", check=False)
    assert (asked.returncode, asked.stdout) == (1, b"")
