/* What the codecs of all kinds of files share (codec.h). */
#ifndef SGC_FLAT_HPP
#define SGC_FLAT_HPP

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "store/icechunk/codec.h"

#include "icechunk_generated.h"
#include <flatbuffers/util.h>

namespace sgc::codec
{

namespace fb = flatbuffers;

static_assert(sizeof(ice::ObjectId12) == sizeof(sgc_object_id), "layout of ids");
static_assert(sizeof(ice::ObjectId8) == sizeof(sgc_node_id), "layout of ids");

/* Ends a coding from any depth; caught at the boundary to C. */
struct Failure {
    sgc_status status;
    const char *message;
};

[[noreturn]] inline void corrupt(const char *message)
{
    throw Failure{SGC_CORRUPT, message};
}

/* Runs `work`, which may throw, on behalf of a C caller. */
template <class Work> sgc_status guarded(const char *what, sgc_error *err, Work work)
{
    try {
        return work();
    } catch (const Failure &failure) {
        return sgc_fail(err, failure.status, "%s: %s", what, failure.message);
    } catch (const std::bad_alloc &) {
        return sgc_fail_memory(err, 0, what);
    }
}

inline bool is_utf8(const char *text)
{
    while (*text != '\0')
        if (fb::FromUTF8(&text) < 0)
            return false;
    return true;
}

/* Items ascend, and no two are equal. */
template <class T, class Less>
void check_order(const T *items, size_t count, Less less, const char *message)
{
    for (size_t i = 1; i < count; i++)
        if (!less(items[i - 1], items[i]))
            corrupt(message);
}

/* ---- encoding ---- */

/* FlatBuffers only asserts that a buffer does not outgrow its offsets. */
class BoundedAllocator final : public fb::Allocator
{
  public:
    uint8_t *allocate(size_t size) override
    {
        if (size >= FLATBUFFERS_MAX_BUFFER_SIZE)
            throw Failure{SGC_UNSUPPORTED, "more than the 2 GiB a file can have"};
        return new uint8_t[size];
    }
    void deallocate(uint8_t *memory, size_t) override
    {
        delete[] memory;
    }
};

class Builder final : public fb::FlatBufferBuilder
{
  public:
    Builder() : fb::FlatBufferBuilder(1 << 16, new BoundedAllocator, true)
    {
    }
};

template <class T> using Vector = fb::Offset<fb::Vector<T>>;

inline const ice::ObjectId12 *flat(const sgc_object_id &id)
{
    return reinterpret_cast<const ice::ObjectId12 *>(&id);
}

inline const ice::ObjectId8 *flat(const sgc_node_id &id)
{
    return reinterpret_cast<const ice::ObjectId8 *>(&id);
}

inline fb::Offset<fb::String> flat_required(Builder &b, const char *text)
{
    if (text == nullptr || !is_utf8(text))
        throw Failure{SGC_INVALID, "a text is missing or not UTF-8"};
    return b.CreateString(text);
}

inline fb::Offset<fb::String> flat(Builder &b, const char *text)
{
    return text != nullptr ? flat_required(b, text) : fb::Offset<fb::String>();
}

inline Vector<uint8_t> flat(Builder &b, const sgc_bytes &bytes)
{
    return bytes.data != nullptr ? b.CreateVector(bytes.data, bytes.size) : Vector<uint8_t>();
}

/* The vector of what `encode` makes of each item. */
template <class T, class Encode>
auto flat_all(Builder &b, const T *items, size_t count, Encode encode)
{
    std::vector<decltype(encode(*items))> offsets;
    offsets.reserve(count);
    for (size_t i = 0; i < count; i++)
        offsets.push_back(encode(items[i]));
    return b.CreateVector(offsets);
}

inline auto flat_metadata(Builder &b, const sgc_metadata_item *items, size_t count)
{
    return flat_all(b, items, count, [&](const sgc_metadata_item &item) {
        const auto name = flat_required(b, item.name);
        const auto value = b.CreateVector(item.value, item.value_size);
        return ice::CreateMetadataItem(b, name, value);
    });
}

template <class Root> sgc_status finish(Builder &b, Root root, sgc_buffer *out, sgc_error *err)
{
    b.Finish(root, "Ichk");
    return sgc_buffer_append(out, b.GetBufferPointer(), b.GetSize(), err);
}

/* ---- decoding ---- */

/* The root of a buffer in which every offset has been followed. No writer shares tables that have
 * parts, so there are no more tables than there is room for offsets to them; what shares them could
 * keep the verifier busy for hours. */
template <class Root>
const Root &verified(const void *buffer, size_t size, unsigned max_depth, unsigned max_tables)
{
    if (size >= FLATBUFFERS_MAX_BUFFER_SIZE)
        corrupt("2 GiB or more");
    fb::Verifier verifier(
        static_cast<const uint8_t *>(buffer), size, max_depth,
        std::min(max_tables, static_cast<unsigned>(size / sizeof(fb::uoffset_t))));
    if (!verifier.VerifyBuffer<Root>(nullptr))
        corrupt("not a valid FlatBuffers buffer");
    return *fb::GetRoot<Root>(buffer);
}

/* The caller's arena, with a limit on what one buffer takes of it: a small one can claim to hold
 * the same large vector a million times.
 *
 * What stands in a buffer once becomes at most 4 times as large (16 times where locations are
 * compressed), so `kGrowth` leaves room for writers that store equal texts once; small buffers may
 * do so without limit. What the official library can read (2^31 bytes visited: 27 million
 * references) stays below `kMost`. */
class Memory
{
  public:
    Memory(sgc_arena *arena, size_t buffer_size)
        : arena_(arena), limit_(arena->total + std::min(kGrowth * buffer_size + kSmall, kMost))
    {
    }

