#include "datasets/number_text.h"

#include <cpl_conv.h>
#include <cpl_string.h>

void sgc_number_print(double value, char text[SGC_NUMBER_TEXT_SIZE])
{
    /* Of "%.*g" GDAL makes what the locale says. */
    static const char *const formats[] = {"%.15g", "%.16g", "%.17g"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        CPLsnprintf(text, SGC_NUMBER_TEXT_SIZE, formats[i], value);
        if (CPLAtof(text) == value)
            break;
    }
}
