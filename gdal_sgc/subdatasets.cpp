// The parts of a cube with a time axis, and what of a name is the cube.
#include <cstring>
#include <memory>
#include <numeric>
#include <string>

#include "datasets/registry.h"
#include "gdal_sgc/dataset.h"
#include "gdal_sgc/time_axis.h"

#if SGC_GDAL_AT_LEAST(3, 8)
#include <gdalsubdatasetinfo.h>
#endif

bool SGCDataset::AddSubdataset(const char *time, const char *channels,
                               const std::string &description)
{
    sgc_buffer name = {};
    sgc_error error = {""};
    const sgc_status status =
        sgc_connection_print(&handle_->Connection(), time, channels, &name, &error);
    if (status == SGC_OK) {
        subdatasets_++;
        GDALDataset::SetMetadataItem(CPLSPrintf("SUBDATASET_%d_NAME", subdatasets_),
                                     reinterpret_cast<const char *>(name.data), "SUBDATASETS");
        GDALDataset::SetMetadataItem(CPLSPrintf("SUBDATASET_%d_DESC", subdatasets_),
                                     description.c_str(), "SUBDATASETS");
    } else {
        SGCReport(status, error);
    }
    sgc_buffer_free(&name);
    return status == SGC_OK;
}

// One for each time step, those with data first, and one for each channel. What stands before " - "
// in its description is its name in QGIS, as with GeoPackage.
bool SGCDataset::AddSubdatasets(const std::vector<size_t> &channels)
{
    constexpr int MOST_STEPS = 100;
    const sgc_definition *definition = sgc_cube_definition(handle_->Cube());
    const sgc_time_axis &axis = definition->time;
    std::string names;
    for (const size_t channel : channels)
        names += std::string(names.empty() ? "" : ",") + definition->bands[channel].name;
    const char *chosen = handle_->Connection().channels != nullptr ? names.c_str() : nullptr;
    const size_t steps = sgc_cube_steps(handle_->Cube());
    const std::unique_ptr<bool[]> hasData(new bool[axis.count]);
    sgc_cube_find_steps_with_data(handle_->Cube(), hasData.get());
    char time[SGC_TIME_SIZE], last[SGC_TIME_SIZE];
    const std::string plural = channels.size() == 1 ? " channel" : " channels";
    for (const bool withData : {true, false}) {
        for (size_t step = 0; step < steps && subdatasets_ < MOST_STEPS; step++) {
            if (hasData[step] != withData)
                continue;
            sgc_time_format(axis.starts[step], time);
            if (!AddSubdataset(time, chosen,
                               std::string(time) + " - " + std::to_string(channels.size()) +
                                   plural + (withData ? "" : ", nothing stored yet")))
                return false;
        }
    }
    sgc_time_format(axis.starts[0], time);
    sgc_time_format(axis.starts[steps - 1], last);
    const std::string range = std::string(time) + "/" + last;
    std::vector<size_t> each = channels; // of whatever type
    if (chosen == nullptr) {
        each.resize(definition->band_count);
        std::iota(each.begin(), each.end(), size_t{0});
    }
    for (const size_t channel : each) {
        const char *name = definition->bands[channel].name;
        if (!AddSubdataset(range.c_str(), name,
                           std::string(name) + " - " + std::to_string(steps) +
                               (steps == 1 ? " time step" : " time steps")))
            return false;
    }
    return true;
}

#if SGC_GDAL_AT_LEAST(3, 8)

namespace
{

// "SGC:/data/cube,time=2020": the part and its options.
struct PartOfCube final : public GDALSubdatasetInfo {
    explicit PartOfCube(const std::string &name) : GDALSubdatasetInfo(name)
    {
    }

  private:
    void parseFileName() override
    {
        const size_t prefix = strlen(SGC_PREFIX);
        const std::string rest = m_fileName.substr(prefix);
        const size_t length = sgc_connection_place_length(rest.c_str());
        m_driverPrefixComponent = m_fileName.substr(0, prefix - 1);
        m_pathComponent = m_cleanedPathComponent = rest.substr(0, length);
        if (length < rest.size())
            m_subdatasetComponent = rest.substr(length + 1);
    }
};

} // namespace

// A known dataset has no path, and a place that is written in another way than the path that it is
// cannot be replaced by another.
GDALSubdatasetInfo *SGCDataset::GetSubdatasetInfo(const char *name)
{
    if (!STARTS_WITH_CI(name, SGC_PREFIX))
        return nullptr;
    const char *rest = name + strlen(SGC_PREFIX);
    const std::string place(rest, sgc_connection_place_length(rest));
    sgc_definition *definition = nullptr;
    const bool isDataset =
        place.find_first_of("/\\") == std::string::npos &&
        sgc_registry_find(place.c_str(), nullptr, &definition, nullptr) != SGC_NOT_FOUND;
    sgc_definition_free(definition);
    const bool isEncoded = place.find_first_of("%\"") != std::string::npos;
    return isDataset || isEncoded ? nullptr : new PartOfCube(name);
}

#endif
