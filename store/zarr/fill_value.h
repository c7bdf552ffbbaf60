/* The fill value of an array, from its JSON text: that keeps 64-bit integers whole. */
#ifndef SGC_FILL_VALUE_H
#define SGC_FILL_VALUE_H

#include "store/zarr/json_text.h"
#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* Puts the value into `out`, sgc_data_type_size(type) bytes in the machine's byte order.
 *
 * A bool is true or false. An integer is a number without fraction, also like 1.0 or 1e3, within
 * the range of its type. A float is a number, rounded to the nearest (even) value of its type and
 * infinite beyond its range, "NaN" (the quiet one without sign), "Infinity", "-Infinity", or the
 * bits like "0x7fc00001", with at most as many digits as the type has. All else is SGC_CORRUPT. */
SGC_CHECKED sgc_status sgc_fill_value_parse(sgc_data_type type, sgc_span json, unsigned char *out,
                                            sgc_error *err);

SGC_END_C

#endif
