#include "datasets/quiet.h"

#include <cpl_conv.h>

sgc_quiet sgc_quiet_begin(void)
{
    const sgc_quiet quiet = {CPLGetLastErrorType(), CPLGetLastErrorNo(),
                             CPLStrdup(CPLGetLastErrorMsg())};
    CPLPushErrorHandler(CPLQuietErrorHandler);
    CPLErrorReset();
    return quiet;
}

void sgc_quiet_end(sgc_quiet *quiet)
{
    CPLPopErrorHandler();
    CPLErrorSetState(quiet->type, quiet->number, quiet->message);
    CPLFree(quiet->message);
}
