#!/bin/bash
# Builds and runs every test: the release build, the C tests under the sanitizers, the store alone, and
# briefly the fuzz targets.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install_packages "${build_packages[@]}" "${test_packages[@]}"

# The libraries of the Python world are for these tests only; they live in the build directory.
interop=$root/build/interop
if ! cmp -s autotest/interop/requirements.txt "$interop/requirements.txt"; then
    rm -rf "$interop"
    mkdir -p build
    /usr/bin/python3 -m venv "$interop"
    "$interop/bin/pip" install -q --disable-pip-version-check -r autotest/interop/requirements.txt
    cp autotest/interop/requirements.txt "$interop/"
fi

export SGC_SHARED=${SGC_SHARED:-$root/../shared}
export SGC_INTEROP_PYTHON=$interop/bin/python
export SGC_BUILD_DIR=$root/build/release

for preset in release asan tsan; do
    build $preset -DBUILD_TESTING=ON
    echo "ctest, $preset"
    ctest --preset $preset
done
# test_processes.py forks, and a fork of a worker of pytest-xdist, which has threads of its own, is no fair test.
/usr/bin/python3 -m pytest -q -n "$(nproc)" --ignore autotest/gdal/test_processes.py autotest/gdal
timeout 600 /usr/bin/python3 -m pytest -q autotest/gdal/test_processes.py
/usr/bin/python3 -m pytest -q -n "$(nproc)" autotest/interop
/usr/bin/python3 -m pytest -q autotest/package
# The same inputs each time: what is random is for a longer run.
SGC_FUZZ_SEED=1 bash autotest/fuzz/run.sh 8
