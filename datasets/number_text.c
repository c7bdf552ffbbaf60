#include "datasets/number_text.h"

#include <cpl_conv.h>
#include <cpl_string.h>

void sgc_number_print(double value, char text[SGC_NUMBER_TEXT_SIZE])
{
    for (int digits = 15; digits <= 17; digits++) {
        CPLsnprintf(text, SGC_NUMBER_TEXT_SIZE, "%.*g", digits, value);
        if (CPLAtof(text) == value)
            break;
    }
}
