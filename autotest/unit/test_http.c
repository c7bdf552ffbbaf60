#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/http.h"

#include <cpl_conv.h>
#include <cpl_vsi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CONTENT_SIZE = 100000, FOREVER_MS = 600000 };

static http_server server;
static unsigned char content[CONTENT_SIZE];

static int start_server(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (unsigned char)(i * 7 + i / 251);
    http_server_start(&server, "http_server.py");
    http_server_write(&server, "a.bin", content, sizeof content);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    http_server_reset(&server);
    return 0;
}

static sgc_http *new_client(sgc_http_options options)
{
    sgc_http *http;
    sgc_error err;
    assert_int_equal(sgc_http_new(&options, &http, &err), SGC_OK);
    return http;
}

static sgc_http *patient_client(unsigned retries)
{
    return new_client(
        (sgc_http_options){.max_requests = 2, .retries = retries, .first_delay_ms = 1});
}

/* A request that succeeds must leave the error alone. */
static sgc_status perform(sgc_http *http, sgc_http_request request, sgc_http_response *response,
                          sgc_error *err)
{
    strcpy(err->message, "untouched");
    const sgc_status status = sgc_http_perform(http, &request, NULL, response, err);
    if (status == SGC_OK)
        assert_string_equal(err->message, "untouched");
    return status;
}

static sgc_status get(sgc_http *http, const char *path, sgc_error *err)
{
    const http_server_url url = http_server_address(&server, path);
    sgc_http_response response;
    const sgc_status status =
        perform(http, (sgc_http_request){.method = "GET", .url = url.text}, &response, err);
    if (status == SGC_OK)
        sgc_http_response_clear(&response);
    return status;
}

static sgc_status get_range(sgc_http *http, uint64_t first, uint64_t last,
                            sgc_http_response *response, sgc_error *err)
{
    const http_server_url url = http_server_address(&server, "/a.bin");
    return perform(http,
                   (sgc_http_request){.method = "GET",
                                      .url = url.text,
                                      .has_range = true,
                                      .range_first = first,
                                      .range_last = last},
                   response, err);
}

static void fault(const char *format, ...) SGC_PRINTF(1, 2);

static void fault(const char *format, ...)
{
    char json[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(json, sizeof json, format, args);
    va_end(args);
    http_server_fault(&server, json);
}

static int log_number(const cJSON *entry, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(entry, name)->valueint;
}

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Waits until so many requests have arrived. */
static void await_requests(size_t count)
{
    for (int i = 0; http_server_count(&server) < count; i++) {
        assert_true(i < 3000);
        wait_ms(10);
    }
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", text, part);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("\"%s\" has \"%s\"", text, part);
}

/* ---- good answers ---- */

static void test_get(void **state)
{
    (void)state;
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/a.bin");
    assert_int_equal(
        perform(http, (sgc_http_request){.method = "GET", .url = url.text}, &response, &err),
        SGC_OK);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.size, CONTENT_SIZE);
    assert_memory_equal(response.data, content, CONTENT_SIZE);
    assert_int_equal(response.data[CONTENT_SIZE], 0);
    assert_int_equal(response.total_size, CONTENT_SIZE);
    assert_string_equal(response.content_type, "application/octet-stream");
    assert_true(response.etag[0] == '"');
    sgc_http_response_clear(&response);
    assert_null(response.data);

    const sgc_http_counters counters = sgc_http_get_counters(http);
    assert_int_equal(counters.requests, 1);
    assert_int_equal(counters.bytes_received, CONTENT_SIZE);
    sgc_http_free(http);
}

static void test_head_has_size_and_no_body(void **state)
{
    (void)state;
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/a.bin");
    assert_int_equal(
        perform(http, (sgc_http_request){.method = "HEAD", .url = url.text}, &response, &err),
        SGC_OK);
    assert_int_equal(response.size, 0);
    assert_int_equal(response.data[0], 0);
    assert_int_equal(response.total_size, CONTENT_SIZE);
    sgc_http_response_clear(&response);
    sgc_http_free(http);
}

static void test_post_sends_body_and_headers(void **state)
{
    (void)state;
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/a.bin");
    const char *const headers[] = {"Content-Type: application/json", "X-Test: yes", NULL};
    const sgc_http_request request = {
        .method = "POST", .url = url.text, .headers = headers, .body = "{\"a\":1}", .body_size = 7};
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    sgc_http_response_clear(&response);

    cJSON *log = http_server_log(&server);
    const cJSON *entry = cJSON_GetArrayItem(log, 0);
    const cJSON *sent = cJSON_GetObjectItem(entry, "headers");
    assert_string_equal(cJSON_GetObjectItem(entry, "method")->valuestring, "POST");
    assert_string_equal(cJSON_GetObjectItem(entry, "body")->valuestring, "{\"a\":1}");
    assert_string_equal(cJSON_GetObjectItem(sent, "Content-Type")->valuestring, "application/json");
    assert_string_equal(cJSON_GetObjectItem(sent, "X-Test")->valuestring, "yes");
    cJSON_Delete(log);
    sgc_http_free(http);
}

static void check_range(uint64_t first, uint64_t last, size_t size)
{
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(get_range(http, first, last, &response, &err), SGC_OK);
    assert_int_equal(response.size, size);
    assert_memory_equal(response.data, content + first, size);
    assert_int_equal(response.total_size, CONTENT_SIZE);
    sgc_http_response_clear(&response);
    sgc_http_free(http);
}

