/* GDAL's configuration options for HTTP: what a server and a proxy then receive, and who does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cpl_conv.h>
#include <cpl_vsi.h>
#include <stdio.h>
#include <string.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/http.h"

static http_server server, other;

static const char *const options[] = {
    "GDAL_HTTP_HEADERS",       "GDAL_HTTP_HEADER_FILE", "GDAL_HTTP_AUTH",
    "GDAL_HTTP_USERPWD",       "GDAL_HTTP_BEARER",      "GDAL_HTTP_NETRC_FILE",
    "GDAL_HTTP_NETRC",         "GDAL_HTTP_COOKIE",      "GDAL_HTTP_COOKIEFILE",
    "GDAL_HTTP_COOKIEJAR",     "GDAL_HTTP_PROXY",       "GDAL_HTTPS_PROXY",
    "GDAL_HTTP_PROXYUSERPWD",  "GDAL_PROXY_AUTH",       "GDAL_HTTP_VERSION",
    "GDAL_HTTP_TCP_KEEPALIVE", "SGC_TRUSTED_HOSTS",
};

static int start_server(void **state)
{
    (void)state;
    http_server_start(&server, "http_server.py");
    http_server_start(&other, "http_server.py");
    http_server_write(&server, "a.bin", "good", 4);
    http_server_write(&other, "a.bin", "good", 4);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    http_server_stop(&server);
    http_server_stop(&other);
    return 0;
}

static int reset(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        CPLSetThreadLocalConfigOption(options[i], NULL);
    http_server_reset(&server);
    http_server_reset(&other);
    return 0;
}

static void set(const char *name, const char *value)
{
    CPLSetThreadLocalConfigOption(name, value);
}

/* Writes a file into the server's directory and names it in an option. */
static void set_file(const char *name, const char *file, const char *text)
{
    char path[512];
    http_server_write(&server, file, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", server.directory, file);
    set(name, path);
}

/* A client whose home is `server`. */
static sgc_http *new_client(const char *const *headers)
{
    const http_server_url home = http_server_address(&server, "/");
    const char *const homes[] = {home.text, NULL};
    const sgc_http_options client = {
        .max_requests = 1, .first_delay_ms = 1, .headers = headers, .header_urls = homes};
    sgc_http *http;
    sgc_error err;
    assert_int_equal(sgc_http_new(&client, &http, &err), SGC_OK);
    return http;
}

static sgc_status get_url(sgc_http *http, const char *url, sgc_error *err)
{
    const sgc_http_request request = {.method = "GET", .url = url};
    sgc_http_response response;
    const sgc_status status = sgc_http_perform(http, &request, NULL, &response, err);
    if (status == SGC_OK) {
        assert_string_equal((char *)response.data, "good");
        sgc_http_response_clear(&response);
    }
    return status;
}

static void get(sgc_http *http, const http_server *from, const char *path)
{
    sgc_error err;
    const http_server_url url = http_server_address(from, path);
    if (get_url(http, url.text, &err) != SGC_OK)
        fail_msg("%s", err.message);
}

/* Asserts what the last request to `at` had as this header; "": it had none. */
static void assert_heard(const http_server *at, const char *name, const char *value)
{
    cJSON *log = http_server_log(at);
    const cJSON *last = cJSON_GetArrayItem(log, cJSON_GetArraySize(log) - 1);
    const cJSON *headers = cJSON_GetObjectItemCaseSensitive(last, "headers");
    assert_non_null(headers);
    const char *heard = cJSON_GetStringValue(cJSON_GetObjectItem(headers, name));
    assert_string_equal(heard != NULL ? heard : "", value);
    cJSON_Delete(log);
}

static void set_all_credentials(void)
{
    set("GDAL_HTTP_HEADERS", "\"X-One: a, b\",X-Two: 2");
    set_file("GDAL_HTTP_HEADER_FILE", "headers", "X-Three: 3\nX-Four: 4\n");
    set("GDAL_HTTP_USERPWD", "me:pw");
    set("GDAL_HTTP_COOKIE", "c=1");
}

static void assert_credentials(const http_server *at, bool heard)
{
    assert_heard(at, "X-One", heard ? "a, b" : "");
    assert_heard(at, "X-Two", heard ? "2" : "");
    assert_heard(at, "X-Three", heard ? "3" : "");
    assert_heard(at, "X-Four", heard ? "4" : "");
    assert_heard(at, "Authorization", heard ? "Basic bWU6cHc=" : "");
    assert_heard(at, "Cookie", heard ? "c=1" : "");
}

static void test_credentials_go_home_only(void **state)
{
    (void)state;
    sgc_http *http = new_client(NULL);
    set_all_credentials();
    get(http, &server, "/a.bin");
    assert_credentials(&server, true);
    get(http, &other, "/a.bin");
    assert_credentials(&other, false);

    char trusted[64];
    snprintf(trusted, sizeof trusted, "127.0.0.1:%u", other.port);
    set("SGC_TRUSTED_HOSTS", trusted);
    get(http, &other, "/a.bin");
    assert_credentials(&other, true);
    sgc_http_free(http);
}

static void test_credentials_do_not_follow_redirects(void **state)
{
    (void)state;
    char text[512];
    const http_server_url elsewhere = http_server_address(&other, "/a.bin");
    sgc_http *http = new_client(NULL);
    set_all_credentials();
    snprintf(text, sizeof text, "{\"path\": \"/away\", \"redirect_to\": \"%s\"}", elsewhere.text);
    http_server_fault(&server, text);
    http_server_fault(&server, "{\"path\": \"/near\", \"redirect_to\": \"/a.bin\"}");
    get(http, &server, "/away");
    assert_credentials(&server, true);
    assert_credentials(&other, false);
    get(http, &server, "/near");
    assert_credentials(&server, true);
    sgc_http_free(http);
}

static void check_remedy(sgc_http *http, const http_server *at, bool is_named)
{
    sgc_error err;
    const http_server_url url = http_server_address(at, "/a.bin");
    http_server_fault(at, "{\"path\": \"/a.bin\", \"status\": 401, \"times\": 1}");
    assert_int_equal(get_url(http, url.text, &err), SGC_AUTH);
    assert_int_equal(strstr(err.message, "SGC_TRUSTED_HOSTS") != NULL, is_named);
}

static void test_who_is_not_told_is_said(void **state)
{
    (void)state;
    sgc_http *http = new_client(NULL);
    check_remedy(http, &other, false);
    set("GDAL_HTTP_USERPWD", "me:pw");
    check_remedy(http, &other, true);
    check_remedy(http, &server, false);
    sgc_http_free(http);
}

/* What a request needs by itself counts more. */
static void test_headers_of_a_definition_count(void **state)
{
    (void)state;
    static const char *const headers[] = {"X-One: its own", NULL};
    sgc_http *http = new_client(headers);
    set("GDAL_HTTP_HEADERS", "x-one: mine\r\nX-Two: a, b");
    get(http, &server, "/a.bin");
    assert_heard(&server, "X-One", "its own");
    assert_heard(&server, "X-Two", "a, b");
    sgc_http_free(http);
}

static void test_bearer(void **state)
{
    (void)state;
    sgc_http *http = new_client(NULL);
    set("GDAL_HTTP_BEARER", "t0ken");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "Bearer t0ken");
    set("GDAL_HTTP_AUTH", "BASIC");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "");
    set("GDAL_HTTP_AUTH", "BEARER");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "Bearer t0ken");
    get(http, &other, "/a.bin");
    assert_heard(&other, "Authorization", "");
    sgc_http_free(http);
}

