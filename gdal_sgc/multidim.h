// GDAL's multidimensional view of a cube: each channel an array of [time,] rows and columns.
#ifndef SGC_MULTIDIM_H
#define SGC_MULTIDIM_H

#include <memory>
#include <string>
#include <vector>

#include "gdal_sgc/dataset.h"

// Gives a dataset that has a root group and no bands; nullptr, having reported why, when CHANNELS
// or TIME name what the cube has not. Nothing is read.
GDALDataset *SGCOpenMultidim(const std::shared_ptr<SGCHandle> &handle);

// ---- what its files share ----

constexpr const char *SGC_ROOT = "/";

using SGCAttributes = std::vector<std::shared_ptr<GDALAttribute>>;
using SGCDimensions = std::vector<std::shared_ptr<GDALDimension>>;

// Adds an attribute of the array or group `parent`; not without a value.
void SGCAddText(SGCAttributes &attributes, const std::string &parent, const char *name,
                const char *value);

// The axes with their coordinates: time, of that many steps, where the cube has it; y; x.
SGCDimensions SGCMakeDimensions(const std::shared_ptr<SGCHandle> &handle,
                                const OGRSpatialReference &spatialRef, size_t firstStep,
                                size_t steps);

#endif