static void test_range(void **state)
{
    (void)state;
    check_range(0, 0, 1);
    check_range(1000, 1999, 1000);
    check_range(CONTENT_SIZE - 10, CONTENT_SIZE - 1, 10);
    check_range(CONTENT_SIZE - 10, CONTENT_SIZE + 10, 10);
    check_range(0, UINT64_MAX - 1, CONTENT_SIZE);
}

static void test_range_answered_with_200(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"ignore_range\": true}");
    test_range(state);
}

static void test_range_answered_with_200_of_unknown_size(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"ignore_range\": true, \"chunked\": true}");
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(get_range(http, 1000, 1999, &response, &err), SGC_OK);
    assert_int_equal(response.size, 1000);
    assert_memory_equal(response.data, content + 1000, 1000);
    assert_true(response.total_size == UINT64_MAX);
    sgc_http_response_clear(&response);
    sgc_http_free(http);
}

static void test_range_beyond_the_end(void **state)
{
    (void)state;
    sgc_http *http = patient_client(3);
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(get_range(http, CONTENT_SIZE, CONTENT_SIZE + 9, &response, &err), SGC_INVALID);
    fault("{\"path\": \"/a.bin\", \"ignore_range\": true}");
    assert_int_equal(get_range(http, CONTENT_SIZE, CONTENT_SIZE + 9, &response, &err), SGC_INVALID);
    assert_int_equal(http_server_count(&server), 2);
    sgc_http_free(http);
}

static void test_wrong_content_range_is_repeated(void **state)
{
    (void)state;
    static const char *const wrong[] = {"bytes 0-9/100000",     "bytes 100-108/100000",
                                        "bytes 100-110/100000", "bytes 100-109/50",
                                        "items 1-2/3",          ""};
    sgc_http *http = patient_client(1);
    sgc_http_response response;
    sgc_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"times\": 1, \"headers\": {\"Content-Range\": \"%s\"}}",
              wrong[i]);
        assert_int_equal(get_range(http, 100, 109, &response, &err), SGC_OK);
        assert_memory_equal(response.data, content + 100, 10);
        sgc_http_response_clear(&response);
        assert_int_equal(http_server_count(&server), 2);
    }
    sgc_http_free(http);
}

static void test_part_shorter_than_its_content_range_is_repeated(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"times\": 1, "
          "\"headers\": {\"Content-Range\": \"bytes 99990-100005/100006\"}}");
    sgc_http *http = patient_client(1);
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(get_range(http, 99990, 100009, &response, &err), SGC_OK);
    assert_int_equal(response.size, 10);
    sgc_http_response_clear(&response);
    assert_int_equal(http_server_count(&server), 2);
    sgc_http_free(http);
}

static void test_gzip_only_without_range(void **state)
{
    (void)state;
    static const unsigned char hello[] = {31,  139, 8, 0, 0,   0,   0,  0,  0, 3, 203, 72, 205,
                                          201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0,   0};
    http_server_write(&server, "hello.gz", hello, sizeof hello);
    fault("{\"path\": \"/hello.gz\", \"headers\": {\"Content-Encoding\": \"gzip\"}}");
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/hello.gz");
    assert_int_equal(
        perform(http, (sgc_http_request){.method = "GET", .url = url.text}, &response, &err),
        SGC_OK);
    assert_string_equal((char *)response.data, "hello");
    assert_true(response.total_size == UINT64_MAX);
    sgc_http_response_clear(&response);
    assert_int_equal(get_range(http, 0, 9, &response, &err), SGC_OK);
    sgc_http_response_clear(&response);

    static const char *const accepted[] = {"gzip", "identity"};
    cJSON *log = http_server_log(&server);
    for (int i = 0; i < 2; i++) {
        const cJSON *headers = cJSON_GetObjectItem(cJSON_GetArrayItem(log, i), "headers");
        assert_string_equal(cJSON_GetObjectItem(headers, "Accept-Encoding")->valuestring,
                            accepted[i]);
    }
    cJSON_Delete(log);
    sgc_http_free(http);
}

static void check_size_limit(size_t max_size, sgc_status expected)
{
    sgc_http *http = patient_client(2);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/a.bin");
    const sgc_http_request request = {.method = "GET", .url = url.text, .max_size = max_size};
    assert_int_equal(perform(http, request, &response, &err), expected);
    if (expected == SGC_OK)
        sgc_http_response_clear(&response);
    assert_int_equal(sgc_http_get_counters(http).requests, 1);
    sgc_http_free(http);
}

static void test_size_limit(void **state)
{
    (void)state;
    check_size_limit(CONTENT_SIZE, SGC_OK);
    check_size_limit(CONTENT_SIZE - 1, SGC_CORRUPT);
    fault("{\"path\": \"/a.bin\", \"chunked\": true}");
    check_size_limit(CONTENT_SIZE, SGC_OK);
    check_size_limit(CONTENT_SIZE - 1, SGC_CORRUPT);
}

static void test_connections_are_reused(void **state)
{
    (void)state;
    sgc_http *http = patient_client(0);
    sgc_error err;
    for (int i = 0; i < 5; i++)
        assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    cJSON *log = http_server_log(&server);
    const int first = log_number(cJSON_GetArrayItem(log, 0), "connection");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, log) assert_int_equal(log_number(entry, "connection"), first);
    cJSON_Delete(log);
    sgc_http_free(http);
}

