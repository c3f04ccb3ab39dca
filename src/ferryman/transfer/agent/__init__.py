"""What is sent to a host that has Python, as one zip: the standard library of 3.6 is enough.

``main`` is run there; nothing here imports anything of ferryman but its neighbours and
``delta.undo``, which goes along.  What this side knows too (``registry``), it imports from here.
"""
