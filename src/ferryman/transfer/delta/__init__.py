"""Layers as differences against others that the far side has: docs/delta-format.md.

``sketch.nearest`` chooses the bases, ``encode.encode`` writes a delta, ``apply.apply`` undoes one.
``undo`` does that too, where there is nothing but Python: it is a file that can be sent along.
"""