static void test_redirects(void **state)
{
    (void)state;
    sgc_http *http = patient_client(2);
    sgc_error err;
    fault("{\"path\": \"/moved\", \"redirect_to\": \"/a.bin\"}");
    assert_int_equal(get(http, "/moved", &err), SGC_OK);
    assert_int_equal(sgc_http_get_counters(http).requests, 2);

    http_server_reset(&server);
    fault("{\"path\": \"/loop\", \"redirect_to\": \"/loop\"}");
    assert_int_equal(get(http, "/loop", &err), SGC_NETWORK);
    assert_int_equal(http_server_count(&server), 11);

    http_server_reset(&server);
    fault("{\"path\": \"/trap\", \"redirect_to\": \"file:///etc/passwd\"}");
    assert_int_equal(get(http, "/trap", &err), SGC_NETWORK);
    assert_int_equal(http_server_count(&server), 1);
    sgc_http_free(http);
}

/* A POST that is redirected with a status arrives with this method and body. */
static void check_redirected_post(int status, const char *method, const char *body)
{
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    char rule[128];
    snprintf(rule, sizeof rule,
             "{\"path\": \"/search\", \"redirect_to\": \"/a.bin\", \"status\": %d}", status);
    fault(rule);
    const http_server_url url = http_server_address(&server, "/search");
    const sgc_http_request request = {
        .method = "POST", .url = url.text, .body = "question", .body_size = 8};
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    sgc_http_response_clear(&response);
    cJSON *log = http_server_log(&server);
    const cJSON *entry = cJSON_GetArrayItem(log, 1);
    assert_string_equal(cJSON_GetObjectItem(entry, "method")->valuestring, method);
    assert_string_equal(cJSON_GetObjectItem(entry, "body")->valuestring, body);
    cJSON_Delete(log);
    sgc_http_free(http);
}

static void test_redirected_post_stays_a_post(void **state)
{
    (void)state;
    check_redirected_post(301, "POST", "question");
}

/* "See other" is the one answer that wants another method. */
static void test_see_other_is_a_get(void **state)
{
    (void)state;
    check_redirected_post(303, "GET", "");
}

static void test_secret_body_is_not_redirected(void **state)
{
    (void)state;
    static const int statuses[] = {301, 302, 303, 307, 308};
    sgc_http *http = patient_client(2);
    sgc_http_response response;
    sgc_error err;
    const http_server_url url = http_server_address(&server, "/token");
    int answered;
    const sgc_http_request request = {.method = "POST",
                                      .url = url.text,
                                      .body = "s3cret",
                                      .body_size = 6,
                                      .stays = true,
                                      .answered = &answered};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/token\", \"redirect_to\": \"/a.bin\", \"status\": %d}", statuses[i]);
        assert_int_equal(perform(http, request, &response, &err), SGC_NETWORK);
        assert_int_equal(answered, statuses[i]);
        assert_int_equal(http_server_count(&server), 1);
    }
    sgc_http_free(http);
}

/* What is said along with a redirection is of no interest, however long. */
static void test_long_redirection(void **state)
{
    (void)state;
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    http_server_write(&server, "b.bin", "four", 4);
    fault("{\"path\": \"/away\", \"redirect_to\": \"/b.bin\", \"body\": \"much more\"}");
    const http_server_url url = http_server_address(&server, "/away");
    const sgc_http_request request = {.method = "GET", .url = url.text, .max_size = 4};
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    assert_string_equal((char *)response.data, "four");
    sgc_http_response_clear(&response);
    sgc_http_free(http);
}

/* ---- headers of the client ---- */

static http_server second;

/* The header of that name that the server's request `index` had, or "". */
static void received(const http_server *at, int index, const char *name, char text[128])
{
    cJSON *log = http_server_log(at);
    const cJSON *headers =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(log, index), "headers");
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(headers, name));
    assert_non_null(headers);
    snprintf(text, 128, "%s", value != NULL ? value : "");
    cJSON_Delete(log);
}

static void assert_received(const http_server *at, int index, const char *name, const char *value)
{
    char text[128];
    received(at, index, name, text);
    assert_string_equal(text, value);
}

static sgc_http *secretive_client(const char *home)
{
    static const char *const headers[] = {"X-Key: {config:SGC_TEST_KEY}", "X-Plain: yes", NULL};
    const char *const homes[] = {home, NULL};
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", "s3cret");
    return new_client((sgc_http_options){
        .max_requests = 1, .first_delay_ms = 1, .headers = headers, .header_urls = homes});
}

static void test_headers_go_to_their_host_only(void **state)
{
    (void)state;
    http_server_start(&second, "http_server.py");
    http_server_write(&second, "a.bin", content, sizeof content);
    const http_server_url home = http_server_address(&server, "/");
    sgc_http *http = secretive_client(home.text);
    sgc_error err;
    assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    assert_received(&server, 0, "X-Key", "s3cret");
    assert_received(&server, 0, "X-Plain", "yes");

    const http_server_url elsewhere = http_server_address(&second, "/a.bin");
    sgc_http_response response;
    const sgc_http_request request = {.method = "GET", .url = elsewhere.text};
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    sgc_http_response_clear(&response);
    assert_received(&second, 0, "X-Key", "");
    sgc_http_free(http);
}

