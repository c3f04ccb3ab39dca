"""``ferry verify``: whole archives pass, damage is named, and nothing is written."""

import json
import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import archives
from tests.archives import FORMS, WHOLE, docker_25, packed, unpacked
from tests.cli.conftest import Ask
from tests.images import made, member, sha256, small, tar_of

LARGE = tar_of(member("large", random.Random(3).randbytes(400_000)))
ONE = made(LARGE, tar_of(member("s", b"s")), names=["quay.io/one/large:1"])
TWO = small("two", "quay.io/two/small:2")


def write(path: Path, parts: Mapping[str, bytes | archives.Link], compression: str = "none") -> str:
    path.write_bytes(packed(parts, compression))
    return str(path)


@pytest.mark.parametrize("form", FORMS)
def test_whole_ones(ask: Ask, tmp_path: Path, form: str) -> None:
    for compression in WHOLE:
        it = write(tmp_path / "it", FORMS[form](ONE, TWO), compression)
        answer = ask("verify", it)
        assert answer.code == 0, answer.err
        assert f"quay.io/one/large:1\t{ONE.id}\tlinux/" in answer.out
        assert f"quay.io/two/small:2\t{TWO.id}\t" in answer.out
        assert answer.out.splitlines()[-1] == f"Verified {it}"
        assert ask("verify", "--quiet", it) == (0, "", "")


def test_a_folder(ask: Ask, tmp_path: Path) -> None:
    it = unpacked(docker_25(ONE), tmp_path / "it")
    assert ask("verify", str(it)).code == 0
    blob = it / f"blobs/sha256/{sha256(LARGE)[7:]}"
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    assert "damaged" in ask("verify", str(it)).err


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("form", ["docker before 25", "docker 25", "buildkit", "oci zstd"])
def test_every_blob_is_looked_at(ask: Ask, tmp_path: Path, form: str, compression: str) -> None:
    parts = FORMS[form](ONE, TWO)
    for name, content in parts.items():
        # What has no digest by which it is known, and what is for docker before 1.10, is left out.
        plain = ("VERSION", "/json", "oci-layout", "repositories", "index.json", "manifest.json")
        if not isinstance(content, bytes) or name.endswith(plain):
            continue
        at = len(content) // 2
        spoiled = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        answer = ask("verify", write(tmp_path / "it", {**parts, name: spoiled}, compression))
        assert (answer.code, answer.out) == (1, ""), name
        assert answer.err.startswith(f"Error: {tmp_path}/it: ")
        assert answer.err.count("\n") == 1


def test_what_docker_reads_beside_the_layout(ask: Ask, tmp_path: Path) -> None:
    """``manifest.json`` leads to other layers than the layout: one of both is not the image's."""
    parts = docker_25(ONE)
    manifest = parts["manifest.json"]
    assert isinstance(manifest, bytes)
    at = f"blobs/sha256/{sha256(LARGE)[7:]}".encode()
    parts["other.tar"] = tar_of(member("other", b"o"))
    parts["manifest.json"] = manifest.replace(at, b"other.tar")
    answer = ask("verify", write(tmp_path / "it", parts))
    assert answer.code == 1
    assert "invalid diffID for layer other.tar" in answer.err


def test_missing_layers_are_damage_unless_it_is_a_delta(ask: Ask, tmp_path: Path) -> None:
    parts = docker_25(ONE)
    del parts[f"blobs/sha256/{sha256(LARGE)[7:]}"]
    answer = ask("verify", write(tmp_path / "it", parts))
    assert answer.err == f"Error: {tmp_path}/it: layer {sha256(LARGE)} is missing\n"
    base = made(LARGE, names=["base:1"])
    ask("load", "-i", write(tmp_path / "in", docker_25(ONE, base)))
    delta = str(tmp_path / "delta.tar")
    assert ask("save", "--base", "base:1", "-o", delta, "quay.io/one/large:1").code == 0
    answer = ask("verify", delta)
    assert answer.code == 0
    assert answer.out.splitlines()[0].endswith("2 layers, 1 not in it")
    assert answer.out.splitlines()[1] == f"Verified {delta}, on top of base:1 ({base.id})"


