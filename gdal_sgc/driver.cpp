// Registration, and how failures of ours are said in GDAL.
#include <atomic>
#include <cstdlib>

#include "datasets/remote_file.h"
#include "gdal_sgc/dataset.h"
#include "gdal_sgc/descriptor.h"

// GDAL 3.7 renamed CPLE_AWSObjectNotFound and its like; these codes are the same in all versions.
static CPLErrorNum ErrorNumber(sgc_status status)
{
    switch (status) {
    case SGC_OK:
        break;
    case SGC_NOT_FOUND:
    case SGC_EXISTS:
    case SGC_CORRUPT:
        return CPLE_OpenFailed;
    case SGC_CONFLICT:
    case SGC_BUDGET:
        return CPLE_AppDefined;
    case SGC_UNSUPPORTED:
        return CPLE_NotSupported;
    case SGC_AUTH:
    case SGC_NETWORK:
        return CPLE_HttpResponse;
    case SGC_CANCELLED:
        return CPLE_UserInterrupt;
    case SGC_NO_MEMORY:
        return CPLE_OutOfMemory;
    case SGC_IO:
        return CPLE_FileIO;
    case SGC_INVALID:
        return CPLE_IllegalArg;
    }
    return CPLE_AppDefined;
}

void SGCReport(sgc_status status, const sgc_error &error)
{
    CPLError(CE_Failure, ErrorNumber(status), "SGC: %s", error.message);
}

// A failure, which GDAL_CHECK_VERSION() reports, would be an exception in whatever loads GDAL.
static bool IsOurGDAL()
{
    if (GDALCheckVersion(GDAL_VERSION_MAJOR, GDAL_VERSION_MINOR, nullptr))
        return true;
    static std::atomic_flag said = ATOMIC_FLAG_INIT; // some programs register all drivers twice
    if (!said.test_and_set())
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: the plugin was built for GDAL %d.%d and is not used with GDAL %s: build it "
                 "for this one, or remove it",
                 GDAL_VERSION_MAJOR, GDAL_VERSION_MINOR, GDALVersionInfo("RELEASE_NAME"));
    return false;
}

extern "C" CPL_DLL void GDALRegister_SGC();

void GDALRegister_SGC()
{
    if (!IsOurGDAL() || GDALGetDriverByName("SGC") != nullptr)
        return;
    sgc_error error = {""};
    if (sgc_remote_files_install(&error) != SGC_OK) {
        CPLError(CE_Warning, CPLE_AppDefined, "SGC: %s", error.message);
        return;
    }
    auto driver = new GDALDriver();
    driver->SetDescription("SGC");
    driver->SetMetadataItem(GDAL_DCAP_RASTER, "YES");
    driver->SetMetadataItem(GDAL_DCAP_VECTOR, "YES");
    driver->SetMetadataItem(GDAL_DMD_SUPPORTED_SQL_DIALECTS, "OGRSQL SQLITE");
    driver->SetMetadataItem(GDAL_DCAP_MULTIDIM_RASTER, "YES");
    driver->SetMetadataItem(GDAL_DCAP_OPEN, "YES");
    driver->SetMetadataItem(GDAL_DCAP_VIRTUALIO, "YES"); // of definitions and .sgc files
    driver->SetMetadataItem(GDAL_DMD_SUBDATASETS, "YES");
    driver->SetMetadataItem(GDAL_DMD_LONGNAME, "Smart geocubes that fill themselves");
    driver->SetMetadataItem(GDAL_DMD_CONNECTION_PREFIX, SGC_PREFIX);
    driver->SetMetadataItem(GDAL_DMD_EXTENSION, SGC_DESCRIPTOR_EXTENSION);
    driver->SetMetadataItem(GDAL_DMD_EXTENSIONS, SGC_DESCRIPTOR_EXTENSION);
    char *options = sgc_connection_option_list();
    if (options != nullptr)
        driver->SetMetadataItem(GDAL_DMD_OPENOPTIONLIST, options);
    free(options);
    driver->pfnIdentify = SGCDataset::Identify;
    driver->pfnOpen = SGCDataset::Open;
#if SGC_GDAL_AT_LEAST(3, 8)
    driver->pfnGetSubdatasetInfoFunc = SGCDataset::GetSubdatasetInfo;
#endif
    GetGDALDriverManager()->RegisterDriver(driver);
}
