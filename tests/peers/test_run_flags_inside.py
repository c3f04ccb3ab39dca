"""Each flag of ``run``, seen from inside the container: with ferry as with docker.

A case is flags and a command; what the command prints, and its exit code, must be the same.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ferryman.runtime import capabilities, cgroups
from tests.command import Command
from tests.ferry import Ferry
from tests.runtime.box import busybox_tree

pytestmark = [pytest.mark.peer, pytest.mark.slow]

IMAGE = "ferry-test/inside:1"


class Case(NamedTuple):
    """Flags, a script for the shell inside, and what it must at least print.

    FOLDER in the flags is a folder of the host with ``file`` and ``profile`` in it.
    """

    flags: str
    script: str
    prints: str = ""

    @property
    def words(self) -> list[str]:
        """The flags; a plus stands for a blank within a word."""
        return [word.replace("+", " ") for word in self.flags.split()]

    @property
    def privileged(self) -> bool:
        return "--privileged" in self.flags


def limit(version_1: str, version_2: str) -> str:
    """Return a script that prints files of the container's control group, of either version."""
    files = version_2 if cgroups.mode() == "v2" else version_1
    return f"cd /sys/fs/cgroup && cat {files}"


def version_1(text: str) -> str:
    """Return what the files of that version have in them; of the other it is not foretold."""
    return "" if cgroups.mode() == "v2" else text


STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"
LIMITS = "grep -E 'open files|core file' /proc/self/limits"
MEMORY = limit(
    "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes", "memory.max memory.swap.max"
)
CPU = limit("cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us cpu/cpu.shares", "cpu.max cpu.weight")
PIDS = limit("pids/pids.max", "pids.max")


def mounts(*points: str) -> str:
    """Return a script that prints what is mounted at some places, and how."""
    return f"grep -E ' ({'|'.join(points)}) ' /proc/mounts | sort"


