// What datasets and bands say about themselves: where the pixels come from, and what is in the
// cube.
#include <cctype>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "datasets/http.h"
#include "gdal_sgc/dataset.h"
#include "gdal_sgc/patches.h"

namespace
{

constexpr char STATE_DOMAIN[] = "SGC";
constexpr char LOCATION_DOMAIN[] = "LocationInfo";

bool IsDomain(const char *domain, const char *name)
{
    return EQUAL(domain != nullptr ? domain : "", name);
}

const char *TextOf(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

// The text with its first address, if there is one, without secrets.
std::string Redact(const std::string &text)
{
    size_t start = text.find("://");
    if (start == std::string::npos)
        return text;
    while (start > 0 && isalnum(static_cast<unsigned char>(text[start - 1])))
        start--;
    std::string shown(text.size() - start + 1, '\0');
    sgc_http_redact(text.c_str() + start, &shown[0], shown.size());
    return text.substr(0, start) + shown.c_str();
}

// Like "stac https://host/v1 collection".
std::string DescribeSource(const sgc_definition *definition)
{
    std::string result = TextOf(definition->source, "kind");
    for (const char *key : {"api", "items", "collection", "href", "dataset", "url", "asset"}) {
        const char *text = TextOf(definition->source, key);
        if (text != nullptr)
            result += " " + Redact(text);
    }
    return result;
}

// The key and value of what was chosen to be shown.
std::pair<const char *, const char *> ChosenRef(const sgc_connection &connection)
{
    static constexpr const char *KEYS[] = {"BRANCH", "TAG", "SNAPSHOT", "ASOF"};
    return {KEYS[connection.ref_choice], connection.ref};
}

// What "Window_x_y_w_h" asks for, if it lies inside the raster.
std::optional<sgc_rect> ParseWindow(const char *name, int rasterWidth, int rasterHeight)
{
    int x, y, width, height, end = 0;
    if (sscanf(name, "Window_%d_%d_%d_%d%n", &x, &y, &width, &height, &end) != 4 ||
        name[end] != '\0' || x < 0 || y < 0 || width < 1 || height < 1 || x > rasterWidth - width ||
        y > rasterHeight - height)
        return std::nullopt;
    return sgc_rect{x, y, width, height};
}

// Tells what a read of the window would have to download.
const char *DescribeWindow(const SGCHandle &handle, const sgc_window &window, CPLString &answer)
{
    sgc_missing missing = {};
    sgc_error error = {""};
    const sgc_status status = sgc_cube_missing(handle.Cube(), &window, &missing, &error);
    if (status != SGC_OK) {
        SGCReport(status, error);
        return nullptr;
    }
    return answer.Printf("missing=%" PRIu64 ";bytes=%" PRIu64, missing.chunks, missing.bytes)
        .c_str();
}

// Chunks of a level, each channel and step counted.
struct ChunkCounts {
    uint64_t all = 0, complete = 0, empty = 0;
};

sgc_status CountChunks(const SGCHandle &handle, const sgc_view *view, size_t level,
                       const std::vector<sgc_slice> &slices, ChunkCounts &counts, sgc_error *err)
{
    const sgc_level *l = sgc_cube_level(handle.Cube(), level);
    const sgc_rect chunks = {0, 0, sgc_level_columns(l), sgc_level_rows(l)};
    auto count = [&](const sgc_rect &, bool hasData) {
        counts.complete++;
        counts.empty += !hasData;
    };
    sgc_status status = SGC_OK;
    for (size_t i = 0; i < slices.size() && status == SGC_OK; i++) {
        counts.all += static_cast<uint64_t>(chunks.width) * static_cast<uint64_t>(chunks.height);
        status = SGCVisitComplete(view, level, slices[i], chunks, count, err);
    }
    return status;
}

} // namespace

std::vector<std::pair<const char *, std::string>> SGCProvenance(const SGCHandle &handle)
{
    const sgc_definition *definition = sgc_cube_definition(handle.Cube());
    const std::string source = DescribeSource(definition);
    const auto reference = ChosenRef(handle.Connection());
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_cube_snapshot(handle.Cube(), snapshot);
    const bool isNew = snapshot[0] != '\0' && !EQUAL(reference.first, "SNAPSHOT");
    const std::pair<const char *, const char *> items[] = {
        {"DATASET", definition->id},
        {"TITLE", definition->title},
        {"LICENSE", definition->license},
        {"ATTRIBUTION", definition->attribution},
        {"CITATION", TextOf(definition->json, "sci:citation")},
        {"DOI", TextOf(definition->json, "sci:doi")},
        {"SOURCE", source.c_str()},
        reference,
        {"SNAPSHOT", isNew ? snapshot : nullptr},
    };
    std::vector<std::pair<const char *, std::string>> result;
    for (const auto &[key, text] : items)
        if (text != nullptr)
            result.emplace_back(key, text);
    return result;
}

// ---- datasets ----

// How the pixels are kept.
void SGCDataset::DescribePixels()
{
    SGCView view(handle_->Cube());
    const sgc_definition *definition = sgc_cube_definition(handle_->Cube());
    char compression[SGC_COMPRESSION_SIZE];
    const auto slices = Slices(nBands, nullptr);
    sgc_view_compression(view.Get(), slices.empty() ? 0 : slices[0].band, compression);
    GDALDataset::SetMetadataItem("INTERLEAVE", "BAND", "IMAGE_STRUCTURE");
    if (compression[0] != '\0')
        GDALDataset::SetMetadataItem("COMPRESSION", compression, "IMAGE_STRUCTURE");
    // GDAL asks the first band and believes it of all.
    bool bits = true;
    for (const auto &slice : slices)
        bits = bits && definition->bands[slice.band].is_bool;
    for (int i = 1; bits && i <= nBands; i++)
        GetRasterBand(i)->SetMetadataItem("NBITS", "1", "IMAGE_STRUCTURE");
}

// For the metadata of whatever is made of the cube.
void SGCDataset::DescribeCube()
{
    for (const auto &[name, text] : SGCProvenance(*handle_))
        GDALDataset::SetMetadataItem(name, text.c_str());
    GDALDataset::SetMetadataItem(GDALMD_AREA_OR_POINT, GDALMD_AOP_AREA);
}

// Nothing is touched where nothing has changed: somebody may hold what we have told him.
void SGCDataset::ShowSnapshot()
{
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_cube_snapshot(handle_->Cube(), snapshot);
    const char *shown = GDALDataset::GetMetadataItem("SNAPSHOT", nullptr);
    if (level_ == 0 && snapshot[0] != '\0' && (shown == nullptr || !EQUAL(shown, snapshot)))
        GDALDataset::SetMetadataItem("SNAPSHOT", snapshot);
}

// Those of the bands; of a container, which has none, all.
std::vector<sgc_slice> SGCDataset::ShownSlices()
{
    std::vector<sgc_slice> slices = Slices(nBands, nullptr);
    const size_t steps = nBands == 0 ? sgc_cube_steps(handle_->Cube()) : 0;
    for (size_t step = 0; step < steps; step++)
        for (size_t band = 0; band < sgc_cube_definition(handle_->Cube())->band_count; band++)
            slices.push_back({band, step});
    return slices;
}

// What this dataset shows of the cube, and how much of that is in it. False, having reported why,
// when that cannot be told.
bool SGCDataset::DescribeState()
{
    sgc_cube *cube = handle_->Cube();
    const SGCView view(cube);
    const sgc_definition *definition = sgc_cube_definition(cube);
    const auto slices = ShownSlices();
    ChunkCounts counts;
    size_t patches = 0;
    sgc_error error = {""};
    sgc_status status = CountChunks(*handle_, view.Get(), level_, slices, counts, &error);
    if (status == SGC_OK)
        status = sgc_view_count_loaded(view.Get(), &patches, &error);
    if (status != SGC_OK) {
        SGCReport(status, error);
        return false;
    }
    std::string levels;
    for (size_t level = 0; level < sgc_cube_level_count(cube); level++)
        if (sgc_view_has_level(view.Get(), level))
            levels +=
                (levels.empty() ? "" : ",") + std::to_string(sgc_cube_level(cube, level)->factor);
    const auto reference = ChosenRef(handle_->Connection());
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_cube_snapshot(cube, snapshot);
    const bool loads = handle_->Connection().download && sgc_cube_can_load(cube);
    const char *download = !loads ? "NO" : handle_->Connection().for_view ? "VIEW" : "YES";
    state_.Clear();
    state_.SetNameValue("PLACE", sgc_cube_place(cube));
    state_.SetNameValue(reference.first, reference.second);
    if (snapshot[0] != '\0')
        state_.SetNameValue("SNAPSHOT", snapshot);
    state_.SetNameValue("DATASET", definition->id);
    state_.SetNameValue("DOWNLOAD", download);
    state_.SetNameValue("LEVELS", levels.c_str());
    state_.SetNameValue("CHUNKS", std::to_string(counts.all).c_str());
    state_.SetNameValue("CHUNKS_COMPLETE", std::to_string(counts.complete).c_str());
    state_.SetNameValue("CHUNKS_EMPTY", std::to_string(counts.empty).c_str());
    state_.SetNameValue("PATCHES_LOADED", std::to_string(patches).c_str());
    return true;
}

char **SGCDataset::GetMetadataDomainList()
{
    return BuildMetadataDomainList(GDALDataset::GetMetadataDomainList(), FALSE, STATE_DOMAIN,
                                   nullptr);
}

SGC_METADATA SGCDataset::GetMetadata(const char *domain)
{
    if (IsDomain(domain, STATE_DOMAIN))
        return DescribeState() ? state_.List() : nullptr;
    if (IsDomain(domain, ""))
        ShowSnapshot();
    return GDALDataset::GetMetadata(domain);
}

const char *SGCDataset::GetMetadataItem(const char *name, const char *domain)
{
    if (IsDomain(domain, ""))
        ShowSnapshot();
    if (!IsDomain(domain, STATE_DOMAIN))
        return GDALDataset::GetMetadataItem(name, domain);
    if (!STARTS_WITH_CI(name, "Window_"))
        return DescribeState() ? state_.FetchNameValue(name) : nullptr;
    const auto rect = ParseWindow(name, nRasterXSize, nRasterYSize);
    const auto slices = ShownSlices();
    return rect ? DescribeWindow(*handle_, {level_, *rect, slices.data(), slices.size()},
                                 windowState_)
                : nullptr;
}

// ---- bands ----

// The patches that a pixel comes from, and their files as GDAL's VRT driver tells them, or nullptr.
const char *SGCBand::PatchesAt(int x, int y)
{
    if (x < 0 || y < 0 || x >= nRasterXSize || y >= nRasterYSize)
        return nullptr;
    sgc_known_patches patches = {};
    sgc_error error = {""};
    const sgc_status status = sgc_cube_find_patches(dataset_->Handle()->Cube(), dataset_->Level(),
                                                    slice_.step, {x, y, 1, 1}, &patches, &error);
    CPLXMLNode *root = CPLCreateXMLNode(nullptr, CXT_Element, "LocationInfo");
    for (size_t i = 0; i < patches.count && status == SGC_OK; i++) {
        const sgc_known_patch &patch = patches.items[i];
        CPLXMLNode *node = CPLCreateXMLNode(root, CXT_Element, "Patch");
        CPLAddXMLAttributeAndValue(node, "id", patch.id);
        CPLAddXMLAttributeAndValue(node, "state", sgc_patch_state_name(patch.state));
        if (patch.href != nullptr)
            CPLCreateXMLElementAndValue(root, "File", patch.href);
    }
    char *text = CPLSerializeXMLTree(root);
    answer_ = text;
    CPLFree(text);
    CPLDestroyXMLNode(root);
    const bool found = patches.count > 0;
    sgc_known_patches_clear(&patches);
    if (status != SGC_OK)
        SGCReport(status, error);
    return status == SGC_OK && found ? answer_.c_str() : nullptr;
}

char **SGCBand::GetMetadataDomainList()
{
    return BuildMetadataDomainList(GDALRasterBand::GetMetadataDomainList(), FALSE, LOCATION_DOMAIN,
                                   nullptr);
}

// "Pixel_x_y" and "GeoPixel_x_y", the latter in the CRS, in the domain LocationInfo.
const char *SGCBand::GetMetadataItem(const char *name, const char *domain)
{
    if (IsDomain(domain, STATE_DOMAIN)) {
        const auto rect = ParseWindow(name, nRasterXSize, nRasterYSize);
        return rect ? DescribeWindow(*dataset_->Handle(), Window(*rect), answer_) : nullptr;
    }
    if (!IsDomain(domain, LOCATION_DOMAIN))
        return GDALRasterBand::GetMetadataItem(name, domain);
    int x, y;
    if (sscanf(name, "Pixel_%d_%d", &x, &y) == 2)
        return PatchesAt(x, y);
    char *end = nullptr;
    const char *text = STARTS_WITH_CI(name, "GeoPixel_") ? name + strlen("GeoPixel_") : "";
    const double geoX = CPLStrtod(text, &end);
    if (end == text || *end != '_')
        return nullptr;
    const double geoY = CPLStrtod(end + 1, nullptr);
    const double *t = sgc_cube_level(dataset_->Handle()->Cube(), dataset_->Level())->grid.transform;
    const double column = std::floor((geoX - t[0]) / t[1]), row = std::floor((geoY - t[3]) / t[5]);
    return column >= 0 && row >= 0 && column < nRasterXSize && row < nRasterYSize
               ? PatchesAt(static_cast<int>(column), static_cast<int>(row))
               : nullptr;
}
