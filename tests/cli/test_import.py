"""``ferry import``: a filesystem's tar becomes an image, with the settings that were asked for."""

import bz2
import gzip
import http.server
import json
import lzma
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.ferry import Ferry
from tests.images import folder, member, sha256, tar_of
from tests.terminal import on_terminal

TAR = tar_of(folder("etc"), member("etc/name", b"imported"))
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs.tar"
    path.write_bytes(TAR)
    return path


def inspected(ferry: Ferry, name: str) -> dict[str, Any]:
    (found,) = json.loads(ferry.text("image", "inspect", name))
    return dict(found)


def test_prints_the_id(ferry: Ferry, tar: Path) -> None:
    printed = ferry.text("import", tar, "base:1")
    found = inspected(ferry, "base:1")
    assert found["Id"] == printed
    assert found["RepoTags"] == ["base:1"]
    assert found["RootFS"] == {"Type": "layers", "Layers": [sha256(TAR)]}
    assert found["Comment"] == f"Imported from {tar}"
    assert found["Os"] == "linux"


def test_without_a_name(ferry: Ferry, tar: Path) -> None:
    printed = ferry.text("import", tar)
    assert inspected(ferry, printed)["RepoTags"] == []


@pytest.mark.parametrize("compression", COMPRESS)
def test_compressed(ferry: Ferry, tmp_path: Path, compression: str) -> None:
    path = tmp_path / "rootfs"
    path.write_bytes(COMPRESS[compression](TAR))
    ferry("import", path, "a:1")
    ferry("import", "-", "b:1", input=path.read_bytes())
    for name in ("a:1", "b:1"):
        assert inspected(ferry, name)["RootFS"]["Layers"] == [sha256(TAR)]


def test_from_stdin(ferry: Ferry) -> None:
    ferry("import", "-", "base:1", input=TAR)
    assert inspected(ferry, "base:1")["Comment"] == "Imported from -"


def test_message_and_changes(ferry: Ferry, tar: Path) -> None:
    changes = ('CMD ["sh"]', "ENV A=1", "EXPOSE 80", "LABEL a=b", "USER me", "WORKDIR /w")
    flags = [word for change in changes for word in ("-c", change)]
    ferry("import", *flags, "-m", "by hand", tar, "base:1")
    found = inspected(ferry, "base:1")
    assert found["Comment"] == "by hand"
    config = found["Config"]
    assert (config["Cmd"], config["Env"], config["User"]) == (["sh"], ["A=1"], "me")
    assert (config["ExposedPorts"], config["Labels"]) == ({"80/tcp": {}}, {"a": "b"})
    assert config["WorkingDir"] == "/w"


def test_a_change_that_is_none(ferry: Ferry, tar: Path) -> None:
    done = ferry("import", "-c", "RUN true", tar, "base:1", check=False)
    assert done.returncode == 1
    assert done.stderr == b"Error: run is not a valid change command\n"
    assert ferry.text("images", "-q") == ""


def test_platform(ferry: Ferry, tar: Path) -> None:
    ferry("import", "--platform", "linux/s390x", tar, "base:1")
    assert inspected(ferry, "base:1")["Architecture"] == "s390x"


def test_config_from_an_image_and_from_files(ferry: Ferry, tar: Path, tmp_path: Path) -> None:
    ferry("import", "-c", 'CMD ["sh"]', "-c", "ENV A=1", tar, "one:1")
    (tmp_path / "inspect.json").write_bytes(ferry("inspect", "one:1").stdout)
    (tmp_path / "settings.json").write_text('{"Cmd": ["sh"], "Env": ["A=1"]}')
    (tmp_path / "image.json").write_text(
        '{"os": "linux", "config": {"Cmd": ["sh"], "Env": ["A=1"]}}'
    )
    files = [str(tmp_path / f"{name}.json") for name in ("inspect", "settings", "image")]
    for source in ("one:1", *files):
        ferry("import", "--config-from", source, "-c", "ENV B=2", tar, "two:1")
        config = inspected(ferry, "two:1")["Config"]
        assert (config["Cmd"], config["Env"]) == (["sh"], ["A=1", "B=2"])


