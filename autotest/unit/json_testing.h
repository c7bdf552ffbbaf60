/* What the tests of JSON in other encodings share. */
#ifndef JSON_TESTING_H
#define JSON_TESTING_H

#include "autotest/unit/store_testing.h"

typedef sgc_status json_encoder(sgc_span json, sgc_buffer *out, sgc_error *err);
typedef sgc_status json_printer(const void *bytes, size_t size, sgc_buffer *out, sgc_error *err);

sgc_span span_of(const char *text);

/* Gives (free with sgc_buffer_free()) the bytes that `hex` spells. */
sgc_buffer from_hex(const char *hex);

/* Gives (free with sgc_buffer_free()) any JSON text in the one form that the store prints; keys are
 * sorted and unique. */
sgc_buffer random_json(uint64_t seed);

/* `encode` makes `hex` of `json`. */
void check_encodes(json_encoder *encode, const char *json, const char *hex);
/* `encode` refuses `json`, and appends nothing. */
void check_refuses(json_encoder *encode, const char *json);
/* `print` makes `json` of `hex`. */
void check_prints(json_printer *print, const char *hex, const char *json);
/* `print` finds `hex` corrupt, says `message`, and appends nothing. */
void check_corrupt(json_printer *print, const char *hex, const char *message);

/* Random values survive both ways. */
void check_round_trips(json_encoder *encode, json_printer *print);

/* `print` makes JSON of bytes that are cut or changed in one place, or finds them corrupt. Each
 * place gets all values with `thorough`. */
void check_garbled(json_printer *print, sgc_span bytes, bool thorough);

#endif
