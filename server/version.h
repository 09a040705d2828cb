/* version.h: what `headscope version --json` and GET /api/v1/version say, the same bytes. */
#ifndef HEADSCOPE_SERVER_VERSION_H
#define HEADSCOPE_SERVER_VERSION_H

#include <stdio.h>

#include "engine/engine.h"

#define VERSION_JSON_MAX 128

static inline const char *version_json(char json[VERSION_JSON_MAX]) {
    snprintf(json, VERSION_JSON_MAX, "{\"name\":\"headscope\",\"version\":\"%s\",\"numerics\":%d}", HEADSCOPE_VERSION,
             ENGINE_NUMERICS_VERSION);
    return json;
}

#endif
