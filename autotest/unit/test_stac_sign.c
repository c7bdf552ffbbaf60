/* Which addresses get a token, and which one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cpl_conv.h>
#include <stdio.h>
#include <string.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/stac_sign.h"

static http_server server;
static sgc_http *http;
static sgc_signer *signer;

static void serve_token(const char *path, const char *token)
{
    char fault[512];
    snprintf(fault, sizeof fault,
             "{\"path\": \"/tokens/%s\", \"status\": 200, \"body\": \"{\\\"token\\\": "
             "\\\"sig=%s\\\", \\\"msft:expiry\\\": \\\"2199-01-01T00:00:00Z\\\"}\"}",
             path, token);
    http_server_fault(&server, fault);
}

static int start_server(void **state)
{
    (void)state;
    sgc_error err;
    http_server_start(&server, "http_server.py");
    CPLSetConfigOption("VSICURL_PC_SAS_TOKEN_URL", http_server_address(&server, "/tokens").text);
    assert_int_equal(sgc_http_new(&(sgc_http_options){.max_requests = 1}, &http, &err), SGC_OK);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    CPLSetConfigOption("VSICURL_PC_SAS_TOKEN_URL", NULL);
    sgc_http_free(http);
    http_server_stop(&server);
    return 0;
}

static int make_signer(void **state)
{
    (void)state;
    sgc_error err;
    http_server_reset(&server);
    serve_token("one/box", "BOX");
    serve_token("one/chest", "CHEST");
    serve_token("two/box", "TWO");
    serve_token("my collection", "OWN");
    assert_int_equal(sgc_signer_new(http, "my collection", &signer, &err), SGC_OK);
    return 0;
}

static int free_signer(void **state)
{
    (void)state;
    sgc_signer_free(signer);
    return 0;
}

static void check(const char *url, const char *end)
{
    char expected[400];
    sgc_signed_url signed_url;
    sgc_error err;
    if (sgc_signer_sign(signer, url, NULL, &signed_url, &err) != SGC_OK)
        fail_msg("%s", err.message);
    snprintf(expected, sizeof expected, "%s%s", url, end);
    assert_string_equal(signed_url.url, expected);
    sgc_signer_release(signer, &signed_url, false);
}

static void test_token_of_the_container(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        check("https://one.blob.core.windows.net/box/a.tif", "?sig=BOX");
        check("https://one.blob.core.windows.net/box/b/c.tif?x=1", "&sig=BOX");
        check("https://one.blob.core.windows.net/chest/a.tif", "?sig=CHEST");
        check("https://two.blob.core.windows.net/box/a.tif", "?sig=TWO");
    }
    assert_int_equal(http_server_count(&server), 3);
}

static void test_token_of_the_service(void **state)
{
    (void)state;
    check(http_server_address(&server, "/box/a.tif").text, "?sig=OWN");
}

static void test_addresses_without_token(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "http://one.blob.core.windows.net/box/a.tif",
        "https://one.blob.core.windows.net/box/a.tif?sig=has-one",
        "https://one.blob.core.windows.net:8443/box/a.tif",
        "https://one.two.blob.core.windows.net/box/a.tif",
        "https://me@one.blob.core.windows.net/box/a.tif",
        "https://one.blob.core.windows.net/../token/box",
        "https://one.blob.core.windows.net/box",
        "https://one.blob.core.windows.net.evil.example/box/a.tif",
        "https://evil.example/one.blob.core.windows.net/box/a.tif",
        "https://.blob.core.windows.net/box/a.tif",
        "https://127.0.0.1/box/a.tif",
    };
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        check(urls[i], "");
    char other[256];
    snprintf(other, sizeof other, "https://127.0.0.1:%u/box/a.tif", server.port);
    check(other, "");
    assert_int_equal(http_server_count(&server), 0);
}

/* What an item's address names is asked about, and nothing is sent there. */
static void test_account_that_the_service_does_not_know(void **state)
{
    (void)state;
    sgc_signed_url signed_url;
    sgc_error err;
    assert_int_equal(sgc_signer_sign(signer, "https://evil.blob.core.windows.net/box/a.tif", NULL,
                                     &signed_url, &err),
                     SGC_NETWORK);
    assert_non_null(strstr(err.message, "/tokens/evil/box"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_token_of_the_container, make_signer, free_signer),
        cmocka_unit_test_setup_teardown(test_token_of_the_service, make_signer, free_signer),
        cmocka_unit_test_setup_teardown(test_addresses_without_token, make_signer, free_signer),
        cmocka_unit_test_setup_teardown(test_account_that_the_service_does_not_know, make_signer,
                                        free_signer),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
