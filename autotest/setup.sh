# Sourced by demo.sh and test.sh: installs what they need from the distribution, and builds.
# Nothing is asked of the package registry when everything is there already.

set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages NAME...
install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "Installing ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

build_packages=(gcc g++ cmake ninja-build pkg-config gdal-bin libgdal-dev libproj-dev
    libcurl4-gnutls-dev libblosc-dev libzstd-dev zlib1g-dev libcjson-dev libyaml-dev libpcre2-dev
    libflatbuffers-dev flatbuffers-compiler)
test_packages=(libcmocka-dev openssl python3 python3-gdal python3-numpy python3-pytest
    python3-pytest-xdist python3-rasterio python3-venv strace zstd)

# build PRESET [-DOPTION=VALUE...]
build() {
    { cmake --preset "$@" && cmake --build --preset "$1"; } >build.log 2>&1 || { cat build.log; return 1; }
    tail -n 1 build.log
    rm -f build.log
}
