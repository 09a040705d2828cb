#include "server/route_similarity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/npy.h"
#include "server/similarities.h"

/* ---- the matrix -------------------------------------------------------------------------------------------------- */

struct making {
    struct similarity *similarity;
    enum engine_status status;
    char error[256];
};

static bool making_step(void *context, struct engine *engine) {
    struct making *making = context;
    bool done = false;
    making->status = similarity_step(engine, making->similarity, &done, making->error, sizeof making->error);
    return making->status == ENGINE_OK && !done;
}

/* Computes it from the activations that are lent. */
static bool make_matrix(struct app *app, struct http_request *request, const struct activation_lease *lease,
                        struct similarity_entry *entry, struct problem *problem) {
    struct patience patience = patience_of_request(request);
    struct making making = {0};
    enum section section = lease->section;
    making.status = similarity_create(lease->activations, section, entry->kind, lease->excluded, lease->excluded_count, &making.similarity,
                                      making.error, sizeof making.error);
    bool fine = making.status != ENGINE_OK || worker_ask_steps(app->worker, making_step, &making, &patience, problem);
    if (fine && making.status != ENGINE_OK) fine = problem_engine(problem, making.status, making.error);
    if (fine) {
        const float *matrix = similarity_matrix(making.similarity, &entry->heads);
        size_t bytes = entry->heads * entry->heads * sizeof *matrix;
        entry->queries = similarity_queries(making.similarity);
        entry->matrix = malloc(bytes);
        if (entry->matrix) memcpy(entry->matrix, matrix, bytes);
        fine = entry->matrix || problem_memory(problem);
    }
    similarity_destroy(making.similarity);
    if (fine) similarities_put(app->similarities, entry);
    return fine;
}

/* False: the answer has been given, be it a problem or 304. The caller frees the matrix. */
static bool similarity_of_request(struct app *app, struct http_request *request, const char *end, struct similarity_entry *entry) {
    static const char *const known[] = {"by", "section", NULL};
    const char *by = http_query(request, "by"), *section = http_query(request, "section"), *id = http_capture(request, 0);
    struct problem problem;
    struct analysis *analysis = NULL;
    struct activation_lease lease;
    *entry = (struct similarity_entry){.kind = by && !strcmp(by, "cka") ? SIMILARITY_CKA : SIMILARITY_JS};
    bool fine = api_query_known(request, known, &problem);
    if (fine && by && strcmp(by, "cka") != 0 && strcmp(by, "js") != 0)
        fine = problem_set(&problem, 400, "by must be js or cka, not '%.24s'", by);
    fine = fine && analyses_find(app->analyses, id, &analysis, &problem);
    if (!fine) {
        problem_reply(request, &problem);
        return false;
    }
    memcpy(entry->id, analysis_id(analysis), sizeof entry->id);
    snprintf(entry->section, sizeof entry->section, "%s", section ? section : "");
    bool there = similarities_get(app->similarities, entry);
    fine = there || api_activations(app, request, id, &lease);
    analysis_release(app->analyses, analysis);
    if (!fine) return false;
    if (!there) {
        fine = make_matrix(app, request, &lease, entry, &problem);
        analyses_release_activations(app->analyses, &lease);
    }
    if (!fine) {
        problem_reply(request, &problem);
        return false;
    }
    if (!api_immutable(request, entry->id, "/similarity.%s?%d %s", end, (int)entry->kind, entry->section)) return true;
    free(entry->matrix);
    return false;
}

void route_similarity_npy(struct app *app, struct http_request *request) {
    struct similarity_entry entry;
    struct problem problem;
    if (!similarity_of_request(app, request, "npy", &entry)) return;
    size_t bytes = entry.heads * entry.heads * sizeof *entry.matrix, shape[2] = {entry.heads, entry.heads};
    char *file = malloc(NPY_HEADER_SIZE + bytes);
    if (file) {
        npy_header(file, shape, 2);
        memcpy(file + NPY_HEADER_SIZE, entry.matrix, bytes);
        http_reply(request, 200, TYPE_BYTES, file, NPY_HEADER_SIZE + bytes);
    } else {
        problem_memory(&problem);
        problem_reply(request, &problem);
    }
    free(entry.matrix);
}

/* ---- clusters and a plane ---------------------------------------------------------------------------------------- */

struct mapping_read {
    const struct similarity_entry *entry;
    struct similarity_map map;
    enum engine_status status;
    char error[256];
};

static void mapping_run(void *context, struct engine *engine) {
    struct mapping_read *read = context;
    (void)engine;
    read->status = similarity_map_make(read->entry->matrix, read->entry->heads, read->entry->kind, &read->map, read->error,
                                       sizeof read->error);
}

static void put_map(struct json_text *out, const struct similarity_entry *entry, const struct similarity_map *map) {
    json_put(out, entry->kind == SIMILARITY_CKA ? "{\"by\":\"cka\"" : "{\"by\":\"js\"");
    api_put_unsigned(out, ",\"queries\":", entry->queries);
    json_put(out, ",\"clusters\":[");
    for (size_t h = 0; h < entry->heads; h++) api_put_unsigned(out, h ? "," : "", map->cluster[h]);
    api_put_unsigned(out, "],\"cluster_count\":", map->clusters);
    api_put_real(out, ",\"method\":\"average linkage\",\"cut\":", CLUSTER_CUT);
    json_put(out, ",\"embedding\":[");
    for (size_t h = 0; h < entry->heads; h++) {
        api_put_real(out, h ? ",[" : "[", map->place[2 * h]);
        api_put_real(out, ",", map->place[2 * h + 1]);
        json_put(out, "]");
    }
    api_put_real(out, "],\"stress\":", map->stress);
    api_put_real(out, ",\"explained\":", map->explained);
    json_put(out, "}");
}

void route_similarity_json(struct app *app, struct http_request *request) {
    struct similarity_entry entry;
    struct problem problem;
    struct json_text out = {0};
    struct patience patience = patience_of_request(request);
    if (!similarity_of_request(app, request, "json", &entry)) return;
    struct mapping_read read = {.entry = &entry};
    bool fine = worker_ask(app->worker, mapping_run, &read, &patience, &problem);
    if (fine && read.status != ENGINE_OK) fine = problem_engine(&problem, read.status, read.error);
    if (fine) put_map(&out, &entry, &read.map);
    similarity_map_clear(&read.map);
    free(entry.matrix);
    if (fine) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}
