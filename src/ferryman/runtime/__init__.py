"""Containers: their records, what an OCI runtime is given, the monitor, networks, logs."""
