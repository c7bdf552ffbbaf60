/* Addresses in STAC documents. */
#ifndef SGC_STAC_HREF_H
#define SGC_STAC_HREF_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "store/error.h"

SGC_BEGIN_C

/* Gives (free with free()) the address that `href`, which may be relative, means in the document at
 * `base`. SGC_CORRUPT when that is none. */
SGC_CHECKED sgc_status sgc_href_resolve(const char *base, const char *href, char **out,
                                        sgc_error *err);

/* Gives (free with free()) the http(s) URL of an asset in the document at `base`: its "href", or
 * with `prefer_s3` its alternate "s3". s3://bucket/key and gs://bucket/key become the https
 * addresses that public buckets have, s3 in `region` when that is not NULL; AWS_S3_ENDPOINT,
 * AWS_HTTPS and AWS_VIRTUAL_HOSTING are read as GDAL does. SGC_CORRUPT when there is no href,
 * SGC_UNSUPPORTED for other schemes. */
SGC_CHECKED sgc_status sgc_href_of_asset(const cJSON *asset, bool prefer_s3, const char *region,
                                         const char *base, char **out, sgc_error *err);

/* Gives (free with free()) `url` as another endpoint has it: `mine` stands in for `theirs` where
 * `url` begins with that, else the host of `mine` for that of `url`. `theirs` may be NULL. */
SGC_CHECKED sgc_status sgc_href_rebase(const char *url, const char *theirs, const char *mine,
                                       char **out, sgc_error *err);

SGC_END_C

#endif
