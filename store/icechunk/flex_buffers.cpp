#include "store/icechunk/flex_buffers.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include <flatbuffers/flexbuffers.h>

#include "store/zarr/json_number.h"

namespace flex = flexbuffers;

namespace
{

/* Ends the work from any depth, the message being written; caught at the boundary to C. */
struct Failure {
    sgc_status status;
};

void check(sgc_status status)
{
    if (status != SGC_OK)
        throw Failure{status};
}

/* Runs `work`, which may throw, on behalf of a C caller. */
template <class Work> sgc_status guarded(sgc_buffer *out, sgc_error *err, Work work)
{
    const size_t start = out->size;
    sgc_status status = SGC_OK;
    try {
        work();
    } catch (const Failure &failure) {
        status = failure.status;
    } catch (const std::bad_alloc &) {
        status = sgc_fail_memory(err, 0, "FlexBuffers");
    } catch (const std::length_error &) {
        status = sgc_fail_memory(err, 0, "FlexBuffers");
    }
    if (status != SGC_OK)
        out->size = start;
    return status;
}

void check_depth(int depth, sgc_error *err)
{
    if (depth >= SGC_VALUE_DEPTH)
        check(sgc_fail(err, SGC_CORRUPT, "values nest deeper than %d", SGC_VALUE_DEPTH));
}

/* ---- encoding ---- */

struct Encoder {
    flex::Builder b;
    sgc_error *err;
};

struct Text {
    sgc_buffer buffer = {};

    Text() = default;
    Text(const Text &) = delete;
    Text &operator=(const Text &) = delete;
    ~Text()
    {
        sgc_buffer_free(&buffer);
    }