static void test_netrc(void **state)
{
    (void)state;
    sgc_http *http = new_client(NULL);
    set_file("GDAL_HTTP_NETRC_FILE", "netrc", "machine 127.0.0.1 login me password pw\n");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "Basic bWU6cHc=");
    get(http, &other, "/a.bin");
    assert_heard(&other, "Authorization", "");
    set("GDAL_HTTP_NETRC", "NO");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "");
    sgc_http_free(http);
}

static void test_cookies(void **state)
{
    (void)state;
    sgc_http *http = new_client(NULL);
    set_file("GDAL_HTTP_COOKIEFILE", "jar", "127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n");
    set("GDAL_HTTP_COOKIEJAR", CPLGetThreadLocalConfigOption("GDAL_HTTP_COOKIEFILE", NULL));
    get(http, &other, "/a.bin");
    assert_heard(&other, "Cookie", "");
    http_server_fault(&server, "{\"path\": \"/a.bin\", \"times\": 1, \"headers\": {\"Set-Cookie\": "
                               "\"b=2; path=/\"}}");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Cookie", "a=1");
    sgc_http_free(http);

    http = new_client(NULL);
    get(http, &server, "/a.bin");
    assert_heard(&server, "Cookie", "a=1; b=2");
    set("GDAL_HTTP_COOKIEFILE", NULL);
    set("GDAL_HTTP_COOKIEJAR", NULL);
    get(http, &server, "/a.bin");
    assert_heard(&server, "Cookie", "");
    sgc_http_free(http);
}

