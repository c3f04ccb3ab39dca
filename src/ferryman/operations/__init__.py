"""The use cases, one module a verb: typed, without printing, progress by a callback.

Whatever the command line can do, a Python program can do with a call into here.
"""
