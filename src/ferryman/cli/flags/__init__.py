"""The flags of ``docker run``: one module a kind, each reading texts as docker does."""
