#!/bin/bash
# Builds and runs every test: the release build, the C tests under the sanitizers, the store alone, and
# briefly the fuzz targets.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install_packages "${build_packages[@]}" "${test_packages[@]}"

# The libraries of the Python world are for these tests only; they live in the build directory.
# make_venv DIRECTORY REQUIREMENTS [PYTHON]
make_venv() {
    cmp -s "$2" "$1/requirements.txt" && return
    rm -rf "$1"
    mkdir -p build
    "${3:-/usr/bin/python3}" -m venv "$1"
    "$1/bin/pip" install -q --disable-pip-version-check -r "$2"
    cp "$2" "$1/requirements.txt"
}
make_venv "$root/build/interop" autotest/interop/requirements.txt
make_venv "$root/build/interop2" autotest/interop/requirements-v2.txt

# Prints a Python 3.13, which smart-geocubes needs: that in PATH, or one that pyenv keeps. Nothing where there is none.
find_python_3_13() {
    PYENV_VERSION=$(pyenv versions --bare 2>/dev/null | grep -m 1 '^3\.13\.') \
        python3.13 -c 'import sys; print(sys.executable)' 2>/dev/null || true
}
python_3_13=$(find_python_3_13)
if [ -n "$python_3_13" ]; then
    make_venv "$root/build/smart-geocubes" autotest/interop/requirements-smart-geocubes.txt "$python_3_13"
    export SGC_SMART_GEOCUBES_PYTHON=$root/build/smart-geocubes/bin/python
else
    echo "No Python 3.13 here: autotest/interop/test_smart_geocubes.py is skipped"
fi

export SGC_SHARED=${SGC_SHARED:-$root/../shared}
export SGC_INTEROP_PYTHON=$root/build/interop/bin/python
export SGC_INTEROP2_PYTHON=$root/build/interop2/bin/python
export SGC_BUILD_DIR=$root/build/release

for preset in release asan tsan; do
    build $preset -DBUILD_TESTING=ON
    echo "ctest, $preset"
    ctest --preset $preset
done
# More than there are processors: many tests wait for servers.
/usr/bin/python3 -m pytest -q -n $((2 * $(nproc))) --ignore autotest/gdal/test_processes.py \
    --ignore autotest/gdal/test_misbehaving.py autotest/gdal
# While any VRT of a process is open, GDAL 3.6 remembers which files of VRTs it could not open: these need processes of
# their own.
/usr/bin/python3 -m pytest -q -n $((2 * $(nproc))) autotest/gdal/test_misbehaving.py
# test_processes.py forks, and a fork of a worker of pytest-xdist, which has threads of its own, is no fair test.
timeout 600 /usr/bin/python3 -m pytest -q autotest/gdal/test_processes.py
/usr/bin/python3 -m pytest -q -n "$(nproc)" autotest/interop
/usr/bin/python3 -m pytest -q autotest/package
# The same inputs each time: what is random is for a longer run.
SGC_FUZZ_SEED=1 bash autotest/fuzz/run.sh 4