def test_volumes(ask: Ask, tmp_path: Path) -> None:
    ask("load", "-i", write(tmp_path / "in", docker_25(ONE)))
    out = tmp_path / "out.tar"
    ask("save", "--split", "100k", "-o", str(out), "quay.io/one/large:1")
    volumes = sorted(map(str, tmp_path.glob("out.tar.0*")))
    for way in ([f"{out}.sha256"], volumes, [*volumes, f"{out}.sha256"], volumes[:1]):
        answer = ask("verify", *way)
        assert (answer.code, answer.out.splitlines()[-1]) == (0, f"Verified {out}")
    Path(volumes[2]).write_bytes(b"x")
    answer = ask("verify", volumes[0])
    assert answer.err == f"Error: {out}: volume 3 is damaged: not what the list says\n"


def test_several_archives_stop_at_the_first_damage(ask: Ask, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole", docker_25(TWO))
    (tmp_path / "none").write_bytes(b"nothing")
    answer = ask("verify", whole, str(tmp_path / "none"), whole)
    assert answer.code == 1
    assert answer.out.count("Verified") == 1
    assert answer.err.startswith(f"Error: {tmp_path}/none is not a tar archive")


def test_no_store_is_made(ask: Ask, tmp_path: Path) -> None:
    ask("verify", write(tmp_path / "it", docker_25(ONE), "gzip"), root=tmp_path / "unmade")
    assert not (tmp_path / "unmade").exists()


@pytest.fixture
def signed(ask: Ask, tmp_path: Path) -> Path:
    """A folder with keys and a store that has an image, for what comes next."""
    for program in ("minisign", "age", "age-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for name in ("key", "other"):
        files = ("-p", tmp_path / f"{name}.pub", "-s", tmp_path / f"{name}.sec")
        subprocess.run(["minisign", "-G", "-W", *files], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["age-keygen", "-o", tmp_path / f"{name}.age"], check=True, stderr=subprocess.DEVNULL
        )
    ask("load", "-i", write(tmp_path / "in", docker_25(ONE)))
    return tmp_path


def recipient(folder: Path, name: str) -> str:
    done = subprocess.run(
        ["age-keygen", "-y", folder / f"{name}.age"], check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().strip()


NAME = "quay.io/one/large:1"


def test_a_signature(ask: Ask, signed: Path) -> None:
    it = str(signed / "it.tar")
    assert ask("save", "--sign", str(signed / "key.sec"), "-o", it, NAME).code == 0
    subprocess.run(
        ["minisign", "-V", "-p", signed / "key.pub", "-m", it],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    key, other = str(signed / "key.pub"), str(signed / "other.pub")
    assert ask("verify", "--verify", key, it).code == 0
    public = (signed / "key.pub").read_text().splitlines()[1]
    new = signed / "new"
    assert ask("load", "--verify", public, "-i", it, root=new).code == 0
    ask("rmi", NAME, root=new)

    def refused(says: str, key: str = key) -> None:
        answer = ask("load", "--verify", key, "-i", it, root=new)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.count("\n") == 1
        assert says in answer.err
        assert ask("images", "-aq", root=new).out == ""
        assert says in ask("verify", "--verify", key, it).err

    refused("not valid for the key", other)
    refused("not valid", "no key")
    content = Path(it).read_bytes()
    Path(it).write_bytes(content + b"\0")
    refused("not valid")
    Path(it).write_bytes(content)
    Path(f"{it}.minisig").write_bytes(b"no signature")
    refused("not valid")
    Path(f"{it}.minisig").unlink()
    refused("is not signed")


def test_a_signature_of_volumes(ask: Ask, signed: Path) -> None:
    it, key = str(signed / "it.tar"), str(signed / "key.pub")
    ask("save", "--sign", str(signed / "key.sec"), "--split", "100k", "-o", it, NAME)
    assert Path(f"{it}.sha256.minisig").exists()
    assert ask("load", "--verify", key, "-i", f"{it}.002", root=signed / "new").code == 0
    listed = Path(f"{it}.sha256").read_text()
    Path(f"{it}.sha256").write_text("# changed\n" + listed)
    assert "not valid" in ask("verify", "--verify", key, f"{it}.001").err
    Path(f"{it}.sha256").unlink()
    volumes = sorted(map(str, signed.glob("it.tar.0*")))
    assert "is not signed" in ask("verify", "--verify", key, *volumes).err


def test_a_signature_of_an_inventory(ask: Ask, signed: Path) -> None:
    it = str(signed / "site.json")
    assert ask("inventory", "--sign", str(signed / "key.sec"), "-o", it).code == 0
    check: list[str | Path] = ["minisign", "-V", "-p", signed / "key.pub", "-m", it]
    subprocess.run(check, check=True, stdout=subprocess.DEVNULL)


def test_names_of_strangers_do_not_reach_the_terminal(ask: Ask, tmp_path: Path) -> None:
    parts = docker_25(ONE)
    bases = json.dumps([{"id": ONE.id, "names": ["a\x1b[31m", "fine:1"]}])
    said = parts["index.json"]
    assert isinstance(said, bytes)
    annotations = json.dumps({"annotations": {"ferryman.bases": bases}})
    parts["index.json"] = annotations[:-1].encode() + b"," + said[1:]
    answer = ask("verify", write(tmp_path / "it", parts))
    assert answer.out.splitlines()[-1] == f"Verified {tmp_path}/it, on top of fine:1 ({ONE.id})"


def test_what_cannot_be_signed(ask: Ask, signed: Path) -> None:
    it = str(signed / "it.tar")
    answer = ask("save", "--sign", str(signed / "none"), "-o", it, NAME)
    assert answer.err == f"Error: cannot read the key to sign with: {signed}/none\n"
    assert not Path(it).exists()
    assert "-o flag" in ask("save", "--sign", str(signed / "key.sec"), NAME).err


@pytest.mark.parametrize("how", [[], ["--compress", "zstd"], ["--split", "100k"]])
def test_encrypted(ask: Ask, signed: Path, how: list[str]) -> None:
    it = str(signed / "it.tar")
    (signed / "file").write_text(recipient(signed, "other") + "\n")
    keys = ["--encrypt", recipient(signed, "key"), "--encrypt", str(signed / "file")]
    assert ask("save", *how, *keys, "-o", it, NAME).code == 0
    given = f"{it}.sha256" if how[:1] == ["--split"] else it
    for name in ("key", "other"):
        identity = ["--identity", str(signed / f"{name}.age")]
        assert ask("verify", *identity, given).out.splitlines()[-1] == f"Verified {it}"
        assert ask("load", *identity, "-i", given, root=signed / name).out == (
            f"Loaded image: {NAME}\n"
        )
    new = signed / "new"
    answer = ask("load", "-i", given, root=new)
    assert answer.err == (
        f"Error: {it} is encrypted with age: name the key for it by --identity FILE\n"
    )
    subprocess.run(
        ["age-keygen", "-o", signed / "wrong.age"], check=True, stderr=subprocess.DEVNULL
    )
    answer = ask("load", "--identity", str(signed / "wrong.age"), "-i", given, root=new)
    assert answer.err.startswith(f"Error: cannot decrypt {it}: no identity matched")
    answer = ask("load", "--identity", str(signed / "nowhere"), "-i", given, root=new)
    assert answer.err.startswith(f"Error: cannot decrypt {it}: ")
    damaged = Path(it + ".002" if how[:1] == ["--split"] else it)
    content = damaged.read_bytes()
    for spoiled in (content[:-20], content[:-20] + b"\0" * 20):
        damaged.write_bytes(spoiled)
        answer = ask("load", "--identity", str(signed / "key.age"), "-i", given, root=new)
        assert answer.code == 1
        assert answer.err.count("\n") == 1
        if how[:1] == ["--split"]:
            assert "volume 2 is damaged" in answer.err
        assert ask("images", "-aq", root=new).out == ""


def test_a_recipient_that_is_none(ask: Ask, signed: Path) -> None:
    it = signed / "it.tar"
    answer = ask("save", "--encrypt", "nobody", "-o", str(it), NAME)
    assert answer.code == 1
    assert answer.err.startswith("Error: cannot encrypt: unknown recipient type")
    assert answer.err.count("\n") == 1
    assert not it.exists()
    assert not list(signed.glob("*.part"))
