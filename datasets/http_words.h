/* What may be shown of a server's words. */
#ifndef SGC_HTTP_WORDS_H
#define SGC_HTTP_WORDS_H

#include <curl/curl.h>

#include "datasets/http.h"

SGC_BEGIN_C

/* Copies the first line of what a server said: printable, without queries of URLs, and with "***"
 * for what the request told it about its user in `headers`, its URL, GDAL's options or a body that
 * stays. Nothing without memory. */
void sgc_http_copy_words(const sgc_http_request *request, const struct curl_slist *headers,
                         const char *said, char *line, size_t size);

SGC_END_C

#endif