static void test_headers_do_not_follow_to_another_host(void **state)
{
    (void)state;
    http_server_reset(&second);
    const http_server_url home = http_server_address(&server, "/");
    const http_server_url elsewhere = http_server_address(&second, "/a.bin");
    const http_server_url moved = http_server_address(&server, "/moved");
    sgc_http *http = secretive_client(home.text);
    sgc_error err;
    sgc_http_response response;
    static const char *const credentials[] = {"Authorization: Bearer t0ken", "Accept: */*", NULL};
    const sgc_http_request request = {.method = "GET", .url = moved.text, .headers = credentials};

    fault("{\"path\": \"/moved\", \"redirect_to\": \"%s\"}", elsewhere.text);
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    assert_int_equal(response.size, sizeof content);
    sgc_http_response_clear(&response);
    assert_received(&server, 0, "X-Key", "s3cret");
    assert_received(&server, 0, "Authorization", "Bearer t0ken");
    assert_received(&second, 0, "X-Key", "");
    assert_received(&second, 0, "Authorization", "");

    http_server_reset(&server);
    fault("{\"path\": \"/moved\", \"redirect_to\": \"/a.bin\"}");
    assert_int_equal(perform(http, request, &response, &err), SGC_OK);
    sgc_http_response_clear(&response);
    assert_received(&server, 1, "X-Key", "s3cret");
    assert_received(&server, 1, "Authorization", "Bearer t0ken");

    fault("{\"path\": \"/loop\", \"redirect_to\": \"/loop\"}");
    assert_int_equal(get(http, "/loop", &err), SGC_NETWORK);
    assert_contains(err.message, "redirect");
    sgc_http_free(http);
    http_server_stop(&second);
}

/* Nor is a file missing because something is missing elsewhere. */
static void test_missing_where_a_redirection_leads(void **state)
{
    (void)state;
    http_server_start(&second, "http_server.py");
    const http_server_url elsewhere = http_server_address(&second, "/login?secret=s3cret");
    sgc_http *http = patient_client(0);
    sgc_error err;
    fault("{\"path\": \"/near\", \"redirect_to\": \"/none.bin\"}");
    fault("{\"path\": \"/far\", \"redirect_to\": \"%s\"}", elsewhere.text);
    assert_int_equal(get(http, "/near", &err), SGC_NOT_FOUND);
    assert_int_equal(get(http, "/far", &err), SGC_AUTH);
    assert_contains(err.message, "/login is not there (status 404)");
    assert_null(strstr(err.message, "s3cret"));
    sgc_http_free(http);
    http_server_stop(&second);
}

static void test_header_whose_option_is_not_set(void **state)
{
    (void)state;
    const http_server_url home = http_server_address(&server, "/");
    sgc_http *http = secretive_client(home.text);
    sgc_error err;
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", NULL);
    assert_int_equal(get(http, "/a.bin", &err), SGC_INVALID);
    assert_contains(err.message, "SGC_TEST_KEY");
    assert_int_equal(http_server_count(&server), 0);
    sgc_http_free(http);
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(sgc_http_is_same_origin("https://a.example/x?y", "https://A.example:443/z"));
    assert_false(sgc_http_is_same_origin("https://a.example/", "http://a.example/"));
    assert_false(sgc_http_is_same_origin("https://a.example/", "https://a.example:444/"));
    assert_false(sgc_http_is_same_origin("https://a.example/", "https://a.example.evil/"));
    assert_false(sgc_http_is_same_origin("https://a.example@evil/", "https://a.example/"));
    assert_false(sgc_http_is_same_origin("nonsense", "nonsense"));
}

static void test_trusted_hosts(void **state)
{
    (void)state;
    assert_false(sgc_http_is_trusted("https://a.example/"));
    CPLSetThreadLocalConfigOption("SGC_TRUSTED_HOSTS", "a.example, b.example:8080");
    assert_true(sgc_http_is_trusted("https://a.example/x"));
    assert_true(sgc_http_is_trusted("http://A.EXAMPLE:99/x"));
    assert_true(sgc_http_is_trusted("http://b.example:8080/x"));
    assert_false(sgc_http_is_trusted("http://b.example/x"));
    assert_false(sgc_http_is_trusted("https://a.example.evil/"));
    assert_false(sgc_http_is_trusted("https://x.a.example/"));
    CPLSetThreadLocalConfigOption("SGC_TRUSTED_HOSTS", NULL);
}

/* ---- failures ---- */

static void test_statuses_that_mean_missing(void **state)
{
    (void)state;
    static const int missing[] = {403, 503, 0};
    sgc_http *http = new_client((sgc_http_options){
        .max_requests = 1, .retries = 3, .first_delay_ms = 1, .missing_statuses = missing});
    sgc_error err;
    static const int statuses[] = {403, 503, 404};
    for (size_t i = 0; i < 3; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"status\": %d}", statuses[i]);
        assert_int_equal(get(http, "/a.bin", &err), SGC_NOT_FOUND);
        assert_int_equal(http_server_count(&server), 1);
    }
    http_server_reset(&server);
    fault("{\"path\": \"/a.bin\", \"status\": 401}");
    assert_int_equal(get(http, "/a.bin", &err), SGC_AUTH);
    sgc_http_free(http);
}

static void test_transient_statuses_are_repeated(void **state)
{
    (void)state;
    static const int statuses[] = {408, 425, 429, 500, 502, 503, 504};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"times\": 2, \"status\": %d, \"retry_after\": 0}",
              statuses[i]);
        sgc_http *http = patient_client(2);
        sgc_error err;
        assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
        assert_int_equal(http_server_count(&server), 3);
        assert_int_equal(sgc_http_get_counters(http).requests, 3);
        sgc_http_free(http);
    }
}

static void test_retries_are_exhausted(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"status\": 503, \"body\": \"too busy\\nsecond line\"}");
    sgc_http *http = patient_client(3);
    sgc_error err;
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    assert_int_equal(http_server_count(&server), 4);
    assert_contains(err.message, "/a.bin, attempt 4: the server answered 503: too busy");
    assert_lacks(err.message, "second");

    http_server_reset(&server);
    assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    sgc_http_free(http);
}

