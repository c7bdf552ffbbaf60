/* Which credentials count, and the tokens that they bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "autotest/unit/http_server_process.h"
#include "datasets/google_credentials.h"

#include <cpl_conv.h>
#include <gdal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOGIN                                                              \
    "\"client_id\": \"test-client\", \"client_secret\": \"test-secret\", " \
    "\"refresh_token\": \"test-refresh\""

static http_server server;
static sgc_http *http;
static char home[] = "/tmp/sgc-home-XXXXXX";

/* ---- the user's home ---- */

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", home, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *const files[] = {".config/earthengine/credentials",
                                    ".config/gcloud/application_default_credentials.json",
                                    "sdk/application_default_credentials.json",
                                    "account.json",
                                    "key.pem",
                                    "bearer"};
static const char *const directories[] = {".config", ".config/earthengine", ".config/gcloud",
                                          "sdk"};
static const char *const options[] = {"EEDA_BEARER",          "EEDA_BEARER_FILE",
                                      "EEDA_PRIVATE_KEY",     "EEDA_PRIVATE_KEY_FILE",
                                      "EEDA_CLIENT_EMAIL",    "GOOGLE_APPLICATION_CREDENTIALS",
                                      "CLOUDSDK_CONFIG",      "SGC_PROJECT",
                                      "GOOGLE_CLOUD_PROJECT", "GCE_METADATA_HOST"};

static int start_server(void **state)
{
    (void)state;
    const sgc_http_options http_options = {.max_requests = 20, .retries = 2, .first_delay_ms = 1};
    GDALAllRegister();
    assert_non_null(mkdtemp(home));
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        assert_int_equal(mkdir(path_of(directories[i]), 0700), 0);
    http_server_start(&server, "earthengine_server.py");
    assert_int_equal(sgc_http_new(&http_options, &http, NULL), SGC_OK);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    sgc_http_free(http);
    http_server_stop(&server);
    for (size_t i = sizeof directories / sizeof *directories; i-- > 0;)
        assert_int_equal(rmdir(path_of(directories[i])), 0);
    assert_int_equal(rmdir(home), 0);
    GDALDestroyDriverManager();
    return 0;
}

/* Nothing of the environment counts. */
static int set_up(void **state)
{
    (void)state;
    http_server_reset(&server);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        unsetenv(options[i]);
        CPLSetConfigOption(options[i], NULL);
    }
    CPLSetConfigOption("HOME", home);
    CPLSetConfigOption("CPL_GCE_SKIP", "YES");
    CPLSetConfigOption("GOA2_AUTH_URL_TOKEN", http_server_address(&server, "/token").text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(path_of(files[i]));
    return 0;
}

/* ---- what is found ---- */

static void check_found(sgc_google_kind kind, const char *origin, const char *project)
{
    sgc_google_credentials c;
    sgc_error error = {""};
    if (sgc_google_credentials_find(NULL, &c, &error) != SGC_OK)
        fail_msg("%s", error.message);
    assert_int_equal(c.kind, kind);
    if (origin != NULL)
        assert_non_null(strstr(c.origin, origin));
    else
        assert_null(c.origin);
    if (project != NULL)
        assert_string_equal(c.project, project);
    else
        assert_null(c.project);
    sgc_google_credentials_clear(&c);
}

