"""Registries: the OCI distribution specification 1.1, and who one is there.

Lowest, bytes on the wire: `wire` (HTTP on connections that are kept), with `url`, `proxy`,
`patience` and `limits` (time-outs), `broken`.  On that, `session`: who asks, asking again,
redirects; with `hosts` (where a registry is to be found), `challenge`, `tokens`, `credentials`,
`failure`.  Above, what a repository holds: `repository`, `manifests`, `download`, `upload`,
`referrers`.
Nothing here knows the store.
"""
