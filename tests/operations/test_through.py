"""Where images go on their way to many hosts."""

import pytest

from ferryman.errors import UsageError
from ferryman.operations.through import Through, place


def test_places() -> None:
    assert place("docker://reg:5000/a/") == Through("docker://reg:5000/a/", registry="reg:5000/a")
    assert place("s3://bucket/a/b/") == Through("s3://bucket/a/b/", bucket="bucket/a/b")
    assert place("s3://bucket") == Through("s3://bucket", bucket="bucket")


@pytest.mark.parametrize("text", ["", "s3://", "s3:///a", "docker://", "http://a", "bucket"])
def test_no_places(text: str) -> None:
    with pytest.raises(UsageError, match=r"it must be docker://REGISTRY.* or s3://BUCKET"):
        place(text)