static void test_permanent_statuses_fail_at_once(void **state)
{
    (void)state;
    static const struct {
        int status;
        sgc_status expected;
    } cases[] = {{400, SGC_NETWORK}, {401, SGC_AUTH},      {403, SGC_AUTH},    {404, SGC_NOT_FOUND},
                 {405, SGC_NETWORK}, {410, SGC_NOT_FOUND}, {422, SGC_NETWORK}, {501, SGC_NETWORK},
                 {204, SGC_NETWORK}, {304, SGC_NETWORK}};
    sgc_http *http = patient_client(3);
    sgc_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"status\": %d}", cases[i].status);
        assert_int_equal(get(http, "/a.bin", &err), cases[i].expected);
        assert_int_equal(http_server_count(&server), 1);
        char status[8];
        snprintf(status, sizeof status, "%d", cases[i].status);
        assert_contains(err.message, status);
    }
    sgc_http_free(http);
}

static void test_messages_quote_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {"plain words", "400: plain words"},
        {"  \\nlate\\rwords\\u0007", "400: late?words?"},
        {"{\\\"description\\\": \\\"of STAC\\\"}", "400: of STAC"},
        {"{\\\"message\\\": \\\"of a gateway\\\"}", "400: of a gateway"},
        {"{\\\"error\\\": {\\\"message\\\": \\\"of Google\\\"}}", "400: of Google"},
        {"{\\\"other\\\": 1}", "the server answered 400"},
        {"<html>nonsense</html>", "the server answered 400"},
    };
    sgc_http *http = patient_client(0);
    sgc_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"status\": 400, \"body\": \"%s\"}", cases[i].body);
        assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
        const size_t length = strlen(err.message), expected = strlen(cases[i].expected);
        assert_true(length > expected);
        assert_string_equal(err.message + length - expected, cases[i].expected);
    }
    sgc_http_free(http);
}

static void test_messages_carry_no_credentials(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"status\": 403, \"body\": \"no: '/a.bin?token=secret' today\"}");
    char url[256];
    snprintf(url, sizeof url, "http://user:password@127.0.0.1:%u/a.bin?token=secret", server.port);
    sgc_http *http = patient_client(0);
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(
        perform(http, (sgc_http_request){.method = "GET", .url = url}, &response, &err), SGC_AUTH);
    assert_contains(err.message, "/a.bin: access refused with status 403: no: '/a.bin?' today");
    assert_lacks(err.message, "secret");
    assert_lacks(err.message, "password");
    sgc_http_free(http);
}

/* A server may say what it was told, in JSON or as it came. */
static void test_messages_do_not_repeat_what_the_server_was_told(void **state)
{
    (void)state;
    static const struct {
        const char *said, *shown;
    } cases[] = {
        {"bad key top-secret", "403: bad key ***"},
        {"{\\\"message\\\": \\\"no top-secret, here\\\"}", "403: no ***, here"},
        {"top-secrettop-secret", "403: ***"},
        {"token t0ken of Bearer t0ken", "403: token *** of ***"},
        {"who is option-secret?", "403: who is ***?"},
        {"u:password or dTpwYXNzd29yZA==", "403: *** or ***"},
        {"not password", "403: not ***"},
        {"sig long-signature is wrong", "403: sig *** is wrong"},
        {"text/plain is no image/png", "403: text/plain is no image/png"},
    };
    const http_server_url home = http_server_address(&server, "/");
    const http_server_url url = http_server_address(&server, "/a.bin?sig=long-signature&n=1");
    const char *const own[] = {"X-Api-Key: {config:MY_TEST_KEY}", NULL};
    const char *const homes[] = {home.text, NULL};
    const char *const callers[] = {"Authorization: Bearer t0ken", "Accept: image/png", NULL};
    sgc_http *http =
        new_client((sgc_http_options){.max_requests = 1, .headers = own, .header_urls = homes});
    sgc_http_response response;
    sgc_error err;
    char line[64];
    CPLSetThreadLocalConfigOption("MY_TEST_KEY", "top-secret");
    CPLSetThreadLocalConfigOption("GDAL_HTTP_HEADERS", "X-User: option-secret");
    CPLSetThreadLocalConfigOption("GDAL_HTTP_USERPWD", "u:password");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"status\": 403, \"body\": \"%s\"}", cases[i].said);
        assert_int_equal(
            perform(http, (sgc_http_request){.method = "GET", .url = url.text, .headers = callers},
                    &response, &err),
            SGC_AUTH);
        assert_contains(err.message, cases[i].shown);
    }
    sgc_http_quote(http, url.text, "key top-secret\nand more", line, sizeof line);
    assert_string_equal(line, "key ***");
    CPLSetThreadLocalConfigOption("MY_TEST_KEY", NULL);
    CPLSetThreadLocalConfigOption("GDAL_HTTP_HEADERS", NULL);
    CPLSetThreadLocalConfigOption("GDAL_HTTP_USERPWD", NULL);
    sgc_http_free(http);
}

static void test_redact(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"https://host/path", "https://host/path"},
        {"https://user@host/path?query", "https://host/path"},
        {"https://user:p@ss@host:1/path@2x#part", "https://host:1/path@2x"},
        {"https://host?mail=a@b", "https://host"},
        {"host/path?query", "host/path"},
        {"host/path?from=https://other/", "host/path"},
        {"", ""},
    };
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_http_redact(cases[i][0], text, sizeof text);
        assert_string_equal(text, cases[i][1]);
    }
    sgc_http_redact("https://host/path", text, 9);
    assert_string_equal(text, "https://");
}

