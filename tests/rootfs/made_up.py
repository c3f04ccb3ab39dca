"""Members of layers made up by chance: all that an honest layer may hold, in any order."""

import os

from hypothesis import strategies as st

from ferryman.archive import tar
from ferryman.rootfs import posix_acl
from tests.rootfs.layers import CAPABILITY, SPARSE_FORMS, Item, acl, item, sparse

ODD = st.sampled_from([b"!", b"-x", b"\xff\xfe", b"a b\n", b"x" * 255, b"a" * 83, b"a" * 84])
FEW = st.sampled_from([b"a", b"b", b"c"])  # so that they meet each other
NAMES = st.lists(st.one_of(FEW, FEW, FEW, ODD), min_size=1, max_size=3).map(b"/".join)
MARKS = st.sampled_from([b".wh.a", b".wh.b", b"a/.wh.b", b"a/.wh..wh..opq", b".wh..wh.plnk"])
TARGETS = st.one_of(
    NAMES,
    st.sampled_from([b"/", b"..", b"../a", b"/a/b", b"none", b"l" * 448, b"l" * 449, b"l" * 4095]),
)
MODES = st.sampled_from([0, 0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o7777])
IDS = st.sampled_from([0, 1000, 65535, 65536, (1 << 32) - 2])
TIMES = st.sampled_from([0, 1, -1, 999_999_999, 1_700_000_000_123_456_789, (1 << 33) * 10**9 + 5])
TYPES = (
    *(tar.FILE, tar.FOLDER) * 3,
    *(tar.HARDLINK, tar.SYMLINK, tar.CHARACTER, tar.BLOCK_DEVICE, tar.FIFO, tar.SPARSE),
)
PIECES = st.dictionaries(
    st.integers(0, 300).map(lambda n: n * 4096), st.sampled_from([512, 1536, 4096]), max_size=7
).map(lambda places: [(at, os.urandom(places[at])) for at in sorted(places)])
"""Of sparse files: whole blocks, as all writers have them."""
BYTES = st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(os.urandom))


@st.composite
def items(draw: st.DrawFn) -> Item:
    """Any member that the kernel takes as it is, wherever it may lead."""
    type = draw(st.sampled_from(TYPES))
    mode = draw(MODES)
    xattrs = draw(
        st.dictionaries(
            st.sampled_from([b"trusted.t", b"trusted.overlay.opaque", b"security.s", b"odd.name"]),
            st.binary(max_size=300),
            max_size=2,
        )
    )
    if type in (*tar.FILES, tar.FOLDER):
        if draw(st.integers(0, 5)) == 0:
            xattrs |= draw(st.fixed_dictionaries({b"user.u": st.binary(max_size=700)}))
        if draw(st.integers(0, 9)) == 0:
            xattrs[posix_acl.ACCESS] = acl(mode, draw(IDS))
    if type in tar.FILES and draw(st.integers(0, 9)) == 0:
        xattrs[b"security.capability"] = CAPABILITY
    if type == tar.FOLDER and draw(st.integers(0, 9)) == 0:
        xattrs[posix_acl.DEFAULT] = acl(mode, draw(IDS))
    owner = (draw(IDS), draw(IDS))
    if type == tar.SPARSE:
        pieces = draw(PIECES)
        ends = [at + len(piece) for at, piece in pieces]
        return sparse(
            draw(st.sampled_from(SPARSE_FORMS)),
            draw(NAMES),
            max(ends, default=0) + draw(st.sampled_from([0, 512, 1 << 20, (1 << 24) + 7])),
            pieces,
            xattrs=xattrs,
            mode=mode,
            owner=owner,
            mtime_ns=draw(TIMES.filter(lambda time: 0 <= time < 8**11 * 10**9)),
        )
    return item(
        draw(st.one_of(NAMES, NAMES, NAMES, MARKS, st.just(b"./")))
        if type == tar.FOLDER
        else draw(st.one_of(NAMES, NAMES, NAMES, MARKS)),
        type,
        draw(BYTES) if type == tar.FILE else b"",
        link=draw(TARGETS if type == tar.SYMLINK else st.one_of(FEW, NAMES))
        if type in (tar.SYMLINK, tar.HARDLINK)
        else b"",
        xattrs=xattrs,
        mode=mode,
        owner=owner,
        mtime_ns=draw(TIMES),
        device=draw(st.sampled_from([(0, 0), (1, 3), (4095, (1 << 20) - 1), (8, 300)]))
        if type in (tar.CHARACTER, tar.BLOCK_DEVICE)
        else (0, 0),
    )
