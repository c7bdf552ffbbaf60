/* Signatures that a service asks for on the addresses of files: Planetary Computer's tokens
 * (datasets guide 5), one for each container of Azure's blob storage, and for files at the service
 * itself one for the collection. */
#ifndef SGC_STAC_SIGN_H
#define SGC_STAC_SIGN_H

#include <stdbool.h>

#include "datasets/cancel.h"
#include "datasets/http.h"
#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_signer sgc_signer;

/* Gives a signer for a collection; it borrows `http` and copies the rest. Asks nobody yet. The
 * configuration option VSICURL_PC_SAS_TOKEN_URL, which GDAL has too, names another token service.
 */
SGC_CHECKED sgc_status sgc_signer_new(sgc_http *http, const char *collection, sgc_signer **out,
                                      sgc_error *err);
void sgc_signer_free(sgc_signer *signer);

typedef struct sgc_signed_url {
    char *url;
    struct sgc_memo_entry *token; /* in use; NULL: `url` goes without */
    bool is_fresh;                /* the token was fetched for this very call */
} sgc_signed_url;

/* Gives (release with sgc_signer_release()) `url` with a token that is good for a minute at least,
 * kept or new. A file of Azure's blob storage gets the token of its account and container, over
 * https alone, and one with scheme, host and port of the token service that of the collection;
 * other addresses, and those that have a signature, are given as they are. Thread-safe. */
SGC_CHECKED sgc_status sgc_signer_sign(sgc_signer *signer, const char *url,
                                       const sgc_cancel *cancel, sgc_signed_url *out,
                                       sgc_error *err);

/* With `refused`, the token is not used again. Thread-safe. */
void sgc_signer_release(sgc_signer *signer, sgc_signed_url *url, bool refused);

SGC_END_C

#endif
