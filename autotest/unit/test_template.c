/* Templates of URLs (datasets guide 6.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datasets/template.h"

#include <cpl_conv.h>
#include <stdlib.h>
#include <string.h>

static const int64_t year_2020 = 1577836800, year_2021 = 1609459200;

/* The south-west corner of the example in the guide, 53 degrees north and 115 west. */
static sgc_template_values example(void)
{
    return (sgc_template_values){.x_min = -115,
                                 .x_max = -114,
                                 .y_min = 53,
                                 .y_max = 54,
                                 .col = 7,
                                 .row = 14,
                                 .t_start = year_2020,
                                 .t_end = year_2021,
                                 .id = "66_33_32m_v4.1",
                                 .asset = "dem"};
}

static void check(const char *text, const sgc_template_values *values, const char *expected)
{
    sgc_template *template;
    sgc_error error = {""};
    char *out = NULL;
    if (sgc_template_new(text, &template, &error) != SGC_OK ||
        sgc_template_expand(template, values, &out, &error) != SGC_OK)
        fail_msg("%s: %s", text, error.message);
    assert_string_equal(out, expected);
    free(out);
    sgc_template_free(template);
}

static void test_fields_without_format(void **state)
{
    (void)state;
    const sgc_template_values v = example();
    check("", &v, "");
    check("no field", &v, "no field");
    check("{x_min} {x_max} {y_min} {y_max}", &v, "-115 -114 53 54");
    check("{row}_{col}", &v, "14_7");
    check("{t_year}-{t_month}-{t_day}/{t_end_year}", &v, "2020-1-1/2021");
    check("items/{id}", &v, "items/66_33_32m_v4.1");
    check("{asset}{asset}", &v, "demdem");
}

static void test_formats(void **state)
{
    (void)state;
    sgc_template_values v = example();
    check("{row|02}_{col|02}_{col|010}_{col|0}", &v, "14_07_0000000007_7");
    check("{t_year}{t_month|02}{t_day|02}", &v, "20200101");
    check("{y_min|NS02}{x_min|EW003}", &v, "N53W115");
    check("{y_min|02NS}_{x_min|003EW}", &v, "53N_115W");
    check("{x_max|0EW}_{y_max|0NS}", &v, "114W_54N");
    v.y_min = -7;
    v.x_min = 9;
    check("{y_min|NS02}{x_min|EW003}", &v, "S07E009");
    check("{y_min|02NS} {x_min|003EW} {x_min|0EW} {y_min|0NS}", &v, "07S 009E 9E 7S");
    v.y_min = v.x_min = 0;
    check("{y_min|02NS}_{x_min|003EW}", &v, "00N_000E");
    v.row = -3;
    v.col = 12345;
    check("{row|NS02}{col|EW003}", &v, "S03E12345");
}

/* The names of the guide's section 5. */
static void test_urls_of_known_datasets(void **state)
{
    (void)state;
    sgc_template_values v = example();
    check("https://h/{row|02}_{col|02}/{row|02}_{col|02}_10m_v4.1_dem.tif", &v,
          "https://h/14_07/14_07_10m_v4.1_dem.tif");
    check("Copernicus_DSM_COG_10_{y_min|NS02}_00_{x_min|EW003}_00_DEM", &v,
          "Copernicus_DSM_COG_10_N53_00_W115_00_DEM");
    v = (sgc_template_values){.x_min = 10, .y_max = 50, .asset = "lossyear"};
    check("Hansen_GFC-2024-v1.12_{asset}_{y_max|02NS}_{x_min|003EW}.tif", &v,
          "Hansen_GFC-2024-v1.12_lossyear_50N_010E.tif");
    v = (sgc_template_values){.x_min = 30, .y_max = 0, .asset = "occurrence"};
    check("{asset}/{asset}_{x_min|0EW}_{y_max|0NS}v1_4_2021.tif", &v,
          "occurrence/occurrence_30E_0Nv1_4_2021.tif");
}

