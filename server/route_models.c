#include "server/route_models.h"

#include "server/api.h"
#include "server/json_lines.h"

static void model_item(struct json_text *out, const struct models_item *item) {
    if (!item->error) {
        json_model(out, item->id, item->digest, &item->info);
        return;
    }
    json_put(out, "{\"id\":");
    json_put_string(out, item->id);
    json_put(out, ",\"bytes\":");
    json_put_unsigned(out, item->info.bytes);
    json_put(out, ",\"error\":");
    json_put_string(out, item->error);
    json_put(out, "}");
}

void route_models(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct models_list list;
    struct problem problem;
    if (!api_query_known(request, no_query, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!models_list(app->models, &list)) {
        problem_memory(&problem);
        problem_reply(request, &problem);
        return;
    }
    struct json_text out = {0};
    json_put(&out, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i) json_put(&out, ",");
        model_item(&out, &list.items[i]);
    }
    json_put(&out, "]}");
    models_list_clear(&list);
    api_reply(request, 200, TYPE_JSON, &out);
}
