"""Registries: the OCI distribution specification 1.1, and who one is there.

Below, bytes on the wire: `wire` (connections, time-outs), `session` (who asks, trying again,
redirects), with `challenge`, `tokens`, `credentials` and `hosts` (where a registry is to be found).
Above, what a repository holds: `manifests`, `download`, `upload`, `referrers`, `repository`.
Nothing here knows the store.
"""
