"""The store: an OCI image layout on disk, plus what ferryman knows beyond it.

Two storeys.  Below, bytes by digest: `blobs`, and the `lease` that keeps them from the collector.
Above, their meaning: `index` (what has a name), `images` (what a name stands for), `layers` (what
a compressed layer unpacks to), `collect` and `check` (what may go, and what is wrong).
"""
