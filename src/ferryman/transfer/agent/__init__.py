"""What is sent to a host that has Python, as one zip: the standard library of 3.6 is enough.

``main`` is run there; it imports nothing of ferryman but ``delta.undo``, which goes along.
"""