/* As NASA's Earthdata has it: over another host, which wants a login, and back with a cookie. */
static void test_login_by_redirections(void **state)
{
    (void)state;
    char text[512], trusted[64];
    sgc_http *http = new_client(NULL);
    const http_server_url login = http_server_address(&other, "/login");
    const http_server_url back = http_server_address(&server, "/back");
    snprintf(trusted, sizeof trusted, "127.0.0.1:%u", other.port);
    set("SGC_TRUSTED_HOSTS", trusted);
    set_file("GDAL_HTTP_NETRC_FILE", "netrc", "machine 127.0.0.1 login me password pw\n");
    set_file("GDAL_HTTP_COOKIEFILE", "session", "");
    set("GDAL_HTTP_COOKIEJAR", CPLGetThreadLocalConfigOption("GDAL_HTTP_COOKIEFILE", NULL));
    snprintf(text, sizeof text, "{\"path\": \"/a.bin\", \"times\": 1, \"redirect_to\": \"%s\"}",
             login.text);
    http_server_fault(&server, text);
    snprintf(text, sizeof text, "{\"path\": \"/login\", \"redirect_to\": \"%s\"}", back.text);
    http_server_fault(&other, text);
    http_server_fault(&server, "{\"path\": \"/back\", \"redirect_to\": \"/a.bin\", \"headers\": "
                               "{\"Set-Cookie\": \"session=7; path=/\"}}");
    get(http, &server, "/a.bin");
    assert_heard(&other, "Authorization", "Basic bWU6cHc=");
    assert_heard(&server, "Cookie", "session=7");
    assert_int_equal(http_server_count(&server), 3);
    sgc_http_free(http);
}

static void test_options_of_a_path(void **state)
{
    (void)state;
    char path[300];
    const http_server_url url = http_server_address(&server, "/private/");
    sgc_http *http = new_client(NULL);
    snprintf(path, sizeof path, "/vsicurl/%s", url.text);
    VSISetPathSpecificOption(path, "GDAL_HTTP_USERPWD", "me:pw");
    http_server_fault(&server, "{\"path\": \"/private/b\", \"status\": 200, \"body\": \"good\"}");
    get(http, &server, "/private/b");
    assert_heard(&server, "Authorization", "Basic bWU6cHc=");
    get(http, &server, "/a.bin");
    assert_heard(&server, "Authorization", "");
    VSIClearPathSpecificOptions(path);
    sgc_http_free(http);
}

/* The other server plays the proxy: it is asked for what lies elsewhere. */
static void test_proxy(void **state)
{
    (void)state;
    sgc_error err;
    const http_server_url proxy = http_server_address(&other, "");
    sgc_http *http = new_client(NULL);
    set("GDAL_HTTP_PROXY", proxy.text);
    set("GDAL_HTTP_PROXYUSERPWD", "me:pw");
    set("GDAL_PROXY_AUTH", "BASIC");
    set("GDAL_HTTP_USERPWD", "somebody:else");
    assert_int_equal(get_url(http, "http://origin.example/a.bin", &err), SGC_OK);
    assert_heard(&other, "Host", "origin.example");
    assert_heard(&other, "Proxy-Authorization", "Basic bWU6cHc=");
    assert_heard(&other, "Authorization", "");

    http_server_fault(&other, "{\"path\": \"/a.bin\", \"status\": 407}");
    assert_int_equal(get_url(http, "http://origin.example/a.bin", &err), SGC_AUTH);
    assert_non_null(strstr(err.message, "GDAL_HTTP_PROXYUSERPWD"));
    sgc_http_free(http);
}

