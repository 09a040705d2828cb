#include "server/json_atlas.h"

#include <math.h>
#include <stdlib.h>

/* ---- the atlas --------------------------------------------------------------------------------------------------- */

static void put_key(struct json_text *out, bool first, const char *key) {
    json_put(out, first ? "\"" : ",\"");
    json_put(out, key);
    json_put(out, "\":");
}

static void put_number(struct json_text *out, const char *before, double value) {
    json_put(out, before);
    json_put_real(out, value);
}

static void put_probe(struct json_text *out, int probe, const struct probe_view *view) {
    json_put(out, probe ? ",{\"name\":" : "{\"name\":");
    json_put_string(out, probe_protocols[probe].name);
    json_put(out, ",\"version\":");
    json_put_integer(out, probe_protocols[probe].version);
    json_put(out, ",\"seed\":");
    if (probe_protocols[probe].seed) json_put_unsigned(out, probe_protocols[probe].seed);
    else json_put(out, "null");
    json_put(out, ",\"sequences\":");
    json_put_unsigned(out, view->steps);
    json_put(out, ",\"done\":");
    json_put_unsigned(out, view->done);
    json_put(out, ",\"state\":");
    json_put_string(out, probe_state_names[view->state]);
    if (view->state == PROBE_IMPOSSIBLE) {
        json_put(out, ",\"reason\":");
        json_put_string(out, view->reason);
    }
    json_put(out, "}");
}

static void put_scores(struct json_text *out, const struct atlas_head *head, const struct model_info *info) {
    char name[64];
    bool first = true;
    json_put(out, ",\"scores\":{");
    for (int s = 0; s < SCORES; s++) {
        const struct statistic_field *field = s >= SCORE_NATURAL ? &statistic_fields[s - SCORE_NATURAL] : NULL;
        if (field && ((info->causal && field->encoder_only) || (!info->sink_logits && field->sink_logits_only))) continue;
        if (info->causal && s == SCORE_NATURAL_LIFT + LIFT_NEXT) continue;
        put_key(out, first, score_name(s, name));
        json_put_real(out, head->score[s]);
        first = false;
    }
    json_put(out, "}");
}

static void put_spread(struct json_text *out, const struct atlas_head *head) {
    char name[64];
    bool first = true;
    json_put(out, ",\"spread\":{");
    for (int s = 0; s < STAT_COUNT; s++) {
        if (isnan(head->low[s])) continue;
        put_key(out, first, score_name(SCORE_NATURAL + s, name));
        put_number(out, "[", head->low[s]);
        put_number(out, ",", head->high[s]);
        json_put(out, "]");
        first = false;
    }
    json_put(out, "}");
}

static void put_list(struct json_text *out, const char *before, const double *values, size_t count) {
    json_put(out, before);
    for (size_t i = 0; i < count; i++) put_number(out, i ? "," : "[", values[i]);
    json_put(out, count ? "]" : "[]");
}

static void put_type(struct json_text *out, const struct head_type *type) {
    json_put(out, "{\"type\":");
    json_put_string(out, head_kind_names[type->kind]);
    json_put(out, type->strong ? ",\"strength\":\"strong\"" : ",\"strength\":\"weak\"");
    put_number(out, ",\"score\":", type->score);
    put_number(out, ",\"threshold\":", type->threshold);
    json_put(out, ",\"probe\":");
    json_put_string(out, probe_protocols[score_probe(type->which)].name);
    if (type->kind == HEAD_POSITIONAL) {
        json_put(out, ",\"offset\":");
        json_put_integer(out, type->offset);
    }
    json_put(out, "}");
}

static void put_head(struct json_text *out, size_t layer, size_t index, const struct atlas_head *head, size_t lengths,
                     const struct model_info *info) {
    json_put(out, "{\"layer\":");
    json_put_unsigned(out, layer);
    json_put(out, ",\"head\":");
    json_put_unsigned(out, index);
    put_scores(out, head, info);
    put_spread(out, head);
    put_list(out, ",\"lengths\":{\"entropy\":", head->length_entropy, lengths);
    put_list(out, ",\"sink_mass\":", head->length_sink, lengths);
    put_list(out, ",\"local_mass\":", head->length_local, lengths);
    json_put(out, "},\"types\":[");
    for (size_t t = 0; t < head->types; t++) {
        if (t) json_put(out, ",");
        put_type(out, &head->type[t]);
    }
    json_put(out, "]}");
}