static void check_broken_transfer(const char *what)
{
    sgc_http *http = patient_client(2);
    sgc_http_response response;
    sgc_error err;
    http_server_reset(&server);
    fault("{\"path\": \"/a.bin\", \"times\": 1, %s}", what);
    assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    fault("{\"path\": \"/a.bin\", \"times\": 1, %s}", what);
    assert_int_equal(get_range(http, 5000, 5999, &response, &err), SGC_OK);
    assert_memory_equal(response.data, content + 5000, 1000);
    sgc_http_response_clear(&response);
    fault("{\"path\": \"/a.bin\", %s}", what);
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    assert_int_equal(get_range(http, 5000, 5999, &response, &err), SGC_NETWORK);
    sgc_http_free(http);
}

static void test_truncation_is_repeated(void **state)
{
    (void)state;
    check_broken_transfer("\"truncate\": 100");
    check_broken_transfer("\"truncate\": 100, \"ignore_range\": true");
    check_broken_transfer("\"truncate\": 100, \"ignore_range\": true, \"chunked\": true");
}

static void test_reset_is_repeated(void **state)
{
    (void)state;
    check_broken_transfer("\"reset\": true");
}

static void test_no_server(void **state)
{
    (void)state;
    sgc_http *http = patient_client(1);
    sgc_http_response response;
    sgc_error err;
    const sgc_http_request request = {.method = "GET", .url = "http://127.0.0.1:1/"};
    assert_int_equal(perform(http, request, &response, &err), SGC_NETWORK);
    assert_contains(err.message, "GET http://127.0.0.1:1/, attempt 2: ");
    sgc_http_free(http);
}

static void test_retry_after_is_honoured(void **state)
{
    (void)state;
    struct timespec before, after;
    fault("{\"path\": \"/a.bin\", \"times\": 1, \"status\": 429, \"retry_after\": 1}");
    sgc_http *http = patient_client(1);
    sgc_error err;
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    clock_gettime(CLOCK_MONOTONIC, &after);
    /* A lower bound, so it holds on a slow machine, too. */
    const double waited =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    assert_true(waited >= 1);
    sgc_http_free(http);
}

static void test_retry_after_is_bounded(void **state)
{
    (void)state;
    static const char *const texts[] = {"3600", "\"Fri, 01 Jan 2100 00:00:00 GMT\""};
    sgc_http *http = patient_client(3);
    sgc_error err;
    for (int i = 0; i < 2; i++) {
        http_server_reset(&server);
        fault("{\"path\": \"/a.bin\", \"status\": 503, \"retry_after\": %s}", texts[i]);
        assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
        assert_int_equal(http_server_count(&server), 1);
        assert_contains(err.message, "it asks to wait ");
        assert_contains(err.message, "more than the 120 s that are allowed");
        if (i == 0)
            assert_contains(err.message, " 3600 s,");
    }
    sgc_http_free(http);
}

/* However many repetitions are left. */
static void test_patience_is_bounded(void **state)
{
    (void)state;
    enum { DELAY_MS = 20, PATIENCE_MS = 200, MOST = 1 + PATIENCE_MS / (DELAY_MS / 2) };
    fault("{\"path\": \"/a.bin\", \"status\": 503}");
    sgc_http *http = new_client((sgc_http_options){.max_requests = 1,
                                                   .retries = 1000,
                                                   .first_delay_ms = DELAY_MS,
                                                   .max_delay_ms = DELAY_MS,
                                                   .patience_ms = PATIENCE_MS});
    sgc_error err;
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    assert_contains(err.message, "answered 503; no more attempts after 1 s");
    assert_true(http_server_count(&server) <= MOST);
    sgc_http_free(http);
}

static void test_pause_beyond_patience_is_not_waited_for(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"status\": 503, \"retry_after\": 600}");
    sgc_http *http = new_client((sgc_http_options){.max_requests = 1,
                                                   .retries = 1,
                                                   .max_delay_ms = FOREVER_MS,
                                                   .patience_ms = FOREVER_MS - 1});
    sgc_error err;
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    assert_contains(err.message, "no more attempts after");
    assert_int_equal(http_server_count(&server), 1);
    sgc_http_free(http);
}

static void test_invalid_input(void **state)
{
    (void)state;
    sgc_http *http;
    sgc_http_response response;
    sgc_error err;
    assert_int_equal(sgc_http_new(&(sgc_http_options){0}, &http, &err), SGC_INVALID);
    http = patient_client(3);
    const http_server_url url = http_server_address(&server, "/a.bin");
    const sgc_http_request requests[] = {
        {.method = "GET", .url = "ftp://127.0.0.1/"},
        {.method = "GET", .url = "/a.bin"},
        {.method = "GET", .url = "http://a b/"},
        {.method = "DELETE", .url = url.text},
        {.method = "GET", .url = url.text, .has_range = true, .range_first = 2, .range_last = 1},
        {.method = "GET", .url = url.text, .has_range = true, .range_last = UINT64_MAX},
        {.method = "HEAD", .url = url.text, .has_range = true},
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        assert_int_equal(perform(http, requests[i], &response, &err), SGC_INVALID);
        assert_int_equal(sgc_http_perform(http, &requests[i], NULL, &response, NULL), SGC_INVALID);
    }
    assert_int_equal(http_server_count(&server), 0);
    sgc_http_free(http);
    sgc_http_free(NULL);
}

/* ---- configuration ---- */

static void check_user_agent(const char *prefix)
{
    sgc_http *http = patient_client(0);
    sgc_error err;
    http_server_reset(&server);
    assert_int_equal(get(http, "/a.bin", &err), SGC_OK);
    cJSON *log = http_server_log(&server);
    const cJSON *headers = cJSON_GetObjectItem(cJSON_GetArrayItem(log, 0), "headers");
    const char *agent = cJSON_GetObjectItem(headers, "User-Agent")->valuestring;
    assert_ptr_equal(strstr(agent, prefix), agent);
    cJSON_Delete(log);
    sgc_http_free(http);
}

