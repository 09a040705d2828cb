/* route_table.c: everything the server answers, in the order of the documentation. */
#include "server/route_analyses.h"
#include "server/route_atlas.h"
#include "server/route_attention.h"
#include "server/route_between.h"
#include "server/route_compare.h"
#include "server/route_heads.h"
#include "server/route_models.h"
#include "server/route_series.h"
#include "server/route_shares.h"
#include "server/route_similarity.h"
#include "server/route_syntax.h"
#include "server/route_tokenize.h"
#include "server/routes.h"

static const struct http_route table[] = {
    {"GET", "/healthz", route_healthz},
    {"GET", "/readyz", route_readyz},
    {"GET", "/api/v1/version", route_version},
    {"GET", "/api/v1/models", route_models},
    {"GET", "/api/v1/models/{id}/heads", route_model_heads},
    {"POST", "/api/v1/tokenize", route_tokenize},
    {"POST", "/api/v1/analyses", route_analyses_post},
    {"GET", "/api/v1/analyses", route_analyses_list},
    {"GET", "/api/v1/analyses/{id}", route_analysis_get},
    {"DELETE", "/api/v1/analyses/{id}", route_analysis_delete},
    {"GET", "/api/v1/analyses/{id}/stream", route_analysis_stream},
    {"GET", "/api/v1/analyses/{id}/lifts.json", route_lifts},
    {"GET", "/api/v1/analyses/{id}/heads.csv", route_heads_csv},
    {"GET", "/api/v1/analyses/{id}/heads.json", route_heads_json},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}/{head}.npy", route_attention_npy},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}/{head}.json", route_attention_json},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}/{head}.csv", route_attention_csv},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}/{head}.png", route_attention_png},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}.npy", route_attention_layer_npy},
    {"GET", "/api/v1/analyses/{id}/attention/{layer}/{head}/tiles/{zoom}/{x}/{y}", route_tile},
    {"GET", "/api/v1/analyses/{id}/series/{layer}/{head}.json", route_series_json},
    {"GET", "/api/v1/analyses/{id}/series/{layer}/{head}.npy", route_series_npy},
    {"GET", "/api/v1/analyses/{id}/between", route_between},
    {"GET", "/api/v1/analyses/{id}/dilution.json", route_dilution},
    {"GET", "/api/v1/analyses/{id}/similarity.npy", route_similarity_npy},
    {"GET", "/api/v1/analyses/{id}/similarity.json", route_similarity_json},
    {"POST", "/api/v1/analyses/{id}/syntax", route_syntax},
    {"GET", "/api/v1/compare", route_compare},
    {"GET", "/api/v1/compare/{layer}/{head}.npy", route_compare_npy},
    {"GET", "/api/v1/compare/{layer}/{head}/tiles/{zoom}/{x}/{y}", route_compare_tile},
    {"POST", "/api/v1/shares", route_shares_post},
    {"GET", "/api/v1/shares/{share}", route_share_get},
    {"DELETE", "/api/v1/shares/{share}", route_share_delete},

    {"GET", "/", route_page},
    {"GET", "/a/{id}", route_page},
    {"GET", "/s/{share}", route_page},
    {"GET", "/static/{file*}", route_static},
};

const struct http_route *routes_table(size_t *count) {
    *count = sizeof table / sizeof table[0];
    return table;
}
