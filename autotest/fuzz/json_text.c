#include "autotest/fuzz/fuzz.h"

#include "store/zarr/json_number.h"
#include "store/zarr/json_text.h"

static bool lies_in(sgc_span part, sgc_span whole)
{
    return part.text >= whole.text && part.text + part.size <= whole.text + whole.size;
}

/* A text means the same after it was read and written. */
static void check_string(sgc_span string)
{
    sgc_buffer text = {0}, quoted = {0}, again = {0};
    if (sgc_json_unquote(string, &text, NULL) == SGC_OK) {
        const sgc_span span = {(char *)text.data, text.size};
        demand(sgc_is_utf8(span));
        demand(sgc_json_quote_span(&quoted, span, NULL) == SGC_OK);
        demand(sgc_json_unquote((sgc_span){(char *)quoted.data, quoted.size}, &again, NULL) ==
               SGC_OK);
        demand(same_bytes(&text, &again));
    }
    sgc_buffer_free(&text);
    sgc_buffer_free(&quoted);
    sgc_buffer_free(&again);
}

static void check_number(sgc_span value)
{
    sgc_number number, again;
    sgc_buffer text = {0};
    if (sgc_json_number_parse(value, &number, NULL) == SGC_OK && number.kind == SGC_NUMBER_DOUBLE) {
        demand(sgc_json_print_double(&text, number.value.real, NULL) == SGC_OK);
        demand(sgc_json_number_parse((sgc_span){(char *)text.data, text.size}, &again, NULL) ==
               SGC_OK);
        demand(again.kind == SGC_NUMBER_DOUBLE && again.value.real == number.value.real);
    }
    sgc_buffer_free(&text);
}

static void check_array(sgc_span array)
{
    size_t position = 0, count = 0, elements = 0;
    sgc_span element;
    sgc_status status;
    while ((status = sgc_json_next(array, &position, &element, NULL)) == SGC_OK) {
        demand(lies_in(element, array));
        check_number(element);
        elements++;
    }
    if (sgc_json_kind_of(array) == SGC_JSON_OBJECT)
        return;
    demand((sgc_json_count(array, &count, NULL) == SGC_OK) == (status == SGC_NOT_FOUND));
    demand(status != SGC_NOT_FOUND || count == elements);
}

/* The member "a" is what it is replaced by. */
static void check_replace(sgc_span object)
{
    static const sgc_span value = {"[1]", 3};
    sgc_buffer out = {0};
    sgc_span found;
    if (sgc_json_replace(object, "a", value, &out, NULL) == SGC_OK) {
        const sgc_span changed = {(char *)out.data, out.size};
        demand(sgc_json_find(changed, "a", &found, NULL) == SGC_OK);
        demand(sgc_span_is(found, "[1]"));
    }
    sgc_buffer_free(&out);
}

static void check_object(sgc_span object)
{
    size_t position = 0;
    sgc_span key, value;
    while (sgc_json_next_pair(object, &position, &key, &value, NULL) == SGC_OK) {
        demand(lies_in(key, object) && lies_in(value, object));
        check_string(key);
    }
    check_replace(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const sgc_span text = {(const char *)data, size};
    sgc_span value;
    check_string(text);
    check_number(text);
    check_array(text);
    check_object(text);
    if (sgc_json_whole(text, &value, NULL) == SGC_OK) {
        demand(lies_in(value, text));
        check_object(value);
        check_array(value);
    }
    return 0;
}
