"""Access control lists as the kernel has them in extended attributes (acl(5))."""

import struct

ACCESS = b"system.posix_acl_access"
DEFAULT = b"system.posix_acl_default"

_HEAD = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_NOBODY = (1 << 32) - 1


def plain(name: bytes, value: bytes, mode: int, *, folder: bool) -> bool:
    """Tell whether a file that is given this list has it afterwards, and still has its mode.

    `name` is `ACCESS` or `DEFAULT`.
    """
    if not value.startswith(_HEAD) or len(value) % _ENTRY.size != len(_HEAD):
        return False
    entries = list(_ENTRY.iter_unpack(value[len(_HEAD) :]))
    tags = [tag for tag, _, _ in entries]
    single = {tag: permissions for tag, permissions, _ in entries if tag not in (_USER, _GROUP)}
    if not single.keys() >= {_OWNER, _OWNING_GROUP, _OTHER} or tags != sorted(tags):
        return False
    if len(single) + tags.count(_USER) + tags.count(_GROUP) != len(tags):
        return False
    if single.keys() - {_OWNER, _OWNING_GROUP, _MASK, _OTHER}:
        return False
    for tag, permissions, id in entries:
        if permissions > 7 or (id == _NOBODY) == (tag in (_USER, _GROUP)):
            return False
    named = len(tags) > len(single)
    if named and _MASK not in single:
        return False
    if name == DEFAULT:
        return folder
    # One that says no more than the mode does is not kept.
    if len(tags) == 3:
        return False
    group = single.get(_MASK, single[_OWNING_GROUP])
    return bool(mode & 0o777 == single[_OWNER] << 6 | group << 3 | single[_OTHER])
