#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"

#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t spawn(const char *script, const char *directory, int input, int output)
{
    const char *source = getenv("SGC_SOURCE_DIR");
    char path[512];
    snprintf(path, sizeof path, "%s/autotest/servers/%s", source == NULL ? "." : source, script);
    char *const arguments[] = {"python3", path, (char *)directory, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    pid_t pid;
    assert_int_equal(posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

void http_server_start(http_server *server, const char *script)
{
    int to_server[2], from_server[2];
    *server = (http_server){.directory = "/tmp/sgc-served-XXXXXX"};
    assert_non_null(mkdtemp(server->directory));
    assert_int_equal(pipe2(to_server, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from_server, O_CLOEXEC), 0);
    server->pid = spawn(script, server->directory, to_server[0], from_server[1]);
    server->input = to_server[1];
    close(to_server[0]);
    close(from_server[1]);
    FILE *output = fdopen(from_server[0], "r");
    assert_non_null(output);
    assert_int_equal(fscanf(output, "PORT %u", &server->port), 1);
    fclose(output);
}

static void remove_directory(const char *directory)
{
    DIR *entries = opendir(directory);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    assert_int_equal(rmdir(directory), 0);
}

void http_server_stop(http_server *server)
{
    close(server->input);
    assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
    remove_directory(server->directory);
}

http_server_url http_server_address(const http_server *server, const char *path)
{
    http_server_url url;
    snprintf(url.text, sizeof url.text, "http://127.0.0.1:%u%s", server->port, path);
    return url;
}

void http_server_write(const http_server *server, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", server->directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Not through the client under test. */
static cJSON *order(const http_server *server, const char *path, const char *post)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    const http_server_url url = http_server_address(server, path);
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url.text);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, stream);
    if (post != NULL)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post);
    assert_int_equal(curl_easy_perform(easy), CURLE_OK);
    curl_easy_cleanup(easy);
    fclose(stream);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    free(text);
    return json;
}

void http_server_fault(const http_server *server, const char *json)
{
    cJSON_Delete(order(server, "/__fault", json));
}

void http_server_reset(const http_server *server)
{
    cJSON_Delete(order(server, "/__reset", ""));
}

cJSON *http_server_log(const http_server *server)
{
    return order(server, "/__log", NULL);
}

size_t http_server_count(const http_server *server)
{
    cJSON *log = http_server_log(server);
    const int count = cJSON_GetArraySize(log);
    cJSON_Delete(log);
    return (size_t)count;
}
