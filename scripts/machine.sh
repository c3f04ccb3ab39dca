# What the scripts here ask of the machine they run on.  Sourced, never run; bash.

# The last two hold what podman's packages keep out of the way: netavark, catatonit.
export PATH="$PATH:/usr/sbin:/sbin:/usr/lib/podman:/usr/libexec/podman"

# Say one line and give up.
die() {
    echo "${0##*/}: $1" >&2
    exit 1
}

# Print a command line, then run it; pipes and redirections are part of it.
show() {
    printf '\n$ %s\n' "$1" >&2
    bash -o pipefail -c "$1"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "needs root, or sudo, for: $*"
        sudo "$@"
    fi
}

# Run a command while packages may not start their services; lasts no longer than the command.
without_services() (
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    "$@"
)

# install_missing COMMAND:PACKAGE...: install the packages whose command is not there.
install_missing() {
    local want missing=()
    for want; do
        command -v "${want%%:*}" >/dev/null || missing+=("${want##*:}")
    done
    if ((${#missing[@]})); then install "${missing[@]}"; fi
}

# Install packages; one that this release does not have is named and left out.
install() {
    local package known=()
    as_root apt-get update -q >&2
    for package; do
        if [[ "$(apt-cache policy "$package")" == *"Candidate: "[!\(]* ]]; then
            known+=("$package")
        else
            echo "not in this release: $package" >&2
        fi
    done
    ((${#known[@]})) || return 0
    without_services as_root env DEBIAN_FRONTEND=noninteractive apt-get install \
        -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${known[@]}" >&2
}

# Print the address of the mirror of Debian that apt is set up with; without one, the public one.
debian_mirror() {
    local mirror
    mirror=$(apt-get update --print-uris 2>/dev/null |
        sed -n "s#^'\(https\?://[^@']*/debian\)/dists/[a-z]*/InRelease'.*#\1#p" | head -n 1)
    echo "${mirror:-http://deb.debian.org/debian}"
}

# fetch_packages FOLDER SUITE PACKAGE...: unpack packages of a Debian release into FOLDER/root.
# Nothing is installed.  Needs root or sudo.
fetch_packages() {
    local work="$1" suite="$2" package
    shift 2
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
    chmod -R a+rX "$work"
    # apt checks what it fetches, with the keys that this machine has.
    echo "deb $(debian_mirror) $suite main" >"$work/sources.list"
    local options=(
        -o "Dir::Etc::sourcelist=$work/sources.list" -o "Dir::Etc::sourceparts=-"
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache::archives=$work/archives"
        -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=root"
    )
    as_root apt-get "${options[@]}" update -q >&2
    (cd "$work" && as_root apt-get "${options[@]}" download -q "$@" >&2)
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$work/root"
    done
}

# Print the first Python here that is new enough and can make a virtual environment.
usable_python() {
    local candidate
    for candidate in python3 /usr/bin/python3 python3.{14,13,12,11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# make_venv [EXTRA]: ferryman, editable, in .venv of the checkout (the working directory).
make_venv() {
    local extra="${1:+[$1]}" python stamp=".venv/.installed${1:+-$1}"
    if ! usable_python >/dev/null; then
        install python3 python3-venv
    fi
    python=$(usable_python) ||
        die "needs Python 3.11 or newer with venv; found: $(python3 --version 2>&1)"
    if [ ! -x .venv/bin/python ]; then
        show "$python -m venv .venv" || die "cannot make .venv"
    fi
    if [ ! "$stamp" -nt pyproject.toml ]; then
        show ".venv/bin/python -m pip install --quiet --editable '.$extra'" || die "pip failed"
        touch "$stamp"
    fi
    export PATH="$PWD/.venv/bin:$PATH"
}