    /* What the JSON string `quoted` means; a NUL follows. */
    const char *decode(sgc_span quoted, sgc_error *err)
    {
        check(sgc_json_unquote(quoted, &buffer, err));
        return reinterpret_cast<const char *>(buffer.data);
    }
};

void put_string(Encoder &e, sgc_span json)
{
    Text text;
    const char *decoded = text.decode(json, e.err);
    e.b.String(decoded, text.buffer.size);
}

void put_key(Encoder &e, sgc_span json)
{
    Text text;
    const char *decoded = text.decode(json, e.err);
    if (std::strlen(decoded) != text.buffer.size)
        check(sgc_fail(e.err, SGC_CORRUPT, "a key contains a NUL"));
    e.b.Key(decoded, text.buffer.size);
}

void put_number(Encoder &e, sgc_span json)
{
    sgc_number number;
    check(sgc_json_number_parse(json, &number, e.err));
    switch (number.kind) {
    case SGC_NUMBER_UNSIGNED:
        e.b.UInt(number.value.positive);
        break;
    case SGC_NUMBER_NEGATIVE:
        e.b.Int(number.value.negative);
        break;
    case SGC_NUMBER_DOUBLE:
        e.b.Double(number.value.real);
        break;
    }
}

void put_value(Encoder &e, sgc_span json, int depth);

void put_array(Encoder &e, sgc_span json, int depth)
{
    check_depth(depth, e.err);
    const size_t start = e.b.StartVector();
    size_t position = 0;
    sgc_span element;
    sgc_status status;
    while ((status = sgc_json_next(json, &position, &element, e.err)) == SGC_OK)
        put_value(e, element, depth + 1);
    if (status != SGC_NOT_FOUND)
        check(status);
    e.b.EndVector(start, false, false);
}

void put_object(Encoder &e, sgc_span json, int depth)
{
    check_depth(depth, e.err);
    const size_t start = e.b.StartMap();
    size_t position = 0;
    sgc_span key, value;
    sgc_status status;
    while ((status = sgc_json_next_pair(json, &position, &key, &value, e.err)) == SGC_OK) {
        put_key(e, key);
        put_value(e, value, depth + 1);
    }
    if (status != SGC_NOT_FOUND)
        check(status);
    e.b.EndMap(start);
}

void put_value(Encoder &e, sgc_span json, int depth)
{
    const sgc_json_kind kind = sgc_json_kind_of(json);
    switch (kind) {
    case SGC_JSON_NULL:
        return e.b.Null();
    case SGC_JSON_FALSE:
    case SGC_JSON_TRUE:
        return e.b.Bool(kind == SGC_JSON_TRUE);
    case SGC_JSON_STRING:
        return put_string(e, json);
    case SGC_JSON_ARRAY:
        return put_array(e, json, depth);
    case SGC_JSON_OBJECT:
        return put_object(e, json, depth);
    case SGC_JSON_NUMBER:
        return put_number(e, json);
    }
}

void encode(sgc_span json, sgc_buffer *out, sgc_error *err)
{
    Encoder e = {{}, err};
    sgc_span value;
    check(sgc_json_whole(json, &value, err));
    put_value(e, value, 0);
    if (e.b.HasDuplicateKeys())
        check(sgc_fail(err, SGC_CORRUPT, "an object has a key twice"));
    e.b.Finish();
    check(sgc_buffer_append(out, e.b.GetBuffer().data(), e.b.GetSize(), err));
}

/* ---- printing ----
 *
 * Not with the library's readers: its verifier (2.0.8) lets keys run past the end. */

/* Where text that shared parts blow up is cut off. */
constexpr size_t kMaxText = 64 << 20;
constexpr size_t kMaxGrowth = 1000;

struct Printer {
    const unsigned char *bytes;
    size_t size;
    sgc_buffer *out;
    size_t most; /* how large `out` may become */
    sgc_error *err;
};

/* A value: a slot, and what its owner says about it. */
struct Value {
    size_t slot;       /* position */
    size_t slot_width; /* bytes */
    unsigned type;
    size_t width; /* of what the slot points to */
};

/* Slots behind one another, all within the bytes. */
struct Slots {
    size_t first;
    size_t width;
    size_t count;
};

/* Throws unless `good`. */
void demand(bool good, const Printer &p, const char *what)
{
    if (!good)
        check(sgc_fail(p.err, SGC_CORRUPT, "FlexBuffers: %s", what));
}

bool is_width(uint64_t width)
{
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* The bytes must be there. */
uint64_t read_unsigned(const Printer &p, size_t position, size_t width)
{
    uint64_t value = 0;
    std::memcpy(&value, p.bytes + position, width);
    return value;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this library needs a little-endian machine"
#endif

/* After each piece of text. */
void check_growth(const Printer &p)
{
    demand(p.out->size <= p.most, p, "shared parts make the value too large");
}

void append(const Printer &p, const char *text)
{
    check(sgc_buffer_append(p.out, text, std::strlen(text), p.err));
    check_growth(p);
}

void append_quoted(const Printer &p, size_t position, size_t size)
{
    const sgc_span text = {reinterpret_cast<const char *>(p.bytes) + position, size};
    demand(sgc_is_utf8(text), p, "a string is not UTF-8");
    check(sgc_json_quote_span(p.out, text, p.err));
    check_growth(p);
}

/* Follows the offset in a slot. */
size_t follow(const Printer &p, size_t slot, size_t width)
{
    const uint64_t offset = read_unsigned(p, slot, width);
    demand(offset <= slot, p, "an offset leaves the bytes");
    return slot - static_cast<size_t>(offset);
}

size_t follow(const Printer &p, const Value &value)
{
    return follow(p, value.slot, value.slot_width);
}

/* Finds slots whose number stands before them. */
Slots read_slots(const Printer &p, size_t first, size_t width)
{
    demand(first >= width, p, "a length is missing");
    const uint64_t count = read_unsigned(p, first - width, width);
    demand(count <= (p.size - first) / width, p, "a length leaves the bytes");
    return {first, width, static_cast<size_t>(count)};
}

void print_integer(const Printer &p, size_t position, size_t width, bool is_signed)
{
    const uint64_t bits = read_unsigned(p, position, width);
    const uint64_t sign = uint64_t{1} << (8 * width - 1);
    if (is_signed)
        check(sgc_buffer_print(p.out, p.err, "%lld", static_cast<long long>((bits ^ sign) - sign)));
    else
        check(sgc_buffer_print(p.out, p.err, "%llu", static_cast<unsigned long long>(bits)));
    check_growth(p);
}

void print_float(const Printer &p, size_t position, size_t width)
{
    float single = 0;
    double value = 0;
    demand(width == sizeof single || width == sizeof value, p, "a number of less than 32 bits");
    if (width == sizeof single) {
        std::memcpy(&single, p.bytes + position, sizeof single);
        value = static_cast<double>(single);
    } else {
        std::memcpy(&value, p.bytes + position, sizeof value);
    }
    check(sgc_json_print_double(p.out, value, p.err));
    check_growth(p);
}

/* Prints a scalar of `type` that stands at `position`. */
void print_scalar(const Printer &p, unsigned type, size_t position, size_t width)
{
    switch (type) {
    case flex::FBT_NULL:
        return append(p, "null");
    case flex::FBT_BOOL:
        return append(p, read_unsigned(p, position, width) != 0 ? "true" : "false");
    case flex::FBT_FLOAT:
        return print_float(p, position, width);
    default:
        return print_integer(p, position, width, type == flex::FBT_INT);
    }
}

void print_indirect(const Printer &p, const Value &value)
{
    const size_t target = follow(p, value);
    demand(p.size - target >= value.width, p, "a number leaves the bytes");
    print_scalar(p, value.type - flex::FBT_INDIRECT_INT + flex::FBT_INT, target, value.width);
}

void print_key(const Printer &p, size_t slot, size_t width)
{
    const size_t target = follow(p, slot, width);
    const size_t room = p.size - target;
    const size_t size = strnlen(reinterpret_cast<const char *>(p.bytes) + target, room);
    demand(size < room, p, "a key without an end");
    append_quoted(p, target, size);
}

void print_string(const Printer &p, const Value &value)
{
    const size_t target = follow(p, value);
    demand(target >= value.width, p, "a length is missing");
    const uint64_t size = read_unsigned(p, target - value.width, value.width);
    demand(size <= p.size - target, p, "a string leaves the bytes");
    append_quoted(p, target, static_cast<size_t>(size));
}

/* Prints slots that all have one type: inline scalars, or keys. */
void print_typed(const Printer &p, const Slots &slots, unsigned type)
{
    append(p, "[");
    for (size_t i = 0; i < slots.count; i++) {
        const size_t slot = slots.first + i * slots.width;
        if (i > 0)
            append(p, ",");
        if (type == flex::FBT_KEY)
            print_key(p, slot, slots.width);
        else
            print_scalar(p, type, slot, slots.width);
    }
    append(p, "]");
}

void print_typed_vector(const Printer &p, const Value &value)
{
    unsigned type = value.type - flex::FBT_VECTOR_INT + flex::FBT_INT;
    if (value.type == flex::FBT_VECTOR_BOOL)
        type = flex::FBT_BOOL;
    /* These have no widths for the lengths of their strings, which are read as keys. */
    if (value.type == flex::FBT_VECTOR_STRING_DEPRECATED)
        type = flex::FBT_KEY;
    print_typed(p, read_slots(p, follow(p, value), value.width), type);
}

void print_fixed_vector(const Printer &p, const Value &value)
{
    const unsigned kind = value.type - flex::FBT_VECTOR_INT2;
    const Slots slots = {follow(p, value), value.width, kind / 3 + 2};
    demand(slots.count <= (p.size - slots.first) / slots.width, p, "a vector leaves the bytes");
    print_typed(p, slots, kind % 3 + flex::FBT_INT);
}

/* Finds the slots of an untyped vector or map, behind which their types stand. */
Slots read_elements(const Printer &p, const Value &value)
{
    const Slots slots = read_slots(p, follow(p, value), value.width);
    demand(slots.count <= p.size - slots.first - slots.count * slots.width, p,
           "the types of a vector leave the bytes");
    return slots;
}

void print_value(const Printer &p, const Value &value, int depth);

void print_element(const Printer &p, const Slots &slots, size_t i, int depth)
{
    const unsigned packed = p.bytes[slots.first + slots.count * slots.width + i];
    print_value(
        p, {slots.first + i * slots.width, slots.width, packed >> 2, size_t{1} << (packed & 3)},
        depth + 1);
}

void print_vector(const Printer &p, const Value &value, int depth)
{
    check_depth(depth, p.err);
    const Slots slots = read_elements(p, value);
    append(p, "[");
    for (size_t i = 0; i < slots.count; i++) {
        if (i > 0)
            append(p, ",");
        print_element(p, slots, i, depth);
    }
    append(p, "]");
}

/* Before the length of a map stand the offset and the width of its keys. */
Slots read_keys(const Printer &p, const Slots &values)
{
    demand(values.first >= 3 * values.width, p, "a map without keys");
    const size_t prefix = values.first - 3 * values.width;
    const uint64_t width = read_unsigned(p, prefix + values.width, values.width);
    demand(is_width(width), p, "keys of an unknown width");
    const Slots keys = read_slots(p, follow(p, prefix, values.width), static_cast<size_t>(width));
    demand(keys.count == values.count, p, "a map whose keys and values differ in number");
    return keys;
}

void print_map(const Printer &p, const Value &value, int depth)
{
    check_depth(depth, p.err);
    const Slots values = read_elements(p, value);
    const Slots keys = read_keys(p, values);
    append(p, "{");
    for (size_t i = 0; i < values.count; i++) {
        if (i > 0)
            append(p, ",");
        print_key(p, keys.first + i * keys.width, keys.width);
        append(p, ":");
        print_element(p, values, i, depth);
    }
    append(p, "}");
}

/* The slot lies within the bytes, the widths are known ones. */
void print_value(const Printer &p, const Value &value, int depth)
{
    const auto type = static_cast<flex::Type>(value.type);
    switch (type) {
    case flex::FBT_NULL:
    case flex::FBT_INT:
    case flex::FBT_UINT:
    case flex::FBT_FLOAT:
    case flex::FBT_BOOL:
        return print_scalar(p, value.type, value.slot, value.slot_width);
    case flex::FBT_KEY:
        return print_key(p, value.slot, value.slot_width);
    case flex::FBT_STRING:
        return print_string(p, value);
    case flex::FBT_INDIRECT_INT:
    case flex::FBT_INDIRECT_UINT:
    case flex::FBT_INDIRECT_FLOAT:
        return print_indirect(p, value);
    case flex::FBT_MAP:
        return print_map(p, value, depth);
    case flex::FBT_VECTOR:
        return print_vector(p, value, depth);
    default:
        demand(type != flex::FBT_BLOB, p, "blobs are not allowed in metadata");
        demand(flex::IsTypedVector(type) || flex::IsFixedTypedVector(type), p,
               "a value of an unknown type");
        return flex::IsTypedVector(type) ? print_typed_vector(p, value)
                                         : print_fixed_vector(p, value);
    }
}

void print(const Printer &p)
{
    demand(p.size >= 3, p, "fewer than 3 bytes");
    const size_t width = p.bytes[p.size - 1];
    const unsigned packed = p.bytes[p.size - 2];
    demand(is_width(width) && width <= p.size - 2, p, "a root of an unknown width");
    print_value(p, {p.size - 2 - width, width, packed >> 2, size_t{1} << (packed & 3)}, 0);
}

} // namespace

sgc_status sgc_flex_buffers_encode(sgc_span json, sgc_buffer *out, sgc_error *err)
{
    return guarded(out, err, [&] { encode(json, out, err); });
}

sgc_status sgc_flex_buffers_print(const void *bytes, size_t size, sgc_buffer *out, sgc_error *err)
{
    const size_t most = out->size + std::min(size, kMaxText / kMaxGrowth) * kMaxGrowth;
    return guarded(out, err, [&] {
        print({static_cast<const unsigned char *>(bytes), size, out, most, err});
    });
}
