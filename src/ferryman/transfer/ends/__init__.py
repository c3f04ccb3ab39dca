"""Ends: where images come from and where they go to, one module for each transport.

`contract` says what a source and a destination are; nobody but `operations.copy` knows them all.
"""
