#include "server/route_models.h"

#include "server/api.h"
#include "server/json_models.h"

/* For most models that is time enough; of the others the list says how far they are. */
enum { WAIT_MS = 1000 };

void route_models(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct models_list list;
    struct problem problem;
    if (!api_query_known(request, no_query, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!models_list(app->models, WAIT_MS, &list)) {
        problem_memory(&problem);
        problem_reply(request, &problem);
        return;
    }
    struct json_text out = {0};
    json_put(&out, "{\"items\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i) json_put(&out, ",");
        json_models_item(&out, &list.items[i], false);
    }
    json_put(&out, "]}");
    models_list_clear(&list);
    api_reply(request, 200, TYPE_JSON, &out);
}