    /* `count` times `width` zeroed items. */
    template <class T> T *list(size_t count, size_t width = 1)
    {
        size_t items;
        if (!sgc_multiply(count, width, &items))
            throw std::bad_alloc();
        take(items, sizeof(T));
        return checked(static_cast<T *>(sgc_arena_alloc(arena_, items, sizeof(T))));
    }

    /* NULL stays NULL. */
    const char *text(const fb::String *text)
    {
        return text != nullptr ? this->text(text->c_str(), text->size()) : nullptr;
    }
    const char *text(const char *text, size_t size)
    {
        if (std::memchr(text, '\0', size) != nullptr)
            corrupt("a text contains a NUL");
        take(size + 1, 1);
        const char *result = checked(sgc_arena_string(arena_, text, size));
        if (!is_utf8(result))
            corrupt("a text is not UTF-8");
        return result;
    }

    sgc_bytes bytes(const fb::Vector<uint8_t> *bytes)
    {
        return bytes != nullptr ? sgc_bytes{copy(bytes->data(), bytes->size()), bytes->size()}
                                : sgc_bytes{};
    }

    /* `items` have no alignment. */
    template <class T> const T *copy(const T *items, size_t count)
    {
        take(count, sizeof(T));
        return checked(static_cast<T *>(sgc_arena_copy(arena_, items, count * sizeof(T))));
    }

    /* What `decode` makes of each table of a vector; nothing of NULL. */
    template <class T, class Table, class Decode>
    const T *all(const fb::Vector<fb::Offset<Table>> *tables, size_t *count, Decode decode)
    {
        *count = tables != nullptr ? tables->size() : 0;
        T *result = list<T>(*count);
        for (fb::uoffset_t i = 0; i < *count; i++)
            result[i] = decode(*tables->Get(i));
        return result;
    }

  private:
    static constexpr uint64_t kGrowth = 64, kSmall = 1 << 20, kMost = uint64_t{1} << 32;

    void take(size_t count, size_t size)
    {
        size_t bytes;
        if (!sgc_multiply(count, size, &bytes) || arena_->total > limit_ ||
            bytes > limit_ - arena_->total)
            corrupt("the same bytes are used too many times");
    }

    template <class T> static T *checked(T *memory)
    {
        if (memory == nullptr)
            throw std::bad_alloc();
        return memory;
    }

    sgc_arena *arena_;
    uint64_t limit_;
};

inline sgc_object_id plain(const ice::ObjectId12 &id)
{
    sgc_object_id result;
    std::memcpy(result.bytes, id.bytes()->data(), sizeof result.bytes);
    return result;
}

inline sgc_node_id plain(const ice::ObjectId8 &id)
{
    sgc_node_id result;
    std::memcpy(result.bytes, id.bytes()->data(), sizeof result.bytes);
    return result;
}

inline sgc_metadata_item plain(const ice::MetadataItem &item, Memory &memory)
{
    const sgc_bytes value = memory.bytes(item.value());
    return {memory.text(item.name()), value.data, value.size};
}

} // namespace sgc::codec

#endif
