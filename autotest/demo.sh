#!/bin/bash
# The main job on imaginary terrain: read a window, find it in the cube, read it again without a source.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install_packages "${build_packages[@]}"
build release -DBUILD_TESTING=OFF

export GDAL_DRIVER_PATH=$root/build/release
export PATH=$root/build/release:$PATH
out=$root/build/demo
rm -rf "$out"
mkdir -p "$out"
cd "$out"

show() {
    echo
    echo "\$ $*"
    "$@"
}

echo
echo "A cube of 100 000 x 100 000 pixels. Nothing of it is on disk yet."
show gdalinfo -nomd "SGC:./terrain,dataset=Demo,create=yes" | grep -E '^\$|^Size|^Pixel|^Band|Overviews'

echo
echo "Reading a window makes the driver fill the chunks under it:"
show gdal_translate -q -srcwin 46800 39600 5400 5400 "SGC:./terrain,dataset=Demo,create=yes" first.tif
show du -sh terrain

echo
echo "The second read finds them in the cube; DOWNLOAD=NO would refuse to get anything:"
show gdal_translate -q -srcwin 46800 39600 5400 5400 "SGC:./terrain,download=no" second.tif
checksum() { gdalinfo -checksum "$1" | sed -n 's/ *Checksum=//p'; }
[ "$(checksum first.tif)" = "$(checksum second.tif)" ]
echo "Both reads have the same pixels: checksum $(checksum second.tif)."

echo
echo "A view from far away reads a coarser level, not 400 million pixels:"
show gdal_translate -q -srcwin 40000 34000 20000 20000 -outsize 2500 2500 SGC:./terrain view.tif
show gdaldem hillshade -q -z 3 -compute_edges view.tif shade.tif
show gdal_translate -q -of PNG -outsize 1250 1250 -r average shade.tif hillshade.png
rm -f shade.tif hillshade.png.aux.xml

echo
echo "Each load is a commit:"
show sgc log SGC:./terrain

echo
echo "Look at ${out#"$root"/}/hillshade.png"
