"""Archives that are encrypted and signed, by programs that others keep: age and minisign."""

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from ferryman.archive.stream import CHUNK, PipeStream, Stream
from ferryman.errors import FerryError, InvalidArchive, UsageError
from ferryman.operations.output import OutputError
from ferryman.runtime.programs import needed
from ferryman.store.durable import write_all

_MAX_WORDS = 64 << 10
SIGNATURE = ".minisig"


class BadSignature(FerryError):
    """A file is not what was signed, or not by whom it should have been."""


@contextmanager
def encrypting(fd: int, recipients: Sequence[str]) -> Iterator[int]:
    """Give a descriptor that encrypts to another one.

    A recipient is a public key of age's or ssh's, or the name of a file with such keys.  Raises
    OutputError with age's words, MissingProgram.
    """
    arguments = [needed("age", "age", "to encrypt")]
    for recipient in recipients:
        arguments += ["-R" if os.path.exists(recipient) else "-r", recipient]
    age = subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=fd, stderr=subprocess.PIPE, bufsize=0
    )
    assert age.stdin
    assert age.stderr
    whole = False
    try:
        with suppress(BrokenPipeError):  # age says why it has ended
            yield age.stdin.fileno()
            age.stdin.close()
            whole = True
        words = _words(age.stderr)
        if age.wait() or not whole:
            raise OutputError(f"cannot encrypt: {words}")
    finally:
        _end(age)


class Decrypted(Stream):
    """What age makes of an archive; its end is only reached when age says that all was well."""

    def __init__(self, age: subprocess.Popen[bytes], what: str) -> None:
        """Read what the program writes; `what` names the archive in errors."""
        super().__init__()
        assert age.stdout
        self._age = age
        self._pipe = PipeStream(age.stdout.fileno(), what)
        self._what = what

    def readinto(self, view: memoryview) -> int:
        """Fill (part of) the view, return how many bytes that was; 0 at the end."""
        n = self._pipe.readinto(view)
        self._at += n
        if not n and view:
            assert self._age.stderr
            words = _words(self._age.stderr) if self._age.returncode is None else ""
            if self._age.wait():
                raise InvalidArchive(f"cannot decrypt {self._what}: {words}")
        return n


@contextmanager
def decrypting(
    encrypted: int | Stream, identities: Sequence[str], what: str
) -> Iterator[Decrypted]:
    """Give the content of an archive that age has encrypted, for the keys of these files.

    What is read of it raises InvalidArchive, with age's words; MissingProgram.
    """
    arguments = [needed("age", "age", "to decrypt"), "--decrypt"]
    for identity in identities:
        arguments += ["-i", identity]
    age = subprocess.Popen(
        arguments,
        stdin=encrypted if isinstance(encrypted, int) else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    pump = None
    if isinstance(encrypted, Stream):
        assert age.stdin
        pump = threading.Thread(
            target=_pump, args=(encrypted, age.stdin), name="decrypting", daemon=True
        )
        pump.start()
    try:
        yield Decrypted(age, what)
    finally:
        age.kill()
        if pump:
            pump.join()  # what it writes to is not to be closed under its hands
        _end(age)


def _pump(stream: Stream, to: IO[bytes]) -> None:
    # What is wrong with the stream itself is found when that is settled: age sees that it ends.
    with suppress(BrokenPipeError, InvalidArchive, ValueError), to:
        while piece := stream.read(CHUNK):
            write_all(to.fileno(), piece)


def _words(stderr: IO[bytes]) -> str:
    """Return the first line of what age says; the others tell where to report it."""
    said = stderr.read(_MAX_WORDS).decode(errors="replace").splitlines()
    return said[0].removeprefix("age: error: ").removeprefix("age: ") if said else "age failed"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(OSError):
                stream.close()


def check_key(key: str) -> None:
    """Find out that nothing can be signed before there is something; raises UsageError."""
    needed("minisign", "minisign", "to sign")
    if not os.access(key, os.R_OK):
        raise UsageError(f"cannot read the key to sign with: {key}")


def sign(path: str, key: str) -> None:
    """Write the signature of a file beside it, with the secret key of minisign's in a file.

    It asks for the password of the key, if it has one.  Raises OutputError, MissingProgram.
    """
    aside = f"{path}{SIGNATURE}.part"
    comment = f"file:{os.path.basename(path)}"
    arguments = ["-S", "-s", key, "-m", path, "-x", aside, "-t", comment]
    done = subprocess.run(
        [needed("minisign", "minisign", "to sign"), *arguments],
        stdout=subprocess.DEVNULL,
        # Where somebody can be asked for a password, that is where they are asked.
        stderr=None if os.isatty(0) and os.isatty(2) else subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        with suppress(OSError):
            os.unlink(aside)
        said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        said = said or ["minisign failed"]
        raise OutputError(f"cannot sign {path}: {said[-1]}")
    os.rename(aside, path + SIGNATURE)


def check_signature(fd: int, path: str, key: str) -> None:
    """Check the signature of a file that is open, which lies beside it at ``PATH.minisig``.

    `key` is a public key of minisign's, or the name of a file with one.  Raises BadSignature,
    MissingProgram.
    """
    program = needed("minisign", "minisign", "to check a signature")
    if not os.path.isfile(path + SIGNATURE):
        raise BadSignature(f"{path} is not signed: there is no {path}{SIGNATURE}")
    # -H: what is not hashed before would have to be in memory as a whole.
    arguments = ["-V", "-H", "-p" if os.path.exists(key) else "-P", key]
    done = subprocess.run(
        [program, *arguments, "-m", f"/dev/fd/{fd}", "-x", path + SIGNATURE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[fd],
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines() or ["minisign failed"]
        raise BadSignature(
            f"the signature of {path} is not valid for the key {key}: {said[-1][:200]}"
        )


def check_signature_of(content: bytes, path: str, key: str) -> None:
    """Check the signature of what has been read of a file already; see `check_signature`."""
    fd = os.memfd_create("signed", os.MFD_CLOEXEC)
    try:
        write_all(fd, content)
        check_signature(fd, path, key)
    finally:
        os.close(fd)