CASES = [
    # Without any
    Case("", STATUS, "CapBnd:\t00000000a80425fb"),
    Case(
        "", mounts("/proc", "/dev", "/dev/pts", "/sys", "/dev/shm", "/dev/mqueue"), "shm /dev/shm"
    ),
    Case("", "ls -l /dev | cut -c1-10,57- | sort"),
    Case("", "id; echo $HOME; pwd; cat /proc/self/oom_score_adj", "uid=0"),
    Case(
        "", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range"
    ),
    Case("", "readlink /proc/self/fd/0; ls -l /proc/self/fd | wc -l"),
    Case("", "touch /proc/sys/kernel/msgmax; echo 1 > /proc/sysrq-trigger", ""),
    Case("", "cat /proc/kcore | wc -c; cat /proc/keys; ls /sys/firmware /proc/acpi"),
    Case("", "mount -t tmpfs x /tmp; unshare -m true; chroot / true; echo $?"),
    Case("", "ls -ld /dev/shm /dev/mqueue /etc /tmp | cut -c1-10"),
    Case("", "exit 7"),
    # What runs
    Case("-h box", "hostname; echo $HOSTNAME", "box\nbox"),
    Case("-h box --domainname example", "cat /proc/sys/kernel/domainname", "example"),
    Case("-h box -e A=1 -e B= -e PATH=/bin:/x", "env | sort", "A=1"),
    Case("-h box --env-file FOLDER/vars -e A=3", "env | sort", "B=two words"),
    Case("-h box -e ZONE", "env | sort"),
    Case("-h box -t", "tty; env | sort; test -t 0 && test -t 1 && echo yes", "TERM=xterm"),
    Case("-w /new/folder", "pwd; stat -c %a:%u /new /new/folder", "/new/folder"),
    Case("-w /etc", "pwd", "/etc"),
    Case("-w /home/ann/deep -u ann", "pwd; stat -c %u:%g .", "/home/ann/deep\n0:0"),
    Case("--entrypoint /bin/echo", "x", "-c x"),
    Case("--init", "tr '\\0' ' ' < /proc/1/cmdline", "/sbin/docker-init -- sh"),
    # Who
    Case("-u ann", f"id; echo $HOME; {STATUS}", "uid=1000(ann) gid=1001(ann) groups=50(sailors)"),
    Case("-u 1000", "id; echo $HOME", "uid=1000(ann)"),
    Case("-u ann:sailors", "id; grep Groups /proc/self/status", "gid=50(sailors)"),
    Case("-u 5:6", "id; echo $HOME; grep Groups /proc/self/status", "uid=5 gid=6"),
    Case("-u 5", "id; echo $HOME"),
    Case("--group-add 7 --group-add sailors", "grep Groups /proc/self/status"),
    Case("-u nobody-here", "true"),
    Case("-u ann:nobodies", "true"),
    # Powers
    Case(
        # AppArmor would have a say in it, where docker has it.
        "--cap-add SYS_ADMIN --security-opt apparmor=unconfined",
        f"{STATUS}; mount -t tmpfs x /tmp && echo yes",
        "yes",
    ),
    Case("--cap-add net_admin --cap-drop CAP_CHOWN", STATUS),
    Case("--cap-drop all", f"{STATUS}; chown 1 /etc/notes", "CapBnd:\t0000000000000000"),
    Case("--cap-drop all --cap-add chown", STATUS, "CapBnd:\t0000000000000001"),
    Case("--cap-add all --cap-drop mknod -u ann", STATUS.replace("Cap", "CapEff|CapPrm|CapInh")),
    Case("--privileged", "grep -E '^(Seccomp:|NoNew)' /proc/self/status"),
    Case("--privileged", mounts("/sys", "/sys/fs/cgroup/pids", "/proc/sys", "/proc/kcore")),
    Case(
        "--privileged", "ls /dev/loop-control /dev/null; mount -t tmpfs x /tmp && echo yes", "yes"
    ),
    Case("--security-opt no-new-privileges", STATUS, "NoNewPrivs:\t1"),
    Case(
        "--security-opt seccomp=unconfined", f"{STATUS}; unshare -U true && echo yes", "Seccomp:\t0"
    ),
    Case("--security-opt seccomp=FOLDER/profile", f"{STATUS}; mkdir /new", "Seccomp:\t2"),
    Case("--security-opt systempaths=unconfined", mounts("/proc/kcore", "/proc/sys", "/proc/acpi")),
    Case("--device /dev/null:/dev/x:r", "ls -l /dev/x | cut -c1-10; cat /dev/x && echo a > /dev/x"),
    Case("--device FOLDER/file:/dev/x", "true"),
    Case("--runtime nonsense", "true"),
    Case("-v name:relative", "true"),
    Case("--mount type=bind,src=/nowhere,dst=/x", "true"),
    Case("--security-opt foo=bar", "true"),
    Case("--restart on-failure:-1", "true"),
    Case("--device /dev/loop-control", "ls -l /dev/loop-control | cut -c1-10"),
    Case("--device-cgroup-rule=c+1:*+rwm", "cat /sys/fs/cgroup/devices/devices.list | tail -1"),
    Case("", "cat /sys/fs/cgroup/devices/devices.list | sort -u | grep -v -e '5:2 ' -e '136:'"),
    # Files
    Case("-v FOLDER:/x", f"cat /x/file; touch /x/new && echo yes; {mounts('/x')}", "inside\nyes"),
    Case("-v FOLDER:/x:ro", f"cat /x/file; touch /x/new; {mounts('/x')}", "inside"),
    Case("-v FOLDER/file:/etc/notes", "cat /etc/notes", "inside"),
    Case("-v FOLDER/file:/etc/hosts:ro", "cat /etc/hosts", "inside"),
    Case("-v /etc", "ls /etc | sort; stat -c %a /etc"),
    Case("-v /new", "stat -c %a:%u /new; touch /new/x && ls /new", "x"),
    Case("--mount type=bind,src=FOLDER,dst=/x,ro", f"ls /x | sort; touch /x/y; {mounts('/x')}"),
    Case(
        "--mount type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=0700", f"{mounts('/x')}; stat -c %a /x"
    ),
    Case("--mount type=tmpfs,dst=/x", f"{mounts('/x')}; stat -c %a /x"),
    Case("--mount type=volume,dst=/etc,volume-nocopy", "ls /etc | sort"),
    Case("--tmpfs /x", f"{mounts('/x')}; stat -c %a /x", "tmpfs /x tmpfs"),
    Case("--tmpfs /tmp:exec,size=1m,mode=1770,uid=5", f"{mounts('/tmp')}; stat -c %a:%u /tmp"),
    Case("--tmpfs /x:ro", "touch /x/y"),
    Case("--tmpfs /x:foo", "true"),
    Case("--read-only", "touch /x; touch /dev/x && touch /dev/shm/y && echo yes; touch /etc/hosts"),
    Case("--read-only --tmpfs /run", "touch /run/x && echo yes; touch /etc/x", "yes"),
    Case("--shm-size 1m", mounts("/dev/shm"), "size=1024k"),
    Case("--ipc none", "ls /dev/shm; " + mounts("/dev/shm")),
    # Limits
    Case("-m 64m", MEMORY, version_1("67108864\n134217728")),
    Case("-m 64m --memory-swap 64m", MEMORY, version_1("67108864\n67108864")),
    Case("-m 64m --memory-swap -1", MEMORY),
    Case("--memory-reservation 32m", limit("memory/memory.soft_limit_in_bytes", "memory.low")),
    Case("-m 64m --memory-swappiness 7", limit("memory/memory.swappiness", "memory.max")),
    Case("-m 64m --oom-kill-disable", limit("memory/memory.oom_control", "memory.max")),
    Case("--cpus 1.5 -c 300", CPU, version_1("100000\n150000\n300")),
    Case("--cpu-period 50000 --cpu-quota 10000", CPU, version_1("50000\n10000")),
    Case("--cpuset-cpus 0", limit("cpuset/cpuset.cpus", "cpuset.cpus") + "; nproc", "0\n1"),
    Case("--pids-limit 33", PIDS, "33"),
    Case("--pids-limit -1", PIDS, "max"),
    Case("--oom-score-adj 321", "cat /proc/self/oom_score_adj", "321"),
    Case("--ulimit nofile=100:200 --ulimit core=0", LIMITS, "100"),
    Case(
        "--sysctl net.ipv4.ip_unprivileged_port_start=99",
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    ),
    Case("--sysctl kernel.msgmax=4096", "cat /proc/sys/kernel/msgmax", "4096"),
    Case("-m 1m", "true"),
    Case("--cpus 1000", "true"),
    # Namespaces of the host
    Case("--pid host", "readlink /proc/self/ns/pid", "pid:["),
    Case("--ipc host", "readlink /proc/self/ns/ipc; stat -c %d /dev/shm", "ipc:["),
    Case("--uts host", "readlink /proc/self/ns/uts; hostname", "uts:["),
    Case("--network host", "readlink /proc/self/ns/net; hostname", "net:["),
    Case("--cgroupns host", "readlink /proc/self/ns/cgroup", "cgroup:["),
    Case("--cgroupns private", "cat /proc/self/cgroup | grep -E 'pids|^0'", ":/\n"),
    Case("--uts host --hostname x", "true"),
    # Names and addresses
    Case("--add-host a:1.2.3.4 --add-host b:::1", "grep -E '^(1.2.3.4|::1).*[ab]$' /etc/hosts"),
    Case(
        "--dns 1.2.3.4 --dns-search a.b --dns-option ndots:2",
        "grep -v '^#' /etc/resolv.conf | sort",
    ),
    Case("-h box --domainname example", "hostname -f"),
]


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    folder = tmp_path_factory.mktemp("inside")
    tree = busybox_tree(folder / "tree")
    made = folder / "tree.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", tree, "-cf", made, "."], check=True)
    return made


