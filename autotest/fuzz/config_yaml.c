#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/config.h"
#include "store/icechunk/yaml_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"time", NULL, "longitude"};
    uint32_t lengths[3];
    sgc_span value;
    sgc_buffer json = {0};
    const uint8_t *yaml = fenced_copy(data, size);
    if (sgc_yaml_print_json((sgc_span){(const char *)yaml, size}, &json, NULL) == SGC_OK)
        demand(sgc_json_whole((sgc_span){(char *)json.data, json.size}, &value, NULL) == SGC_OK);
    sgc_buffer_free(&json);

    sgc_config *config = NULL;
    if (sgc_config_parse_yaml(yaml, size, &config, NULL) == SGC_OK) {
        demand(sgc_config_updates_per_file(config) > 0);
        sgc_config_split(config, "/group/temperature", 3, names, lengths);
        demand(lengths[0] > 0 && lengths[1] > 0 && lengths[2] > 0);
    }
    sgc_config_free(config);
    return 0;
}