static void check_unusable(const char *message)
{
    sgc_google_credentials c;
    sgc_error error = {""};
    assert_int_equal(sgc_google_credentials_find(NULL, &c, &error), SGC_AUTH);
    if (strstr(error.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    assert_null(strstr(error.message, "secret"));
}

/* Each place, added to those that were there, counts before them. */
static void test_order(void **state)
{
    (void)state;
    check_found(SGC_GOOGLE_METADATA, NULL, NULL);
    write_file(files[1],
               "{\"type\": \"authorized_user\", " LOGIN ", \"quota_project_id\": \"p1\"}");
    check_found(SGC_GOOGLE_USER, "/.config/gcloud/application_default_credentials.json", "p1");
    write_file(files[2], "{\"type\": \"authorized_user\", " LOGIN "}");
    CPLSetConfigOption("CLOUDSDK_CONFIG", path_of("sdk"));
    check_found(SGC_GOOGLE_USER, "/sdk/application_default_credentials.json", NULL);
    write_file(files[0], "{" LOGIN ", \"project\": \"p2\"}");
    check_found(SGC_GOOGLE_USER, "/.config/earthengine/credentials", "p2");
    write_file(files[3], "{\"type\": \"service_account\", \"client_email\": \"a@b\", "
                         "\"private_key\": \"k\", \"project_id\": \"p3\"}");
    CPLSetConfigOption("GOOGLE_APPLICATION_CREDENTIALS", path_of("account.json"));
    check_found(SGC_GOOGLE_SERVICE, "/account.json", "p3");
    CPLSetConfigOption("GOOGLE_CLOUD_PROJECT", "p4");
    check_found(SGC_GOOGLE_SERVICE, "/account.json", "p3");
    write_file(files[4], "k");
    CPLSetConfigOption("EEDA_PRIVATE_KEY_FILE", path_of("key.pem"));
    CPLSetConfigOption("EEDA_CLIENT_EMAIL", "a@b");
    check_found(SGC_GOOGLE_SERVICE, "EEDA_CLIENT_EMAIL", "p4");
    write_file(files[5], "t1\n");
    CPLSetConfigOption("EEDA_BEARER_FILE", path_of("bearer"));
    check_found(SGC_GOOGLE_BEARER, "EEDA_BEARER_FILE", "p4");
    CPLSetConfigOption("EEDA_BEARER", "t2");
    CPLSetConfigOption("SGC_PROJECT", "p5");
    check_found(SGC_GOOGLE_BEARER, "EEDA_BEARER", "p5");
    sgc_google_credentials c;
    assert_int_equal(sgc_google_credentials_find("p6", &c, NULL), SGC_OK);
    assert_string_equal(c.project, "p6");
    sgc_google_credentials_clear(&c);
    assert_int_equal(http_server_count(&server), 0);
}

static void test_a_project_alone_is_no_login(void **state)
{
    (void)state;
    write_file(files[0], "{\"project\": \"p2\"}");
    write_file(files[1],
               "{\"type\": \"authorized_user\", " LOGIN ", \"quota_project_id\": \"p1\"}");
    check_found(SGC_GOOGLE_USER, "gcloud", "p2");
}

static void test_unusable(void **state)
{
    (void)state;
    write_file(files[1], "{\"type\": \"authorized_user\", \"client_secret\": \"secret\"}");
    check_unusable("application_default_credentials.json has no client_id: log in again");
    write_file(files[1], "{\"type\": \"external_account\"}");
    check_unusable("type \"external_account\"");
    write_file(files[1], "secret");
    check_unusable("is no JSON object");
    CPLSetConfigOption("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json");
    check_unusable("GOOGLE_APPLICATION_CREDENTIALS: \"/nowhere.json\"");
    CPLSetConfigOption("EEDA_PRIVATE_KEY", "secret");
    check_unusable("EEDA_CLIENT_EMAIL");
    CPLSetConfigOption("EEDA_BEARER_FILE", "/nowhere");
    check_unusable("EEDA_BEARER_FILE: \"/nowhere\"");
    CPLSetConfigOption("EEDA_BEARER", "secret\r\nX-Other: secret");
    check_unusable("EEDA_BEARER holds no access token");
}

/* ---- tokens ---- */

/* Gives the token that the credentials of this moment bring. */
static char *get_token(const char *refused)
{
    sgc_google_credentials c;
    sgc_error error = {""};
    char *token = NULL;
    assert_int_equal(sgc_google_credentials_find(NULL, &c, &error), SGC_OK);
    if (sgc_google_get_token(&c, http, refused, NULL, &token, &error) != SGC_OK)
        fail_msg("%s", error.message);
    sgc_google_credentials_clear(&c);
    return token;
}

static void check_no_token(sgc_status status, const char *message)
{
    sgc_google_credentials c;
    sgc_error error = {""};
    char *token = NULL;
    assert_int_equal(sgc_google_credentials_find(NULL, &c, &error), SGC_OK);
    assert_int_equal(sgc_google_get_token(&c, http, NULL, NULL, &token, &error), status);
    assert_null(token);
    if (strstr(error.message, message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    assert_null(strstr(error.message, "secret"));
    assert_null(strstr(error.message, "test-refresh"));
    assert_null(strstr(error.message, "BEGIN"));
    sgc_google_credentials_clear(&c);
}

static void check_token_is(const char *refused, const char *wanted)
{
    char *token = get_token(refused);
    assert_string_equal(token, wanted);
    free(token);
}

static void test_bearer_is_sent_as_it_is(void **state)
{
    (void)state;
    write_file(files[5], "a-token \r\n");
    CPLSetConfigOption("EEDA_BEARER_FILE", path_of("bearer"));
    check_token_is(NULL, "a-token");
    check_token_is("a-token", "a-token");
    assert_int_equal(http_server_count(&server), 0);
}

static void test_login_is_asked_for_once(void **state)
{
    (void)state;
    write_file(files[0], "{" LOGIN "}");
    char *token = get_token(NULL);
    assert_non_null(strstr(token, "ya29.test-"));
    check_token_is(NULL, token);
    check_token_is("an older token", token);
    assert_int_equal(http_server_count(&server), 1);
    char *renewed = get_token(token);
    assert_string_not_equal(renewed, token);
    check_token_is(token, renewed);
    assert_int_equal(http_server_count(&server), 2);
    free(renewed);
    free(token);
}

/* Credentials that no other test has used: their token is not kept yet. */
static void write_another_login(const char *note)
{
    char text[512];
    snprintf(text, sizeof text,
             "{\"client_id\": \"%s\", \"client_secret\": \"test-secret\", "
             "\"refresh_token\": \"test-refresh\"}",
             note);
    write_file(files[0], text);
}

static void fault_token(const char *body)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"path\": \"/token\", \"status\": 200, \"body\": \"%s\"}", body);
    http_server_fault(&server, text);
}

static void test_tokens_about_to_expire_are_renewed(void **state)
{
    (void)state;
    write_another_login("short");
    fault_token("{\\\"access_token\\\": \\\"brief\\\", \\\"expires_in\\\": 60}");
    check_token_is(NULL, "brief");
    check_token_is(NULL, "brief");
    assert_int_equal(http_server_count(&server), 2);
    http_server_reset(&server);
    write_another_login("long");
    fault_token("{\\\"access_token\\\": \\\"lasting\\\", \\\"expires_in\\\": 120}");
    check_token_is(NULL, "lasting");
    check_token_is(NULL, "lasting");
    assert_int_equal(http_server_count(&server), 1);
}

static void test_login_is_refused(void **state)
{
    (void)state;
    write_another_login("a stranger");
    check_no_token(SGC_AUTH, "does not accept the login in");
    assert_int_equal(http_server_count(&server), 1);
    fault_token("{\\\"access_token\\\": \\\"a\\\\r\\\\nb\\\", \\\"expires_in\\\": 3599}");
    check_no_token(SGC_AUTH, "no access token");
    http_server_reset(&server);
    fault_token("<html></html>");
    check_no_token(SGC_AUTH, "no access token");
    http_server_reset(&server);
    http_server_fault(&server, "{\"path\": \"/token\", \"status\": 503}");
    check_no_token(SGC_NETWORK, "503");
    assert_int_equal(http_server_count(&server), 3);
}

/* The login goes to nobody whom the answer names. */
static void test_login_is_not_redirected(void **state)
{
    (void)state;
    write_another_login("a login");
    http_server_fault(&server,
                      "{\"path\": \"/token\", \"redirect_to\": \"/elsewhere\", \"status\": 307}");
    check_no_token(SGC_NETWORK, "307");
    assert_int_equal(http_server_count(&server), 1);
}

static void *get_token_in_thread(void *unused)
{
    (void)unused;
    return get_token(NULL);
}

static void test_threads_share_one_request(void **state)
{
    (void)state;
    pthread_t threads[8];
    write_another_login("shared");
    http_server_fault(&server,
                      "{\"path\": \"/token\", \"delay_ms\": 200, \"status\": 200, \"body\": "
                      "\"{\\\"access_token\\\": \\\"shared\\\", \\\"expires_in\\\": 3599}\"}");
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_token_in_thread, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *token;
        pthread_join(threads[i], &token);
        assert_string_equal(token, "shared");
        free(token);
    }
    assert_int_equal(http_server_count(&server), 1);
}

static bool yes(void *user)
{
    (void)user;
    return true;
}

static void test_cancelled(void **state)
{
    (void)state;
    const sgc_cancel cancel = {.requested = yes};
    sgc_google_credentials c;
    char *token = NULL;
    write_another_login("cancelled");
    assert_int_equal(sgc_google_credentials_find(NULL, &c, NULL), SGC_OK);
    assert_int_equal(sgc_google_get_token(&c, http, NULL, &cancel, &token, NULL), SGC_CANCELLED);
    sgc_google_credentials_clear(&c);
}

/* A file as Google gives it, and then the same key as GDAL's options. */
static void test_service_account(void **state)
{
    (void)state;
    const http_server_url url = http_server_address(&server, "/__service_account");
    const sgc_http_request request = {.method = "GET", .url = url.text};
    sgc_http_response response;
    assert_int_equal(sgc_http_perform(http, &request, NULL, &response, NULL), SGC_OK);
    write_file(files[3], (const char *)response.data);
    CPLSetConfigOption("GOOGLE_APPLICATION_CREDENTIALS", path_of("account.json"));
    check_found(SGC_GOOGLE_SERVICE, "account.json", "example");
    char *token = get_token(NULL);
    assert_non_null(strstr(token, "ya29.test-"));
    check_token_is(NULL, token);
    assert_int_equal(http_server_count(&server), 1);
    free(token);

    cJSON *account = cJSON_Parse((const char *)response.data);
    sgc_http_response_clear(&response);
    const char *key = cJSON_GetObjectItem(account, "private_key")->valuestring;
    char one_line[4096] = "";
    for (size_t n = 0; *key != '\0'; key++)
        n += (size_t)snprintf(one_line + n, sizeof one_line - n, *key == '\n' ? "\\n" : "%c", *key);
    CPLSetConfigOption("EEDA_PRIVATE_KEY", one_line);
    CPLSetConfigOption("EEDA_CLIENT_EMAIL", "test@example.iam.gserviceaccount.com");
    CPLSetConfigOption("GO2A_AUD", http_server_address(&server, "/token").text);
    token = get_token(NULL);
    assert_non_null(strstr(token, "ya29.test-"));
    assert_int_equal(http_server_count(&server), 2);
    free(token);
    CPLSetConfigOption("EEDA_CLIENT_EMAIL", "somebody@else");
    check_no_token(SGC_AUTH, "the service account somebody@else of EEDA_CLIENT_EMAIL");
    CPLSetConfigOption("EEDA_PRIVATE_KEY", "-----BEGIN secret");
    check_no_token(SGC_AUTH, "look at its private key");
    CPLSetConfigOption("GO2A_AUD", NULL);
    cJSON_Delete(account);
}

static void test_machine(void **state)
{
    (void)state;
    check_no_token(SGC_AUTH, "there are no credentials for Google: run");
    CPLSetConfigOption("CPL_GCE_SKIP", "NO");
    CPLSetConfigOption("GCE_METADATA_HOST",
                       http_server_address(&server, "").text + strlen("http://"));
    char *token = get_token(NULL);
    assert_non_null(strstr(token, "ya29.test-"));
    free(token);
    assert_int_equal(http_server_count(&server), 1);
    CPLSetConfigOption("GCE_METADATA_HOST", "127.0.0.1:1");
    check_no_token(SGC_AUTH, "the machine itself has none");
}

static void test_forked_child_asks_anew(void **state)
{
    (void)state;
    write_another_login("forked");
    fault_token("{\\\"access_token\\\": \\\"parent\\\", \\\"expires_in\\\": 3599}");
    check_token_is(NULL, "parent");
    http_server_reset(&server);
    fault_token("{\\\"access_token\\\": \\\"child\\\", \\\"expires_in\\\": 3599}");
    const pid_t pid = fork();
    if (pid == 0) {
        char *token = get_token(NULL);
        _exit(strcmp(token, "child") == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_token_is(NULL, "parent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_project_alone_is_no_login, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unusable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bearer_is_sent_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_login_is_asked_for_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tokens_about_to_expire_are_renewed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_login_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_login_is_not_redirected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_share_one_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_service_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_machine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forked_child_asks_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
