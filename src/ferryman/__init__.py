"""ferryman: saving, moving and running container images without a daemon."""

__version__ = "0.1.0"
