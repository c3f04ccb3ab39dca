"""What can go wrong, in the user's terms.

One hierarchy: every error that a user is meant to read derives from :class:`FerryError`, is one
line that names the file, image or host, and knows the exit code that docker would give.  Anything
else that escapes is a bug.
"""


class FerryError(Exception):
    """An error that a user reads: one line, and the exit code that docker would give."""

    exit_code = 1


class UsageError(FerryError):
    """The command line asks for something that makes no sense together (docker exits 1 here)."""


class InvalidFlag(UsageError):
    """The value of a flag that does not have the form it must have."""

    exit_code = 125


class InvalidReference(FerryError):
    """An image name, tag or digest that does not follow the reference grammar."""


class InvalidImage(FerryError):
    """A digest, descriptor, manifest, index or config that breaks the image specification."""


class InvalidArchive(FerryError):
    """An archive, or something within it, that cannot be read as a container image."""


class ImageNotFound(FerryError):
    """No image here answers to the name, ID or digest that was given."""


class RegistryError(FerryError):
    """What a registry, or the way to it, does not let us have; in docker's words."""


class Conflict(FerryError):
    """What was asked for would break what is there; docker asks for ``--force`` here."""


class StoreError(FerryError):
    """The store on disk is unreadable, unwritable, full, damaged or made by a newer version."""


class Interrupted(FerryError):
    """The user pressed Ctrl-C; all that was begun has been undone."""

    exit_code = 130