static void test_user_agent(void **state)
{
    (void)state;
    check_user_agent("SGC/");
    CPLSetThreadLocalConfigOption("GDAL_HTTP_USERAGENT", "somebody");
    check_user_agent("somebody");
    CPLSetThreadLocalConfigOption("GDAL_HTTP_USERAGENT", NULL);
}

static void check_silent_server(const char *option)
{
    sgc_http *http = patient_client(1);
    sgc_error err;
    http_server_reset(&server);
    fault("{\"path\": \"/a.bin\", \"delay_ms\": %d}", FOREVER_MS);
    CPLSetThreadLocalConfigOption(option, "1");
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    CPLSetThreadLocalConfigOption(option, NULL);
    assert_int_equal(http_server_count(&server), 2);
    sgc_http_free(http);
}

static void test_silent_server_times_out(void **state)
{
    (void)state;
    check_silent_server("GDAL_HTTP_TIMEOUT");
    check_silent_server("GDAL_HTTP_LOW_SPEED_TIME");
}

static void test_time_for_one_path(void **state)
{
    (void)state;
    const http_server_url url = http_server_address(&server, "/");
    char path[300];
    snprintf(path, sizeof path, "/vsicurl/%s", url.text);
    sgc_http *http = patient_client(0);
    sgc_error err;
    fault("{\"path\": \"/a.bin\", \"delay_ms\": %d}", FOREVER_MS);
    VSISetPathSpecificOption(path, "GDAL_HTTP_TIMEOUT", "0.2");
    assert_int_equal(get(http, "/a.bin", &err), SGC_NETWORK);
    VSIClearPathSpecificOptions(path);
    sgc_http_free(http);
}

/* A byte now and then is not forever a server that answers. */
static void test_dripping_server_is_given_up(void **state)
{
    (void)state;
    static const char few[] = "some bytes that come one by one";
    sgc_http *http = new_client(
        (sgc_http_options){.max_requests = 1, .retries = 1, .first_delay_ms = 1, .slow_s = 1});
    sgc_error err;
    http_server_write(&server, "drip.bin", few, sizeof few);
    fault("{\"path\": \"/drip.bin\", \"drip_ms\": 200}");
    assert_int_equal(get(http, "/drip.bin", &err), SGC_NETWORK);
    assert_int_equal(http_server_count(&server), 2);
    http_server_reset(&server);
    fault("{\"path\": \"/drip.bin\", \"drip_ms\": 50}");
    CPLSetThreadLocalConfigOption("GDAL_HTTP_LOW_SPEED_LIMIT", "0");
    assert_int_equal(get(http, "/drip.bin", &err), SGC_OK);
    CPLSetThreadLocalConfigOption("GDAL_HTTP_LOW_SPEED_LIMIT", NULL);
    sgc_http_free(http);
}

/* ---- threads ---- */

static bool is_set(void *flag)
{
    return atomic_load((atomic_bool *)flag);
}

typedef struct client_job {
    sgc_http *http;
    atomic_bool stop;
    sgc_status status;
    pthread_t thread;
} client_job;

static void *run_job(void *user)
{
    client_job *job = user;
    const sgc_cancel cancel = {.requested = is_set, .user = &job->stop};
    const http_server_url url = http_server_address(&server, "/a.bin");
    const sgc_http_request request = {.method = "GET", .url = url.text};
    sgc_http_response response;
    sgc_error err;
    job->status = sgc_http_perform(job->http, &request, &cancel, &response, &err);
    if (job->status == SGC_OK)
        sgc_http_response_clear(&response);
    return NULL;
}

static void start_job(client_job *job, sgc_http *http)
{
    job->http = http;
    atomic_init(&job->stop, false);
    assert_int_equal(pthread_create(&job->thread, NULL, run_job, job), 0);
}

static sgc_status end_job(client_job *job, bool stop)
{
    atomic_store(&job->stop, stop);
    pthread_join(job->thread, NULL);
    return job->status;
}

static void test_cancel_in_transfer(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"delay_ms\": %d}", FOREVER_MS);
    sgc_http *http = patient_client(3);
    client_job job;
    start_job(&job, http);
    await_requests(1);
    assert_int_equal(end_job(&job, true), SGC_CANCELLED);
    assert_int_equal(http_server_count(&server), 1);
    sgc_http_free(http);
}

static int first_status(void)
{
    cJSON *log = http_server_log(&server);
    const int status = log_number(cJSON_GetArrayItem(log, 0), "status");
    cJSON_Delete(log);
    return status;
}

static void test_cancel_in_back_off(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"status\": 503}");
    sgc_http *http = new_client((sgc_http_options){.max_requests = 1,
                                                   .retries = 3,
                                                   .first_delay_ms = FOREVER_MS,
                                                   .max_delay_ms = FOREVER_MS,
                                                   .patience_ms = 2 * FOREVER_MS});
    client_job job;
    start_job(&job, http);
    await_requests(1);
    while (first_status() != 503 || sgc_http_get_counters(http).requests < 1)
        wait_ms(10);
    assert_int_equal(end_job(&job, true), SGC_CANCELLED);
    assert_int_equal(http_server_count(&server), 1);
    sgc_http_free(http);
}

