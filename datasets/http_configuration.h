/* GDAL's configuration options for HTTP, with the names, meanings and defaults of GDAL's own client
 * (GDAL_HTTP_PROXY, GDAL_HTTPS_PROXY, GDAL_HTTP_PROXYUSERPWD, GDAL_PROXY_AUTH,
 * GDAL_HTTP_UNSAFESSL, GDAL_HTTP_SSL_VERIFYSTATUS, GDAL_CURL_CA_BUNDLE, CURL_CA_BUNDLE,
 * SSL_CERT_FILE, GDAL_HTTP_CAPATH, GDAL_HTTP_VERSION, GDAL_HTTP_TCP_KEEPALIVE,
 * GDAL_HTTP_TCP_KEEPIDLE, GDAL_HTTP_TCP_KEEPINTVL, GDAL_HTTP_USERAGENT), and those that say who the
 * user is (GDAL_HTTP_HEADERS, GDAL_HTTP_HEADER_FILE, GDAL_HTTP_AUTH, GDAL_HTTP_USERPWD,
 * GDAL_HTTP_BEARER, GDAL_GSSAPI_DELEGATION, GDAL_HTTP_NETRC, GDAL_HTTP_NETRC_FILE,
 * GDAL_HTTP_COOKIE, GDAL_HTTP_COOKIEFILE, GDAL_HTTP_COOKIEJAR, GDAL_HTTP_SSLCERT,
 * GDAL_HTTP_SSLCERTTYPE, GDAL_HTTP_SSLKEY, GDAL_HTTP_KEYPASSWD).
 *
 * They are read from the calling thread, or from what VSISetPathSpecificOption() has set for
 * /vsicurl/URL. */
#ifndef SGC_HTTP_CONFIGURATION_H
#define SGC_HTTP_CONFIGURATION_H

#include <curl/curl.h>
#include <stdbool.h>

#include "store/error.h"

SGC_BEGIN_C

/* The value of any option for a URL, or NULL when it is not set or empty. */
const char *sgc_http_option(const char *url, const char *name);

/* Sets up `easy`, which is fresh or reset, for a request to `url`; with `trusts` also who the user
 * is. SGC_INVALID, naming the option, for a value that cannot be used. */
SGC_CHECKED sgc_status sgc_http_configure(CURL *easy, const char *url, bool trusts, sgc_error *err);

/* Keeps the cookies that an answer has brought in GDAL_HTTP_COOKIEJAR, and lets `easy` forget them.
 */
void sgc_http_configure_end(CURL *easy);

/* Adds the lines of GDAL_HTTP_HEADERS and GDAL_HTTP_HEADER_FILE to `headers`, but for names that
 * are there already. SGC_IO when the file cannot be read. */
SGC_CHECKED sgc_status sgc_http_configure_headers(const char *url, struct curl_slist **headers,
                                                  sgc_error *err);

/* Whether any option says who the user is, to a host that may know. */
bool sgc_http_configuration_names_user(const char *url);

SGC_END_C

#endif
