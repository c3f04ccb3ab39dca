"""Where a registry is looked for, by all that the user's files may say."""

from pathlib import Path

import pytest

from ferryman.registry import hosts
from ferryman.registry.hosts import Hosts, HostsError


def urls(found: Hosts, domain: str, *, pull: bool = True) -> list[str]:
    return [endpoint.url for endpoint in found.endpoints(domain, pull=pull)]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FERRY_REGISTRIES", str(tmp_path / "registries.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "registries.toml"


@pytest.mark.parametrize(
    ("domain", "found"),
    [
        ("docker.io", ["https://registry-1.docker.io"]),
        ("a.example", ["https://a.example"]),
        ("localhost", ["https://localhost", "http://localhost"]),
        ("localhost:5000", ["https://localhost:5000", "http://localhost:5000"]),
        ("127.8.9.1:5", ["https://127.8.9.1:5", "http://127.8.9.1:5"]),
        ("[::1]:5000", ["https://[::1]:5000", "http://[::1]:5000"]),
        ("128.0.0.1", ["https://128.0.0.1"]),
    ],
)
def test_without_settings(settings: Path, domain: str, found: list[str]) -> None:
    assert urls(hosts.load(), domain) == found


def test_all_settings(settings: Path) -> None:
    settings.write_text(
        'insecure = ["a.example:1", "10.0.0.0/8"]\ndownloads = 6\nuploads = 1\nrate = "10MB"\n'
        'chunk = "5m"\n[mirrors]\n"docker.io" = ["https://m.example/hub", "http://10.1.1.1:5000"]\n'
    )
    found = hosts.load()
    assert urls(found, "a.example:1") == ["https://a.example:1", "http://a.example:1"]
    assert urls(found, "a.example:2") == ["https://a.example:2"]
    assert urls(found, "10.2.3.4") == ["https://10.2.3.4", "http://10.2.3.4"]
    hub = ["https://registry-1.docker.io"]
    assert urls(found, "docker.io") == ["https://m.example/hub", "http://10.1.1.1:5000", *hub]
    assert urls(found, "docker.io", pull=False) == hub
    assert (found.downloads, found.uploads, found.rate, found.chunk) == (6, 1, 10**7, 5 * 10**6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("insecure = 1", "a list of texts is needed where there is 1"),
        ("insecure = [", ""),
        ("downloads = 0", "a number from 1 to 64 is needed where there is 0"),
        ("rate = 'fast'", "a size like '10MB' is needed where there is 'fast'"),
        ("speed = 1", "unknown key 'speed'"),
        ("mirrors = 1", "mirrors is to be a table"),
        ("mirrors = {a = ['ftp://x']}", "invalid mirror: ftp://x is no URL of a host"),
        ("mirrors = {a = ['https://u:secret@x']}", "invalid mirror: x is no URL of a host"),
    ],
)
def test_what_is_wrong(settings: Path, text: str, words: str) -> None:
    settings.write_text(text)
    with pytest.raises(HostsError) as raised:
        hosts.load()
    assert str(raised.value).startswith(f"{settings}: ")
    assert words in str(raised.value)


def test_certificates(settings: Path) -> None:
    folder = settings.parent / "config/docker/certs.d/127.0.0.1:5000"
    folder.mkdir(parents=True)
    for name in ("ca.crt", "me.cert", "me.key", "notes"):
        (folder / name).touch()
    found = hosts.load()
    tls = found.tls("127.0.0.1:5000")
    # An authority that is named is asked for, on this machine, too.
    assert tls == hosts.Tls(
        True, (f"{folder}/ca.crt",), ((f"{folder}/me.cert", f"{folder}/me.key"),)
    )
    assert urls(found, "127.0.0.1:5000") == ["https://127.0.0.1:5000"]
    (folder / "me.key").unlink()
    with pytest.raises(HostsError, match="missing key"):
        found.tls("127.0.0.1:5000")


def test_docker_says_it_too(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(
        '{"insecure-registries": ["a.example"], "registry-mirrors": ["https://m.example/"], '
        '"max-concurrent-downloads": 7, "data-root": "/x"}'
    )
    found = hosts.from_docker(str(path))
    assert urls(found, "a.example") == ["https://a.example", "http://a.example"]
    assert urls(found, "docker.io") == ["https://m.example", "https://registry-1.docker.io"]
    assert (found.downloads, found.uploads) == (7, 5)
