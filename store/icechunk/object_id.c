#include "store/icechunk/object_id.h"

#include <errno.h>
#include <sys/random.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static sgc_status fill_random(uint8_t *bytes, size_t size, sgc_error *err)
{
    while (size > 0) {
        const ssize_t n = getrandom(bytes, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sgc_fail(err, SGC_IO, "the system has no random numbers: %s", strerror(errno));
        bytes += n;
        size -= (size_t)n;
    }
    return SGC_OK;
}

sgc_status sgc_object_id_random(sgc_object_id *id, sgc_error *err)
{
    return fill_random(id->bytes, sizeof id->bytes, err);
}

sgc_status sgc_node_id_random(sgc_node_id *id, sgc_error *err)
{
    return fill_random(id->bytes, sizeof id->bytes, err);
}

void sgc_object_id_format(const sgc_object_id *id, char text[SGC_OBJECT_ID_TEXT + 1])
{
    for (unsigned i = 0; i < SGC_OBJECT_ID_TEXT; i++) {
        const unsigned bit = 5 * i, byte = bit / 8, shift = bit % 8;
        const unsigned next = byte + 1 < sizeof id->bytes ? id->bytes[byte + 1] : 0;
        const unsigned pair = (unsigned)id->bytes[byte] << 8 | next;
        text[i] = alphabet[pair >> (11 - shift) & 31];
    }
    text[SGC_OBJECT_ID_TEXT] = '\0';
}

/* The value of a character, or -1. */
static int digit_of(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

sgc_status sgc_object_id_parse(const char *text, size_t length, sgc_object_id *id, sgc_error *err)
{
    sgc_object_id result = {{0}};
    if (length != SGC_OBJECT_ID_TEXT)
        return sgc_fail(err, SGC_INVALID, "\"%.*s\" is not an id of %d characters",
                        (int)(length < 64 ? length : 64), text, SGC_OBJECT_ID_TEXT);
    for (unsigned i = 0; i < SGC_OBJECT_ID_TEXT; i++) {
        const int digit = digit_of(text[i]);
        if (digit < 0)
            return sgc_fail(err, SGC_INVALID, "\"%.*s\" is not an id: bad character",
                            SGC_OBJECT_ID_TEXT, text);
        const unsigned bit = 5 * i, byte = bit / 8, shift = bit % 8;
        const unsigned pair = (unsigned)digit << (11 - shift);
        result.bytes[byte] |= (uint8_t)(pair >> 8);
        if (byte + 1 < sizeof result.bytes)
            result.bytes[byte + 1] |= (uint8_t)pair;
    }
    *id = result;
    return SGC_OK;
}
