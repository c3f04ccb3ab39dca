"""Images as files: tar, compression, and the docker and OCI forms of an archive."""
