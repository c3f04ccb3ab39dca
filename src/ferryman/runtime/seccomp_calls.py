"""The system calls that docker's default seccomp profile allows, as tables.

They are those of docker 29; earlier ones also allowed sockets for the kernel's cryptography and for
virtual machines' hosts, and did not know the newest calls.  The runtimes pass over names that their
libseccomp does not know.
"""

# Allowed always.  Here `chown/32` is chown and chown32: what follows a stroke is the ending of a
# variant.
_FILES = """
    access chdir chmod chown/32 close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64/_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown/32 fchownat fcntl/64
    fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat/64 fstatat64 fstatfs/64 fsync
    ftruncate/64 futimesat getcwd getdents/64 getxattr/at ioctl lchown/32 lgetxattr link linkat
    listxattr/at llistxattr lremovexattr lseek _llseek lsetxattr lstat/64 mkdir mkdirat mknod
    mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat removexattr/at
    rename renameat renameat2 rmdir setxattr/at stat/64 statfs/64 statx symlink symlinkat sync
    sync_file_range syncfs truncate/64 umask unlink unlinkat utime utimensat/_time64 utimes
    listmount statmount cachestat
"""
_TRANSFER = """
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 readahead sendfile/64
    splice tee vmsplice pipe pipe2 eventfd eventfd2 epoll_create epoll_create1 epoll_ctl
    epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old poll ppoll/_time64 select
    _newselect pselect6/_time64 io_cancel io_destroy io_getevents io_pgetevents/_time64 io_setup
    io_submit inotify_add_watch inotify_init inotify_init1 inotify_rm_watch fanotify_mark
"""
_MEMORY = """
    brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
    remap_file_pages membarrier process_mrelease
"""
_PROCESSES = """
    execve execveat exit exit_group fork vfork wait4 waitid waitpid kill tkill tgkill pidfd_open
    pidfd_send_signal prctl set_tid_address set_thread_area get_thread_area
    get_robust_list set_robust_list rseq restart_syscall getcpu getpgid getpgrp getpid getppid
    getsid gettid setpgid setsid getpriority setpriority getrlimit ugetrlimit setrlimit prlimit64
    getrusage ioprio_get ioprio_set seccomp uretprobe riscv_hwprobe
    landlock_add_rule landlock_create_ruleset landlock_restrict_self
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval/_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield
"""
_IDENTITIES = """
    capget capset getegid/32 geteuid/32 getgid/32 getgroups/32 getresgid/32 getresuid/32 getuid/32
    setfsgid/32 setfsuid/32 setgid/32 setgroups/32 setregid/32 setresgid/32 setresuid/32
    setreuid/32 setuid/32
"""
_SIGNALS = """
    alarm pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait/_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4
    sigprocmask sigreturn
"""
_TIMES = """
    adjtimex clock_adjtime/64 clock_getres/_time64 clock_gettime/64 clock_nanosleep/_time64
    getitimer setitimer gettimeofday nanosleep time times timer_create timer_delete
    timer_getoverrun timer_gettime/64 timer_settime/64 timerfd_create timerfd_gettime/64
    timerfd_settime/64
"""
_MESSAGES = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom
    recvmmsg/_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive/_time64 mq_timedsend/_time64 mq_unlink
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop/_time64 shmat shmctl shmdt shmget
    futex/_time64 futex_requeue futex_wait futex_waitv futex_wake
"""
_MACHINE = "getrandom sysinfo uname"


def _names(text: str) -> list[str]:
    names = []
    for word in text.split():
        name, _, variant = word.partition("/")
        names += [name, name + variant] if variant else [name]
    return names


ALWAYS = _names(
    _FILES
    + _TRANSFER
    + _MEMORY
    + _PROCESSES
    + _IDENTITIES
    + _SIGNALS
    + _TIMES
    + _MESSAGES
    + _MACHINE
)

# What debuggers need; before Linux 4.8 it was a way around seccomp.
SINCE_4_8 = _names("process_vm_readv process_vm_writev ptrace")

BY_ARCHITECTURE = [
    (("ppc64le",), _names("sync_file_range2 swapcontext")),
    (
        ("arm", "arm64"),
        _names(
            "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"
        ),
    ),
    (("amd64", "x32"), _names("arch_prctl")),
    (("amd64", "x32", "x86"), _names("modify_ldt")),
    (("s390", "s390x"), _names("s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr")),
    (("riscv64",), _names("riscv_flush_icache")),
]

BY_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": _names("open_by_handle_at"),
    "CAP_SYS_ADMIN": _names(
        """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl/_fd setdomainname sethostname setns syslog umount
        umount2 unshare
        """
    ),
    "CAP_SYS_BOOT": _names("reboot"),
    "CAP_SYS_CHROOT": _names("chroot"),
    "CAP_SYS_MODULE": _names("delete_module init_module finit_module"),
    "CAP_SYS_PACCT": _names("acct"),
    "CAP_SYS_PTRACE": _names(
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"
    ),
    "CAP_SYS_RAWIO": _names("iopl ioperm"),
    "CAP_SYS_TIME": _names("settimeofday stime clock_settime/64"),
    "CAP_SYS_TTY_CONFIG": _names("vhangup"),
    "CAP_SYS_NICE": _names("get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    "CAP_SYSLOG": _names("syslog"),
    "CAP_BPF": _names("bpf"),
    "CAP_PERFMON": _names("perf_event_open"),
}

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, both with UNAME26, and what asks which one it is."""

# AF_ALG has been a way into the kernel, AF_VSOCK is one to the host of a virtual machine.
AF_ALG, AF_VSOCK = 38, 40

NEW_NAMESPACES = 0x7E020000
"""All flags of clone(2) that make a namespace."""
