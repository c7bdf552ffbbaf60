// What the values of a band mean: names and colours, as its definition has them.
#include <algorithm>

#include "gdal_sgc/dataset.h"

namespace
{

// GDAL's lists begin at value 0. As many values as one up to the largest has; 0: it has none for
// such a band.
int64_t ListLength(const sgc_band &band)
{
    if (band.category_count == 0 || (band.type != GDT_Byte && band.type != GDT_UInt16))
        return 0;
    return band.categories[band.category_count - 1].value + 1;
}

bool HasNames(const sgc_band &band)
{
    return std::any_of(band.categories, band.categories + band.category_count,
                       [](const sgc_category &c) { return c.name != nullptr; });
}

bool HasColors(const sgc_band &band)
{
    return std::any_of(band.categories, band.categories + band.category_count,
                       [](const sgc_category &c) { return c.has_color; });
}

} // namespace

char **SGCBand::GetCategoryNames()
{
    const sgc_band &band = Definition();
    if (!HasNames(band))
        return nullptr;
    const sgc_category *next = band.categories;
    for (int64_t value = categoryNames_.size(); value < ListLength(band); value++) {
        while (next->value < value)
            next++;
        const bool named = next->value == value && next->name != nullptr;
        categoryNames_.AddString(named ? next->name : "");
    }
    return categoryNames_.List();
}

// Values without a colour are transparent.
GDALColorTable *SGCBand::GetColorTable()
{
    const sgc_band &band = Definition();
    if (ListLength(band) == 0 || !HasColors(band) || colors_ != nullptr)
        return colors_.get();
    colors_.reset(new GDALColorTable());
    for (size_t i = 0; i < band.category_count; i++) {
        const sgc_category &category = band.categories[i];
        if (!category.has_color)
            continue;
        const GDALColorEntry color = {category.color[0], category.color[1], category.color[2], 255};
        colors_->SetColorEntry(static_cast<int>(category.value), &color);
    }
    return colors_.get();
}

GDALColorInterp SGCBand::GetColorInterpretation()
{
    return GetColorTable() != nullptr ? GCI_PaletteIndex : GDALRasterBand::GetColorInterpretation();
}

GDALRasterAttributeTable *SGCBand::GetDefaultRAT()
{
    const sgc_band &band = Definition();
    if (band.category_count == 0 || attributes_ != nullptr)
        return attributes_.get();
    auto table = new GDALDefaultRasterAttributeTable();
    attributes_.reset(table);
    const bool colored = HasColors(band);
    const bool wide = GDALGetDataTypeSizeBytes(band.type) > 4 || band.type == GDT_UInt32;
    table->SetTableType(GRTT_THEMATIC);
    table->CreateColumn("Value", wide ? GFT_Real : GFT_Integer, GFU_MinMax);
    table->CreateColumn("Class", GFT_String, GFU_Name);
    if (colored) {
        table->CreateColumn("Red", GFT_Integer, GFU_Red);
        table->CreateColumn("Green", GFT_Integer, GFU_Green);
        table->CreateColumn("Blue", GFT_Integer, GFU_Blue);
        table->CreateColumn("Alpha", GFT_Integer, GFU_Alpha);
    }
    table->SetRowCount(static_cast<int>(band.category_count));
    for (int row = 0; row < static_cast<int>(band.category_count); row++) {
        const sgc_category &category = band.categories[row];
        if (wide)
            table->SetValue(row, 0, static_cast<double>(category.value));
        else
            table->SetValue(row, 0, static_cast<int>(category.value));
        table->SetValue(row, 1, category.name != nullptr ? category.name : "");
        for (int i = 0; colored && i < 3; i++)
            table->SetValue(row, 2 + i, static_cast<int>(category.color[i]));
        if (colored)
            table->SetValue(row, 5, category.has_color ? 255 : 0);
    }
    return table;
}