@pytest.fixture(scope="module")
def ferry(tmp_path_factory: pytest.TempPathFactory, tar: Path) -> Iterator[Command]:
    """``ferry`` on a store with the image."""
    made = Ferry(tmp_path_factory.mktemp("store") / "root")
    made("import", "--change", 'CMD ["sh"]', tar, IMAGE)
    yield made.at(None)
    if left := made.text("ps", "--all", "--quiet").split():
        made("rm", "--force", "--volumes", *left)


@pytest.fixture(scope="module")
def docker(dockerd: Command, tar: Path) -> Iterator[Command]:
    """docker with the same image."""
    dockerd.run("import", "--change", 'CMD ["sh"]', tar, IMAGE)
    yield dockerd
    dockerd.run("rmi", "--force", IMAGE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What FOLDER stands for."""
    (tmp_path / "file").write_text("inside\n")
    (tmp_path / "vars").write_text("A=1\nB=two words\n")
    (tmp_path / "profile").write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
        '[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]}'
    )
    return tmp_path


class Seen(NamedTuple):
    """What came of a container."""

    said: str
    code: int


def seen(engine: Command, case: Case, folder: Path, *more: str) -> Seen:
    flags = [word.replace("FOLDER", str(folder)) for word in case.words]
    if "--network" not in case.flags:
        flags += ["--network", "none"]
    done = engine.run(
        "run", "--rm", *more, *flags, IMAGE, "sh", "-c", f"{case.script} 2>&1", check=False
    )
    # What the engine itself says of a mistake has words of its own.
    return Seen(done.stdout.decode(), done.returncode)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.flags} {case.script}"[:90])
def test_inside(case: Case, ferry: Command, docker: Command, folder: Path) -> None:
    ours = seen(ferry, case, folder)
    (folder / "new").unlink(missing_ok=True)
    assert case.prints in ours.said
    if case.privileged and "CAP_SYS_RESOURCE" not in capabilities.held():
        # docker gives what it has not got itself, and fails.
        return
    assert ours == seen(docker, case, folder)


# What is inside of it is not docker's: every device, and the powers that ferry has itself.
def test_privileged(ferry: Command, folder: Path) -> None:
    case = Case("--privileged", "grep CapBnd /proc/self/status; ls /dev")
    said = seen(ferry, case, folder).said
    assert f"CapBnd:\t{capabilities.mask(capabilities.held()):016x}" in said
    assert {path.name for path in Path("/dev").iterdir() if path.is_char_device()} - {
        "console"
    } <= set(said.split())


@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("flags", ["", "--cap-drop all -u ann", "--privileged"])
def test_both_runtimes_give_the_same(
    runtime: str, flags: str, ferry: Command, folder: Path
) -> None:
    case = Case(flags, f"{STATUS}; id; pwd; env | grep -v HOSTNAME | sort; ls -l /dev/zero")
    if shutil.which(runtime) is None:
        pytest.skip(f"{runtime} is not installed")
    usual = seen(ferry, case, folder)
    assert usual.said.startswith("CapInh:")
    assert seen(ferry, case, folder, "--runtime", runtime) == usual


# Calls that cannot succeed as they are made here, and why they fail: seccomp gives EPERM or, for
# clone3, ENOSYS; what it lets through fails for what is wrong with the call.
PROBE = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
for line in sys.argv[1:]:
    name, *words = line.split(",")
    numbers = [ctypes.c_ulong(int(word, 0) & 2**64 - 1) for word in words]
    ctypes.set_errno(0)
    libc.syscall(*numbers)
    print(name, errno.errorcode.get(ctypes.get_errno(), "0"))
"""
NEW_USER = 0x10000000
CALLS = {
    "mount": (165, 0, 0, 0, 0, 0, "EPERM"),
    "umount2": (166, 0, 0, "EPERM"),
    "pivot_root": (155, 0, 0, "EPERM"),
    "swapon": (167, 0, 0, "EPERM"),
    "reboot": (169, 0, 0, 0, 0, "EPERM"),
    "sethostname": (170, 0, -1, "EPERM"),
    "init_module": (175, 0, 0, 0, "EPERM"),
    "finit_module": (313, -1, 0, 0, "EPERM"),
    "kexec_load": (246, 0, 0, 0, -1, "EPERM"),
    "acct": (163, 1, "EPERM"),
    "iopl": (172, 99, "EPERM"),
    "keyctl": (250, -1, 0, 0, 0, 0, "EPERM"),
    "add_key": (248, 0, 0, 0, 0, 0, "EPERM"),
    "unshare": (272, NEW_USER | 0x100, "EPERM"),
    "unshare of nothing": (272, 0, "EPERM"),
    "setns": (308, -1, 0, "EPERM"),
    "clone": (56, NEW_USER | 0x200, 0, 0, 0, 0, "EPERM"),
    "clone of nothing new": (56, 0x10000, 0, 0, 0, 0, "EINVAL"),
    "clone3": (435, 0, 0, "ENOSYS"),
    "bpf": (321, -1, 0, 0, "EPERM"),
    "perf_event_open": (298, 0, 0, 0, -1, 0, "EPERM"),
    "userfaultfd": (323, -1, "EPERM"),
    "open_by_handle_at": (304, -1, 0, 0, "EPERM"),
    "kcmp": (312, -1, -1, 0, 0, 0, "EPERM"),
    "pidfd_getfd": (438, -1, -1, 0, "EPERM"),
    "process_madvise": (440, -1, 0, 0, 0, 0, "EPERM"),
    "get_mempolicy": (239, 0, 0, 0, 0, -1, "EPERM"),
    "move_pages": (279, -1, 0, 0, 0, 0, -1, "EPERM"),
    "syslog": (103, -1, 0, 0, "EPERM"),
    "vhangup": (153, "EPERM"),
    "settimeofday": (164, 1, 1, "EPERM"),
    "fsopen": (430, 0, 0, "EPERM"),
    "open_tree": (428, -1, 0, -1, "EPERM"),
    "personality of a kind": (135, 0x40000, "EPERM"),
    "personality": (135, 0xFFFFFFFF, "0"),
    "ptrace": (101, -1, 0, 0, 0, "ESRCH"),
    "chroot": (161, 0, "EFAULT"),
    "arch_prctl": (158, -1, 0, "EINVAL"),
    "openat2": (437, -1, 0, 0, 0, "EINVAL"),
    "faccessat2": (439, -1, 0, -1, -1, "EINVAL"),
    "close_range": (436, -1, 0, -1, "EINVAL"),
    "landlock_create_ruleset": (444, 0, 0, 0xFF, "EINVAL"),
    "socket": (41, 1, 99, 0, "EINVAL"),
    "read": (0, -1, 0, 0, "EBADF"),
}
# docker 20.10 did otherwise.
NEWER = {
    "socket of a virtual machine": (41, 40, 99, 0, "EPERM"),
    "socket of cryptography": (41, 38, 99, 0, "EPERM"),
    "io_uring_setup": (425, 0, 0, "EPERM"),
    "io_uring_enter": (426, -1, 0, 0, 0, 0, "EPERM"),
    "name_to_handle_at": (303, -1, 0, 0, 0, -1, "EINVAL"),
    "process_vm_readv": (310, -1, 0, 0, 0, 0, -1, "EINVAL"),
}


def failures(
    engine: Command, base: Path, calls: dict[str, tuple[int | str, ...]]
) -> dict[str, str]:
    """Return how each call fails in a container; `base` has a Python, for which it changes root."""
    words = [",".join([name, *map(str, call[:-1])]) for name, call in calls.items()]
    done = engine.run(
        *("run", "--rm", "--network", "none", "-v", f"{base}:/base:ro", IMAGE),
        *("chroot", "/base", "/usr/bin/python3", "-c", PROBE, *words),
    )
    lines = done.stdout.decode().splitlines()
    return {name: why for name, _, why in (line.rpartition(" ") for line in lines)}


def test_system_calls(ferry: Command, docker: Command, base_tree: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers are those of x86_64")
    want = {name: str(call[-1]) for name, call in (CALLS | NEWER).items()}
    assert failures(ferry, base_tree, CALLS | NEWER) == want
    assert failures(docker, base_tree, CALLS) == {name: want[name] for name in CALLS}