static void put_progress(struct json_text *out, const struct probe_view views[PROBES]) {
    size_t done = 0, total = 0;
    bool running = false;
    for (int p = 0; p < PROBES; p++) {
        done += views[p].done;
        total += views[p].steps;
        running = running || views[p].state == PROBE_RUNNING;
    }
    json_put(out, ",\"progress\":{\"done\":");
    json_put_unsigned(out, done);
    json_put(out, ",\"total\":");
    json_put_unsigned(out, total);
    json_put(out, ",\"running\":");
    json_put_bool(out, running);
    json_put(out, "}");
}

bool json_atlas(struct json_text *out, const struct model_lease *lease, const struct probe_view views[PROBES]) {
    const struct model_info *info = model_describe(lease->model);
    size_t layers = (size_t)info->layers, heads = (size_t)info->heads, lengths[ATLAS_LENGTHS], count = atlas_lengths(lease->model, lengths);
    const double *values[PROBES];
    double losses[2];
    struct atlas_head *atlas = malloc(layers * heads * sizeof *atlas);
    if (!atlas) return false;
    for (int p = 0; p < PROBES; p++) values[p] = views[p].values;
    atlas_heads(lease->model, values, atlas);
    atlas_losses(values[PROBE_REPEAT], losses);
    json_put(out, "{\"model\":");
    json_put_string(out, lease->id);
    json_put(out, ",\"digest\":");
    json_put_string(out, lease->digest);
    put_progress(out, views);
    json_put(out, ",\"probes\":[");
    for (int p = 0; p < PROBES; p++) put_probe(out, p, &views[p]);
    json_put(out, "]");
    put_list(out, ",\"losses\":", losses, 2);
    json_put(out, ",\"lengths\":[");
    for (size_t k = 0; k < count; k++) {
        if (k) json_put(out, ",");
        json_put_unsigned(out, lengths[k]);
    }
    json_put(out, "],\"heads\":[");
    for (size_t h = 0; h < layers * heads; h++) {
        if (h) json_put(out, ",");
        put_head(out, h / heads, h % heads, &atlas[h], count, info);
    }
    json_put(out, "]}");
    free(atlas);
    return !out->failed;
}

/* ---- lifts ------------------------------------------------------------------------------------------------------- */

static void put_lift(struct json_text *out, const struct lift_result *lift) {
    json_put(out, "{\"rows\":");
    json_put_unsigned(out, lift->rows);
    put_number(out, ",\"observed_without_sinks\":", lift->observed);
    put_number(out, ",\"uniform\":", lift->uniform);
    put_number(out, ",\"expected\":", lift->expected);
    put_number(out, ",\"lift\":", lift->lift);
    put_number(out, ",\"low\":", lift->low);
    put_number(out, ",\"high\":", lift->high);
    json_put(out, ",\"grey\":");
    json_put_bool(out, lift->grey);
    json_put(out, "}");
}

void json_lifts(struct json_text *out, const char *id, const struct model *model, enum probe_state state, const struct head_lifts *heads) {
    const struct model_info *info = model_describe(model);
    size_t count = (size_t)info->heads, all = (size_t)info->layers * count;
    json_put(out, "{\"id\":");
    json_put_string(out, id);
    json_put(out, ",\"profile\":");
    json_put_string(out, probe_state_names[state]);
    json_put(out, ",\"seed\":");
    json_put_unsigned(out, LIFT_SEED);
    json_put(out, ",\"resamples\":");
    json_put_unsigned(out, LIFT_RESAMPLES);
    json_put(out, ",\"statistics\":[");
    bool first = true;
    for (int k = 0; k < LIFTS; k++) {
        if (k == LIFT_NEXT && info->causal) continue;
        if (!first) json_put(out, ",");
        json_put_string(out, lift_names[k]);
        first = false;
    }
    json_put(out, "],\"items\":[");
    for (size_t h = 0; h < all; h++) {
        json_put(out, h ? ",{\"layer\":" : "{\"layer\":");
        json_put_unsigned(out, h / count);
        json_put(out, ",\"head\":");
        json_put_unsigned(out, h % count);
        put_number(out, ",\"outside\":", heads[h].outside);
        json_put(out, ",\"lifts\":{");
        first = true;
        for (int k = 0; k < LIFTS; k++) {
            if (k == LIFT_NEXT && info->causal) continue;
            put_key(out, first, lift_names[k]);
            put_lift(out, &heads[h].lift[k]);
            first = false;
        }
        json_put(out, "}}");
    }
    json_put(out, "]}");
}
