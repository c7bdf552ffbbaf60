#!/bin/bash
# Builds HEAD, and runs the C tests and those of the driver, in root file systems of other releases of Debian, which
# have other versions of GDAL.
#     bash autotest/roots.sh [trixie|sid]...
# Run by hand, as root; needs debootstrap and a mirror. The root file systems stay in sgc-roots in SGC_TEST_CACHE
# (default /var/tmp), so that a second run is quick; SGC_SHARED is as for test.sh. SGC_ROOTS_TESTS names the files of
# autotest/gdal to run instead of all.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is mounted and started here ends with this script: it has name spaces of its own.
if [ -z "${SGC_ROOTS_UNSHARED:-}" ]; then
    SGC_ROOTS_UNSHARED=1 exec unshare --mount --pid --fork --kill-child bash "${BASH_SOURCE[0]}" "$@"
fi
[ $# -gt 0 ] || set -- trixie sid
cache=${SGC_TEST_CACHE:-/var/tmp}/sgc-roots
shared=${SGC_SHARED:-$top/../shared}
# As test.sh runs them: test_processes.py forks, and what test_misbehaving.py does is remembered by GDAL.
tests=${SGC_ROOTS_TESTS:---ignore test_processes.py --ignore test_misbehaving.py}
mkdir -p "$cache"

# The mirror that the system's own apt uses.
find_mirror() {
    sed -n -E 's#^(URIs:|deb) .*\b((https?|file)://[^ ]+).*#\2#p' /etc/apt/sources.list.d/debian.sources \
        /etc/apt/sources.list 2>/dev/null | head -n 1
}

# make_root SUITE
make_root() {
    [ -e "$cache/$1/made" ] && return
    local mirror
    mirror=$(find_mirror) || true
    [ -n "$mirror" ] || { echo "No Debian mirror in apt's sources"; return 1; }
    rm -rf --one-file-system "${cache:?}/$1"
    debootstrap --variant=minbase "$1" "$cache/$1" "$mirror" >"$cache/$1.debootstrap.log" ||
        { tail -n 5 "$cache/$1.debootstrap.log"; return 1; }
    echo force-unsafe-io >"$cache/$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # A mirror's lists of sid may be weeks old.
    printf 'Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n' \
        >"$cache/$1/etc/apt/apt.conf.d/99dates"
    touch "$cache/$1/made"
}

# enter_root SUITE: what the tests need of the machine.
enter_root() {
    mkdir -p "$cache/$1/src/main" "$cache/$1/src/shared"
    cp /etc/resolv.conf /etc/hosts "$cache/$1/etc/"
    mount -t proc proc "$cache/$1/proc"
    mount --rbind /dev "$cache/$1/dev"
    if [ -d "$shared" ]; then mount --bind -o ro "$shared" "$cache/$1/src/shared"; fi
    git init -q "$cache/$1/src/main"
    git -C "$cache/$1/src/main" fetch -q "$top" HEAD
    git -C "$cache/$1/src/main" checkout -q --force --detach FETCH_HEAD
    git -C "$cache/$1/src/main" clean -qfdx --exclude build
}

# in_root SUITE COMMAND: in the checkout, with what setup.sh defines.
in_root() {
    chroot "$cache/$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        SGC_SHARED=/src/shared SGC_BUILD_DIR=/src/main/build/release SGC_TEST_CACHE=/var/tmp \
        nice bash -c "source /src/main/autotest/setup.sh; set -o pipefail; $2"
}

results=()
failed=0
trap 'printf "%s\n" "${results[@]}"' EXIT
trap 'exit 130' INT TERM

# step SUITE NAME COMMAND: what it prints goes to a file, the line that counts to the table.
step() {
    local log=$cache/$1.$2.log status=ok start=$SECONDS
    echo "$1: $2"
    in_root "$1" "$3" >"$log" 2>&1 || { status=FAILED; failed=1; tail -n 40 "$log"; }
    results+=("$(printf '%-8s%-8s%-7s%5d s  %s' "$1" "$2" $status $((SECONDS - start)) \
        "$(grep -E '^GDAL [0-9]|% tests passed|[0-9]+ passed' "$log" | tail -n 1)")")
    [ $status = ok ]
}

for suite in "$@"; do
    make_root "$suite"
    enter_root "$suite"
    step "$suite" install 'install_packages "${build_packages[@]}" "${test_packages[@]}"; gdalinfo --version' || continue
    step "$suite" build 'build release -DBUILD_TESTING=ON -DSGC_WERROR=ON' || continue
    step "$suite" ctest 'ctest --preset release' || true
    step "$suite" pytest "cd autotest/gdal && python3 -m pytest -v -n $(nproc) $tests" || true
    [ -n "${SGC_ROOTS_TESTS:-}" ] ||
        step "$suite" faults "cd autotest/gdal && python3 -m pytest -v -n $(nproc) test_misbehaving.py" || true
done
exit $failed
