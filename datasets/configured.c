#include "datasets/configured.h"

#include <cpl_conv.h>

bool sgc_configured_number(const char *name, double least, double *out)
{
    const double most = 1e9;
    const char *text = CPLGetConfigOption(name, NULL);
    if (text == NULL)
        return true;
    char *end;
    const double value = CPLStrtod(text, &end);
    if (end == text || *end != '\0' || !(value >= least && value <= most))
        return false;
    *out = value;
    return true;
}
