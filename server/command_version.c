/* command_version.c: `headscope version`. */
#include <stdio.h>

#include "engine/engine.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/version.h"

int command_version(const struct options *options, struct log *log) {
    (void)log;
    char json[VERSION_JSON_MAX];
    if (options->json)
        printf("%s\n", version_json(json));
    else
        printf("headscope %s (numerics %d)\n", HEADSCOPE_VERSION, ENGINE_NUMERICS_VERSION);
    return 0;
}
