/*
 * json_atlas.h: the head atlas of a model, and the lifts of a text, as JSON (docs/api.md).
 */
#ifndef HEADSCOPE_SERVER_JSON_ATLAS_H
#define HEADSCOPE_SERVER_JSON_ATLAS_H

#include "server/json_write.h"
#include "server/prober.h"

/* False when out of memory. Works on whatever is done; the rest is null. */
bool json_atlas(struct json_text *out, const struct model_lease *lease, const struct probe_view views[PROBES]);

/* state: of the natural probe. */
void json_lifts(struct json_text *out, const char *id, const struct model *model, enum probe_state state, const struct head_lifts *heads);

#endif