static void test_edges_are_rounded_to_integers(void **state)
{
    (void)state;
    const sgc_template_values v = {.x_min = 0.1 * 3 * 10, .x_max = -2.9999999999, .y_min = 1.5};
    check("{x_min} {x_max}", &v, "3 -3");
    sgc_template *template;
    sgc_error error = {""};
    char *out = NULL;
    assert_int_equal(sgc_template_new("{y_min}", &template, NULL), SGC_OK);
    assert_int_equal(sgc_template_expand(template, &v, &out, &error), SGC_INVALID);
    assert_non_null(strstr(error.message, "1.5"));
    assert_null(out);
    sgc_template_free(template);
}

static void test_fields_are_told(void **state)
{
    (void)state;
    unsigned fields;
    assert_int_equal(sgc_template_check("a/b.tif", &fields, NULL), SGC_OK);
    assert_int_equal(fields, 0);
    assert_int_equal(sgc_template_check("{x_min|0}{row}{row|02}?k={config:KEY}", &fields, NULL),
                     SGC_OK);
    assert_int_equal(fields, SGC_FIELD_X_MIN | SGC_FIELD_ROW);
    assert_int_equal(sgc_template_check("{t_end_year}{id}{asset}", &fields, NULL), SGC_OK);
    assert_int_equal(fields, SGC_FIELD_T_END_YEAR | SGC_FIELD_ID | SGC_FIELD_ASSET);
}

static void check_refused(const char *text, const char *place)
{
    unsigned fields;
    sgc_error error = {""};
    assert_int_equal(sgc_template_check(text, &fields, &error), SGC_INVALID);
    if (strstr(error.message, place) == NULL)
        fail_msg("%s: \"%s\" does not name %s", text, error.message, place);
}

static void test_errors_name_the_place(void **state)
{
    (void)state;
    check_refused("https://host/{rows|02}.tif", "character 14, \"{rows|02}\"");
    check_refused("{}", "character 1, \"{}\"");
    check_refused("ab{x_min", "character 3");
    check_refused("ab{x_min{y_min}", "character 3");
    check_refused("{x_min}}", "character 8");
    check_refused("{row|2}", "format");
    check_refused("{row|}", "format");
    check_refused("{row|0x}", "format");
    check_refused("{row|NS02NS}", "format");
    check_refused("{row|EW02}", "format");
    check_refused("{x_min|02NS}", "format");
    check_refused("{t_year|NS04}", "format");
    check_refused("{row|099999999999999}", "format");
    check_refused("{id|02}", "format");
    check_refused("{asset|02}", "format");
}

static char *expand_config(const char *text, sgc_error *error)
{
    char *out = NULL;
    return sgc_config_expand(text, &out, error) == SGC_OK ? out : NULL;
}

static void test_secrets_are_expanded_at_use_only(void **state)
{
    (void)state;
    const sgc_template_values v = example();
    check("https://h/{row}?key={config:SGC_TEST_KEY}&c={col}", &v,
          "https://h/14?key={config:SGC_TEST_KEY}&c=7");
    sgc_error error = {""};
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", NULL);
    assert_null(expand_config("Authorization: {config:SGC_TEST_KEY}", &error));
    assert_non_null(strstr(error.message, "SGC_TEST_KEY"));
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", "s3cret");
    char *text = expand_config("a {config:SGC_TEST_KEY}{config:SGC_TEST_KEY} b", &error);
    assert_string_equal(text, "a s3crets3cret b");
    free(text);
    text = expand_config("{x} {config:", &error);
    assert_string_equal(text, "{x} {config:");
    free(text);
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", "two\r\nlines: s3cret");
    assert_null(expand_config("A: {config:SGC_TEST_KEY}", &error));
    assert_null(strstr(error.message, "s3cret"));
    CPLSetThreadLocalConfigOption("SGC_TEST_KEY", NULL);
}

static void test_secrets_are_where_no_message_shows_them(void **state)
{
    (void)state;
    check_refused("https://h/{config:KEY}/{row}.tif", "query");
    check_refused("https://{config:KEY}@h/{row}.tif", "query");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_without_format),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_urls_of_known_datasets),
        cmocka_unit_test(test_edges_are_rounded_to_integers),
        cmocka_unit_test(test_fields_are_told),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_secrets_are_expanded_at_use_only),
        cmocka_unit_test(test_secrets_are_where_no_message_shows_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
