"""``python -m ferryman`` is ``ferry``."""

from ferryman.cli.main import run

run()