def test_config_from_nothing(ferry: Ferry, tar: Path, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1, 2]")
    sources: tuple[tuple[str | Path, bytes], ...] = (
        ("missing:1", b"No such image: missing:1"),
        (tmp_path / "none.json", b"cannot read"),
        (tmp_path / "list.json", b"holds neither an image's config nor"),
    )
    for source, words in sources:
        done = ferry("import", "--config-from", source, tar, "x:1", check=False)
        assert (done.returncode, done.stdout) == (1, b"")
        assert words in done.stderr


def test_the_same_time_gives_the_same_image(
    ferry: Ferry, tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert ferry.text("import", tar) == ferry.text("import", tar)
    assert inspected(ferry, ferry.text("import", tar))["Created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("epoch", ["yesterday", "1e9", "9" * 12, "9" * 30, "-" + "9" * 20])
def test_no_time(ferry: Ferry, tar: Path, epoch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    done = ferry("import", tar, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == f'Error: SOURCE_DATE_EPOCH is not a time: "{epoch}"\n'


def test_what_is_no_text(ferry: Ferry, tmp_path: Path) -> None:
    """Names of files and words of the command line are bytes; JSON has U+FFFD for such."""
    path = tmp_path / "not\udcfftext.tar"
    path.write_bytes(TAR)
    ferry("import", path, "base:1")
    assert inspected(ferry, "base:1")["Comment"] == f"Imported from {tmp_path}/not\ufffdtext.tar"
    ferry("import", "-m", "a\udcff", "-c", "ENV A=\udcff", path, "base:1")
    found = inspected(ferry, "base:1")
    assert (found["Comment"], found["Config"]["Env"]) == ("a\ufffd", ["A=\ufffd"])


def test_stdin_is_called_so_in_errors(ferry: Ferry) -> None:
    done = ferry("import", "-", input=b"x" * 1000, check=False)
    assert done.stderr == b"Error: stdin is not a tar archive\n"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["/nowhere.tar"], 1, "Error: open /nowhere.tar: no such file or directory"),
        (["/tmp"], 1, "Error: /tmp is a folder: give a tar of it"),
        ([], 1, "ferry: 'ferry import' requires at least 1 argument"),
        (["/dev/null", "A B"], 1, "Error: invalid reference format"),
        (["/dev/null", f"a@sha256:{'0' * 64}"], 1, "Error: cannot import digest reference"),
    ],
)
def test_refusals(ferry: Ferry, args: list[str], code: int, words: str) -> None:
    done = ferry("import", *args, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(words)


def test_not_from_a_terminal(ferry: Ferry) -> None:
    ended = on_terminal(ferry.at(None), "import", "-")
    assert ended.code == 1
    assert "stdin is a terminal" in ended.text


class Served(http.server.BaseHTTPRequestHandler):
    """Answers with the tar, with less of it, or with nothing."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/rootfs.tar.gz")
            self.end_headers()
            return
        content = gzip.compress(TAR)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: 20 if self.path == "/short" else None])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_from_a_url(ferry: Ferry, url: str) -> None:
    for path in ("/rootfs.tar.gz", "/moved"):
        ferry("import", f"{url}{path}", "web:1")
        found = inspected(ferry, "web:1")
        assert found["RootFS"]["Layers"] == [sha256(TAR)]
        assert found["Comment"] == f"Imported from {url}{path}"


def test_a_urls_password_is_kept_to_oneself(ferry: Ferry, url: str) -> None:
    secret = url.replace("://", "://me:secret@")
    ferry("import", f"{secret}/rootfs.tar.gz", "web:1")
    assert inspected(ferry, "web:1")["Comment"] == f"Imported from {url}/rootfs.tar.gz"
    done = ferry("import", f"{secret}/missing", check=False)
    assert b"secret" not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["http://", "http://a..b/", "http://xn--/", f"http://{'a' * 300}/", "http://127.0.0.1:1/"],
)
def test_no_url(ferry: Ferry, url: str) -> None:
    done = ferry("import", url, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: cannot download {url}: ")


@pytest.mark.parametrize(
    ("path", "words"), [("/missing", "404 Not Found"), ("/short", "cannot download")]
)
def test_from_a_url_that_fails(ferry: Ferry, url: str, path: str, words: str) -> None:
    done = ferry("import", f"{url}{path}", "web:1", check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert f"{url}{path}" in line
    assert words in line
    assert ferry.text("images", "-q") == ""
