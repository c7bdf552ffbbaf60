#!/bin/bash
# Runs GDAL's own tests of drivers, multireadtest and test_ogrsf, against the plugin, over a cube of imaginary terrain.
# They come from GDAL's source package of the version that is installed, fetched into a temporary directory: nothing of
# it is kept. Run by hand; needs the network, and a build (SGC_BUILD_DIR, default build/release).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export GDAL_DRIVER_PATH=${SGC_BUILD_DIR:-$root/build/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# fetch_source PACKAGE: by the sources this machine installs from, without a change to its own lists.
fetch_source() {
    local version
    version=$(dpkg-query -W -f '${source:Version}' "$1")
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -f "$list" ]; then sed -n 's/^deb /deb-src /p' "$list" >"apt/parts/${list##*/}.list"; fi
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        if [ -f "$list" ]; then sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/${list##*/}"; fi
    done
    printf '%s\n' 'Dir::Etc::SourceList "/dev/null";' "Dir::Etc::SourceParts \"$work/apt/parts\";" \
        "Dir::State::Lists \"$work/apt/lists\";" "Dir::Cache \"$work/apt/cache\";" \
        'APT::Sandbox::User "root";' >apt/conf
    APT_CONFIG=$work/apt/conf apt-get update -qq || echo "not all package lists could be read"
    APT_CONFIG=$work/apt/conf apt-get source -qq --download-only "gdal=$version"
}

fetch_source libgdal-dev
tar -xJf gdal_*.orig.tar.xz --strip-components 1 --wildcards '*/apps/multireadtest.cpp' '*/apps/test_ogrsf.cpp' \
    '*/apps/commonutils.h'
for program in multireadtest test_ogrsf; do
    g++ -std=c++17 -w $(gdal-config --cflags) -Iapps -o $program apps/$program.cpp -lgdal -lpthread
done

# A strip of terrain, of which a part is loaded: patches in three states.
cat >strip.json <<'JSON'
{"type": "CubeDataset", "version": "1", "id": "strip", "proj:code": "EPSG:3413",
 "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [100, 20000], "chunk_shape": [100, 100],
 "bands": [{"name": "h", "data_type": "float32"}], "source": {"kind": "synthetic"}}
JSON
gdal_translate -q -srcwin 0 0 9000 100 SGC:./cube,dataset=strip.json,create=yes part.tif

./test_ogrsf -ro SGC:./cube | tee ogrsf.log
if grep -q -e FAILURE -e ERROR ogrsf.log; then exit 1; fi

# It says "ERROR" of wrong checksums and ends well all the same. The first run loads what is missing.
for options in '-t 4 -i 3' '-t 4 -i 3 -lock_on_open' '-t 4 -oi 10 -i 1' '-t 8 -i 5 -width 8000 -height 90'; do
    timeout 100 ./multireadtest $options SGC:./cube,dataset=strip.json | tee multiread.log
    if grep -q ERROR multiread.log; then exit 1; fi
done
echo "conformance: passed"