static void test_proxy_of_https_alone(void **state)
{
    (void)state;
    sgc_error err;
    sgc_http *http = new_client(NULL);
    set("GDAL_HTTPS_PROXY", "http://127.0.0.1:1");
    get(http, &server, "/a.bin");
    assert_int_equal(get_url(http, "https://origin.example/a.bin", &err), SGC_NETWORK);
    assert_non_null(strstr(err.message, "127.0.0.1"));
    sgc_http_free(http);
}

static void test_values_that_cannot_be_used(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        sgc_status status;
    } cases[] = {
        {"GDAL_HTTP_AUTH", "s3cret", SGC_INVALID},
        {"GDAL_PROXY_AUTH", "s3cret", SGC_INVALID},
        {"GDAL_HTTP_VERSION", "s3cret", SGC_INVALID},
        {"GDAL_HTTP_HEADER_FILE", "/nowhere/headers", SGC_IO},
        {"GDAL_HTTP_HEADER_FILE", "/vsicurl/http://127.0.0.1:1/headers", SGC_IO},
    };
    sgc_http *http = new_client(NULL);
    const http_server_url url = http_server_address(&server, "/a.bin");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgc_error err;
        reset(NULL);
        set(cases[i].name, cases[i].value);
        assert_int_equal(get_url(http, url.text, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].name));
        assert_null(strstr(err.message, "s3cret"));
        assert_int_equal(http_server_count(&server), 0);
    }
    sgc_http_free(http);
}

static void test_messages_lack_the_password_of_a_proxy(void **state)
{
    (void)state;
    static const char *const proxies[] = {"gopher://me:s3cret@127.0.0.1:1",
                                          "http://me:s3cret@127.0.0.1:1",
                                          "http://me:s3cret@127.0.0.1:no"};
    sgc_http *http = new_client(NULL);
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        sgc_error err;
        set("GDAL_HTTP_PROXY", proxies[i]);
        assert_int_equal(get_url(http, "http://origin.example/", &err), SGC_NETWORK);
        assert_null(strstr(err.message, "s3cret"));
    }
    sgc_http_free(http);
}

/* GDAL's words for what a local server cannot tell; they are no obstacle. */
static void test_values_of_the_connection(void **state)
{
    (void)state;
    static const char *const versions[] = {"1.0", "1.1", "2", "2TLS"};
    sgc_http *http = new_client(NULL);
    set("GDAL_HTTP_TCP_KEEPALIVE", "YES");
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        set("GDAL_HTTP_VERSION", versions[i]);
        get(http, &server, "/a.bin");
    }
    sgc_http_free(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_credentials_go_home_only, reset),
        cmocka_unit_test_setup(test_credentials_do_not_follow_redirects, reset),
        cmocka_unit_test_setup(test_who_is_not_told_is_said, reset),
        cmocka_unit_test_setup(test_headers_of_a_definition_count, reset),
        cmocka_unit_test_setup(test_bearer, reset),
        cmocka_unit_test_setup(test_netrc, reset),
        cmocka_unit_test_setup(test_cookies, reset),
        cmocka_unit_test_setup(test_login_by_redirections, reset),
        cmocka_unit_test_setup(test_options_of_a_path, reset),
        cmocka_unit_test_setup(test_proxy, reset),
        cmocka_unit_test_setup(test_proxy_of_https_alone, reset),
        cmocka_unit_test_setup(test_values_that_cannot_be_used, reset),
        cmocka_unit_test_setup(test_messages_lack_the_password_of_a_proxy, reset),
        cmocka_unit_test_setup(test_values_of_the_connection, reset),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
