"""``python -m benchmarks`` is ``python benchmarks/run.py``."""

import sys

from benchmarks.measure import Failed
from benchmarks.run import main

try:
    sys.exit(main())
except Failed as e:
    sys.exit(f"failed: {e}")
