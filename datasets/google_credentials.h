/* Who the user is for Google's services, as GDAL's EEDA driver, the earthengine client and gcloud
 * know it.
 *
 * The first of these counts: EEDA_BEARER; EEDA_BEARER_FILE; EEDA_PRIVATE_KEY or
 * EEDA_PRIVATE_KEY_FILE with EEDA_CLIENT_EMAIL; the file of GOOGLE_APPLICATION_CREDENTIALS; the
 * earthengine client's own file, ~/.config/earthengine/credentials; gcloud's default credentials,
 * application_default_credentials.json in CLOUDSDK_CONFIG or ~/.config/gcloud; the metadata server
 * of a machine in Google's cloud (GCE_METADATA_HOST; not asked when CPL_GCE_SKIP=YES). All names in
 * capitals are GDAL configuration options, so environment variables too. No secret is ever part of
 * a message. */
#ifndef SGC_GOOGLE_CREDENTIALS_H
#define SGC_GOOGLE_CREDENTIALS_H

#include <stdbool.h>

#include "datasets/cancel.h"
#include "datasets/http.h"
#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_google_kind {
    SGC_GOOGLE_METADATA, /* none were found: the machine's, if it has any */
    SGC_GOOGLE_BEARER,
    SGC_GOOGLE_SERVICE,
    SGC_GOOGLE_USER,
} sgc_google_kind;

/* Texts that a kind does not use are NULL. */
typedef struct sgc_google_credentials {
    sgc_google_kind kind;
    char *origin; /* an option or a file, for messages */
    char *bearer;
    char *email, *private_key, *token_url;
    char *client_id, *client_secret, *refresh_token;
    char *project; /* of SGC_PROJECT, the files, or GOOGLE_CLOUD_PROJECT; NULL: none of them */
} sgc_google_credentials;

/* Gives the credentials that count, from options and files alone; free with
 * sgc_google_credentials_clear(). `project`, unless it is NULL, counts before all other places.
 * SGC_AUTH when they are unusable, which does not make later ones count. Thread-safe. */
SGC_CHECKED sgc_status sgc_google_credentials_find(const char *project, sgc_google_credentials *out,
                                                   sgc_error *err);
void sgc_google_credentials_clear(sgc_google_credentials *credentials);

/* Gives (free with free()) a token for Earth Engine, as it stands behind "Authorization: Bearer ".
 * Tokens are kept in the process and renewed a minute before they expire, or when `refused`, which
 * may be NULL, is the one that is kept. SGC_AUTH when Google gives none. Thread-safe. */
SGC_CHECKED sgc_status sgc_google_get_token(const sgc_google_credentials *credentials,
                                            sgc_http *http, const char *refused,
                                            const sgc_cancel *cancel, char **token, sgc_error *err);

SGC_END_C

#endif