static void test_cancel_while_waiting_for_a_turn(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"delay_ms\": %d}", FOREVER_MS);
    sgc_http *http = new_client((sgc_http_options){.max_requests = 1});
    client_job running, waiting;
    start_job(&running, http);
    await_requests(1);
    start_job(&waiting, http);
    wait_ms(50);
    assert_int_equal(end_job(&waiting, true), SGC_CANCELLED);
    assert_int_equal(http_server_count(&server), 1);
    assert_int_equal(end_job(&running, true), SGC_CANCELLED);
    sgc_http_free(http);
}

static void test_pause_gives_the_turn_to_others(void **state)
{
    (void)state;
    fault("{\"path\": \"/a.bin\", \"status\": 503, \"times\": 1}");
    sgc_http *http = new_client((sgc_http_options){.max_requests = 1,
                                                   .retries = 1,
                                                   .first_delay_ms = FOREVER_MS,
                                                   .max_delay_ms = FOREVER_MS,
                                                   .patience_ms = 2 * FOREVER_MS});
    client_job pausing, other;
    start_job(&pausing, http);
    await_requests(1);
    start_job(&other, http);
    assert_int_equal(end_job(&other, false), SGC_OK);
    assert_int_equal(end_job(&pausing, true), SGC_CANCELLED);
    sgc_http_free(http);
}

static void test_concurrent_requests_are_limited(void **state)
{
    (void)state;
    enum { JOBS = 12, LIMIT = 3 };
    fault("{\"path\": \"/a.bin\", \"delay_ms\": %d}", FOREVER_MS);
    sgc_http *http = new_client((sgc_http_options){.max_requests = LIMIT});
    client_job jobs[JOBS];
    for (int i = 0; i < JOBS; i++)
        start_job(&jobs[i], http);
    await_requests(LIMIT);
    wait_ms(100);
    assert_int_equal(http_server_count(&server), LIMIT);
    http_server_reset(&server);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(end_job(&jobs[i], false), SGC_OK);
    cJSON *log = http_server_log(&server);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, log) assert_in_range(log_number(entry, "running"), 1, LIMIT);
    cJSON_Delete(log);
    assert_int_equal(sgc_http_get_counters(http).requests, JOBS);
    sgc_http_free(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_get, reset),
        cmocka_unit_test_setup(test_head_has_size_and_no_body, reset),
        cmocka_unit_test_setup(test_post_sends_body_and_headers, reset),
        cmocka_unit_test_setup(test_range, reset),
        cmocka_unit_test_setup(test_range_answered_with_200, reset),
        cmocka_unit_test_setup(test_range_answered_with_200_of_unknown_size, reset),
        cmocka_unit_test_setup(test_range_beyond_the_end, reset),
        cmocka_unit_test_setup(test_wrong_content_range_is_repeated, reset),
        cmocka_unit_test_setup(test_part_shorter_than_its_content_range_is_repeated, reset),
        cmocka_unit_test_setup(test_gzip_only_without_range, reset),
        cmocka_unit_test_setup(test_size_limit, reset),
        cmocka_unit_test_setup(test_connections_are_reused, reset),
        cmocka_unit_test_setup(test_redirects, reset),
        cmocka_unit_test_setup(test_redirected_post_stays_a_post, reset),
        cmocka_unit_test_setup(test_see_other_is_a_get, reset),
        cmocka_unit_test_setup(test_secret_body_is_not_redirected, reset),
        cmocka_unit_test_setup(test_long_redirection, reset),
        cmocka_unit_test_setup(test_headers_go_to_their_host_only, reset),
        cmocka_unit_test_setup(test_headers_do_not_follow_to_another_host, reset),
        cmocka_unit_test_setup(test_missing_where_a_redirection_leads, reset),
        cmocka_unit_test_setup(test_header_whose_option_is_not_set, reset),
        cmocka_unit_test_setup(test_origins, reset),
        cmocka_unit_test_setup(test_trusted_hosts, reset),
        cmocka_unit_test_setup(test_statuses_that_mean_missing, reset),
        cmocka_unit_test_setup(test_transient_statuses_are_repeated, reset),
        cmocka_unit_test_setup(test_retries_are_exhausted, reset),
        cmocka_unit_test_setup(test_permanent_statuses_fail_at_once, reset),
        cmocka_unit_test_setup(test_messages_quote_the_server, reset),
        cmocka_unit_test_setup(test_messages_carry_no_credentials, reset),
        cmocka_unit_test_setup(test_messages_do_not_repeat_what_the_server_was_told, reset),
        cmocka_unit_test_setup(test_redact, reset),
        cmocka_unit_test_setup(test_truncation_is_repeated, reset),
        cmocka_unit_test_setup(test_reset_is_repeated, reset),
        cmocka_unit_test_setup(test_no_server, reset),
        cmocka_unit_test_setup(test_retry_after_is_honoured, reset),
        cmocka_unit_test_setup(test_retry_after_is_bounded, reset),
        cmocka_unit_test_setup(test_patience_is_bounded, reset),
        cmocka_unit_test_setup(test_pause_beyond_patience_is_not_waited_for, reset),
        cmocka_unit_test_setup(test_invalid_input, reset),
        cmocka_unit_test_setup(test_user_agent, reset),
        cmocka_unit_test_setup(test_silent_server_times_out, reset),
        cmocka_unit_test_setup(test_time_for_one_path, reset),
        cmocka_unit_test_setup(test_dripping_server_is_given_up, reset),
        cmocka_unit_test_setup(test_cancel_in_transfer, reset),
        cmocka_unit_test_setup(test_cancel_in_back_off, reset),
        cmocka_unit_test_setup(test_cancel_while_waiting_for_a_turn, reset),
        cmocka_unit_test_setup(test_pause_gives_the_turn_to_others, reset),
        cmocka_unit_test_setup(test_concurrent_requests_are_limited, reset),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
