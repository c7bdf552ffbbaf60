/* A server of autotest/servers as a child process, with a temporary directory to serve from.
 * Failures are those of the running cmocka test. */
#ifndef HTTP_SERVER_PROCESS_H
#define HTTP_SERVER_PROCESS_H

#include <cJSON.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct http_server {
    pid_t pid;
    int input; /* the server ends when this closes */
    unsigned port;
    char directory[64];
} http_server;

/* Starts `script`, a file of autotest/servers below $SGC_SOURCE_DIR (default "."). */
void http_server_start(http_server *server, const char *script);

/* Ends the server and removes its directory. */
void http_server_stop(http_server *server);

typedef struct http_server_url {
    char text[256];
} http_server_url;

http_server_url http_server_address(const http_server *server, const char *path);

/* Creates or replaces a served file. */
void http_server_write(const http_server *server, const char *name, const void *data, size_t size);

/* Makes the next requests misbehave; `json` as http_server.py explains. */
void http_server_fault(const http_server *server, const char *json);

/* Forgets faults and log, and wakes delayed answers. */
void http_server_reset(const http_server *server);

/* Gives (free with cJSON_Delete()) the list of requests so far. */
cJSON *http_server_log(const http_server *server);

/* How many requests there were. */
size_t http_server_count(const http_server *server);

#endif
