/* Files on web servers as GDAL sees them.
 *
 * A VSI file system, /vsisgc/, over sgc_http: GDAL opens and decodes a COG, we fetch its bytes, so
 * that retries, classes of error, cancelling and counters exist once. A file is opened with one
 * range request of its head (which also tells its size); small reads are served from buffers,
 * GDAL's multi-range reads merge neighbouring ranges into one request. Nothing is written, nothing
 * is listed.
 *
 * GDAL's calls cannot carry our errors, so a thread that is about to call GDAL on such a file opens
 * an sgc_remote_call around it; the first failure inside is kept there with its status and message.
 */
#ifndef SGC_REMOTE_FILE_H
#define SGC_REMOTE_FILE_H

#include "datasets/cancel.h"
#include "datasets/http.h"
#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_remote_files sgc_remote_files;

/* Installs the file system unless that is done. A driver calls this when it is registered, before
 * there are threads: GDAL's table of file systems has no lock. */
SGC_CHECKED sgc_status sgc_remote_files_install(sgc_error *err);

/* Gives a family of files fetched through `http`, which it borrows. Free it after all GDAL handles
 * on its files are closed. Installs the file system if need be. Thread-safe. */
SGC_CHECKED sgc_status sgc_remote_files_new(sgc_http *http, sgc_remote_files **out, sgc_error *err);
void sgc_remote_files_free(sgc_remote_files *files);

/* From now on each file is fetched whole, in one request, when it is first opened, and the last few
 * are kept in memory: for servers that know no ranges. Call it before the first file is opened. */
void sgc_remote_files_fetch_whole(sgc_remote_files *files);

/* From now on the files beside a GeoTIFF that GDAL takes for parts of it (.aux.xml, .ovr, .msk,
 * .tfw) are looked for, unless the URL has a query; those that are not there, or are refused, are
 * no failures. Call it before the first file is opened. */
void sgc_remote_files_have_sidecars(sgc_remote_files *files);

/* Gives (free with free()) the name under which GDAL opens `url`. Only names made here are files:
 * others that GDAL derives from them do not exist and cost no request. */
SGC_CHECKED sgc_status sgc_remote_files_path(const sgc_remote_files *files, const char *url,
                                             char **path, sgc_error *err);

/* Forgets what is in memory of the file of that name, which may be damaged: the next who opens it
 * fetches it anew. Other names are ignored. */
void sgc_remote_forget(const char *path);

typedef struct sgc_remote_call {
    const sgc_cancel *cancel; /* may be NULL */
    sgc_status status;        /* of the first failed request inside, SGC_OK if none failed */
    sgc_error error;
    uint64_t bytes_received; /* inside */
    char etag[128];          /* of the last file opened inside; empty when the server gave none */
    char content_type[128];  /* likewise */
    struct sgc_remote_call *outer;
} sgc_remote_call;

/* Begins and ends the scope of GDAL calls on the calling thread; scopes may nest. The end returns
 * the first failure inside, with its message in `err`, or SGC_OK. */
void sgc_remote_call_begin(sgc_remote_call *call, const sgc_cancel *cancel);
sgc_status sgc_remote_call_end(sgc_remote_call *call, sgc_error *err);

/* Writes GDAL's last message of the calling thread as it may be shown: URLs, and names of files cut
 * from them, without user info and query. */
void sgc_remote_last_message(char *text, size_t size);

SGC_END_C

#endif
