import pytest

from ferryman.runtime.security import Security, parsed, profile
from ferryman.runtime.settings import InvalidSettings

PROFILE = '{"defaultAction": "SCMP_ACT_ALLOW"}'


@pytest.mark.parametrize(
    ("option", "want"),
    [
        ("no-new-privileges", Security(no_new_privileges=True)),
        ("no-new-privileges=true", Security(no_new_privileges=True)),
        ("no-new-privileges:true", Security(no_new_privileges=True)),
        ("no-new-privileges=0", Security()),
        ("seccomp=unconfined", Security(seccomp="unconfined")),
        ("seccomp:unconfined", Security(seccomp="unconfined")),
        (f"seccomp={PROFILE}", Security(seccomp=PROFILE)),
        ("apparmor=mine", Security(apparmor="mine")),
        ("systempaths=unconfined", Security(paths_unmasked=True)),
        ("writable-cgroups", Security(writable_cgroups=True)),
        ("writable-cgroups=false", Security(writable_cgroups=False)),
        ("label=disable", Security()),
        ("label:type:svirt_t", Security()),
        ("disable", Security()),
    ],
)
def test_options(option: str, want: Security) -> None:
    assert parsed([option]) == want


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("foo", 'invalid --security-opt 1: "foo"'),
        ("", 'invalid --security-opt 1: ""'),
        ("foo=bar", 'invalid --security-opt 2: "foo=bar"'),
        ("no-new-privileges=perhaps", 'invalid --security-opt 2: "no-new-privileges=perhaps"'),
        ("systempaths=foo", 'invalid --security-opt 2: "systempaths=foo"'),
    ],
)
def test_refused(option: str, words: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        parsed([option])
    assert str(raised.value) == words


def test_the_last_one_counts() -> None:
    options = ["seccomp=unconfined", "no-new-privileges", "seccomp=builtin", "apparmor=a"]
    assert parsed(options) == Security("builtin", "a", no_new_privileges=True)


@pytest.mark.parametrize(
    ("seccomp", "privileged", "action"),
    [
        ("", False, "SCMP_ACT_ERRNO"),
        ("builtin", False, "SCMP_ACT_ERRNO"),
        ("builtin", True, "SCMP_ACT_ERRNO"),
        ("", True, None),
        ("unconfined", False, None),
        ("unconfined", True, None),
        (PROFILE, False, "SCMP_ACT_ALLOW"),
        (PROFILE, True, "SCMP_ACT_ALLOW"),
    ],
)
def test_profile(seccomp: str, privileged: bool, action: str | None) -> None:
    found = profile(Security(seccomp), set(), privileged=privileged)
    assert (found and found["defaultAction"]) == action
