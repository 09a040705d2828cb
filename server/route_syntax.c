#include "server/route_syntax.h"

#include <stdlib.h>
#include <string.h>

#include "server/api.h"
#include "server/conllu.h"
#include "server/json_share.h"

#define STEP_PAIRS ((size_t)1 << 18) /* of words: a few milliseconds */
#define TYPE_CASES 100
#define TYPE_MARGIN 0.1

struct syntax {
    struct activation_lease lease;
    struct parse parse;
    size_t heads, layer_heads, kinds;  /* kinds: relations x directions */
    struct syntax_baseline *baselines; /* [kinds] */
    uint32_t *right;                   /* [heads, kinds] */
    bool begun;
    size_t head, word;                 /* the next */
    enum engine_status status;
    char error[256];
};

/* ---- counting ---------------------------------------------------------------------------------------------------- */

/* Whole sentences from `first` on, until a few milliseconds are gone. */
static size_t piece_end(const struct parse *parse, size_t first, size_t *work) {
    size_t end = first;
    while (end < parse->count && *work < STEP_PAIRS) {
        size_t begin = end;
        while (end < parse->count && parse->words[end].sentence == parse->words[begin].sentence) end++;
        *work += (end - begin) * (end - begin) + 64;
    }
    return end;
}

static bool syntax_step(void *context, struct engine *engine) {
    struct syntax *s = context;
    const struct parse *parse = &s->parse;
    if (!s->begun) {
        s->begun = true;
        s->status = syntax_baselines(s->lease.activations, parse->words, parse->count, parse->relations, s->baselines, s->error,
                                     sizeof s->error);
        return s->status == ENGINE_OK;
    }
    for (size_t work = 0; work < STEP_PAIRS && s->head < s->heads;) {
        size_t end = piece_end(parse, s->word, &work);
        struct head_address at = {s->lease.section, (int)(s->head / s->layer_heads),
                                  (int)(s->head % s->layer_heads)};
        s->status = syntax_right(engine, s->lease.activations, at, parse->words, s->word, end, s->right + s->head * s->kinds, s->error,
                                 sizeof s->error);
        if (s->status != ENGINE_OK) return false;
        s->word = end;
        if (end == parse->count) s->word = 0, s->head++;
    }
    return s->head < s->heads;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static double accuracy(const struct syntax *s, size_t head, size_t kind) {
    return (double)s->right[head * s->kinds + kind] / (double)s->baselines[kind].cases;
}

static double baseline(const struct syntax *s, size_t kind) {
    return (double)s->baselines[kind].right / (double)s->baselines[kind].cases;
}

static void put_kind(struct json_text *out, const struct syntax *s, size_t kind) {
    json_put(out, "{\"relation\":");
    json_put_string(out, s->parse.relation[kind / SYNTAX_DIRECTIONS]);
    json_put(out, kind % SYNTAX_DIRECTIONS == SYNTAX_TO_HEAD ? ",\"direction\":\"to_head\"" : ",\"direction\":\"to_dependent\"");
}

static void put_head(struct json_text *out, const struct syntax *s, const char *before, size_t head) {
    json_put(out, before);
    api_put_unsigned(out, "\"layer\":", head / s->layer_heads);
    api_put_unsigned(out, ",\"head\":", head % s->layer_heads);
}

static void put_relation(struct json_text *out, const struct syntax *s, size_t kind) {
    const struct syntax_baseline *b = &s->baselines[kind];
    size_t best = 0;
    put_kind(out, s, kind);
    api_put_unsigned(out, ",\"cases\":", b->cases);
    json_put(out, ",\"baseline\":{\"offset\":");
    json_put_integer(out, b->offset);
    api_put_real(out, ",\"accuracy\":", baseline(s, kind));
    json_put(out, "},\"accuracy\":[");
    for (size_t h = 0; h < s->heads; h++) {
        api_put_real(out, h ? "," : "", accuracy(s, h, kind));
        if (accuracy(s, h, kind) > accuracy(s, best, kind)) best = h;
    }
    put_head(out, s, "],\"best\":{", best);
    api_put_real(out, ",\"accuracy\":", accuracy(s, best, kind));
    json_put(out, "}}");
}

static void put_types(struct json_text *out, const struct syntax *s) {
    bool first = true;
    for (size_t kind = 0; kind < s->kinds; kind++) {
        for (size_t h = 0; s->baselines[kind].cases >= TYPE_CASES && h < s->heads; h++) {
            double margin = accuracy(s, h, kind) - baseline(s, kind);
            if (margin < TYPE_MARGIN) continue;
            if (!first) json_put(out, ",");
            first = false;
            put_kind(out, s, kind);
            put_head(out, s, ",", h);
            api_put_real(out, ",\"accuracy\":", accuracy(s, h, kind));
            api_put_real(out, ",\"margin\":", margin);
            api_put_unsigned(out, ",\"cases\":", s->baselines[kind].cases);
            json_put(out, "}");
        }
    }
}

static void put_syntax(struct json_text *out, const struct syntax *s) {
    bool first = true;
    api_put_unsigned(out, "{\"words\":", s->parse.count);
    api_put_unsigned(out, ",\"sentences\":", s->parse.sentences);
    json_put(out, ",\"relations\":[");
    for (size_t kind = 0; kind < s->kinds; kind++) {
        if (s->baselines[kind].cases == 0) continue;
        if (!first) json_put(out, ",");
        first = false;
        put_relation(out, s, kind);
    }
    json_put(out, "],\"types\":[");
    put_types(out, s);
    json_put(out, "]}");
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

static bool read_parse(struct app *app, struct http_request *request, struct parse *parse, struct problem *problem) {
    struct patience patience = patience_of_request(request);
    struct analysis *analysis = NULL;
    struct stored_text text = {0};
    char *conllu = NULL;
    size_t size = 0, length = 0;
    const void *body = http_body(request, &size);
    bool fine = json_conllu_read(body, size, &conllu, &length, problem) &&
                analyses_find(app->analyses, http_capture(request, 0), &analysis, problem) && analysis_wait(analysis, &patience, problem);
    if (fine) {
        const char *lines = line_stream_bytes(analysis_stream(analysis), &size);
        fine = json_stored_text(lines, size, &text, problem) && conllu_read(conllu, &text, parse, problem);
    }
    json_stored_text_clear(&text);
    free(conllu);
    analysis_release(app->analyses, analysis);
    return fine;
}

static bool count_all(struct app *app, struct http_request *request, struct syntax *s, struct problem *problem) {
    struct patience patience = patience_of_request(request);
    s->heads = api_heads(&s->lease, &s->layer_heads);
    s->kinds = s->parse.relations * SYNTAX_DIRECTIONS;
    s->baselines = calloc(s->kinds, sizeof *s->baselines);
    s->right = calloc(s->heads * s->kinds, sizeof *s->right);
    if (!s->baselines || !s->right) return problem_memory(problem);
    return worker_ask_steps(app->worker, syntax_step, s, &patience, problem) &&
           (s->status == ENGINE_OK || problem_engine(problem, s->status, s->error));
}

void route_syntax(struct app *app, struct http_request *request) {
    static const char *const no_query[] = {NULL};
    struct problem problem;
    struct syntax syntax = {0};
    struct json_text out = {0};
    if (!api_query_known(request, no_query, &problem) || !read_parse(app, request, &syntax.parse, &problem)) {
        problem_reply(request, &problem);
        return;
    }
    if (!api_activations(app, request, http_capture(request, 0), &syntax.lease)) {
        conllu_clear(&syntax.parse);
        return;
    }
    bool fine = api_one_section(&syntax.lease, "holding heads against a parse", &problem) && count_all(app, request, &syntax, &problem);
    if (fine) put_syntax(&out, &syntax);
    analyses_release_activations(app->analyses, &syntax.lease);
    free(syntax.baselines);
    free(syntax.right);
    conllu_clear(&syntax.parse);
    if (fine) api_reply(request, 200, TYPE_JSON, &out);
    else problem_reply(request, &problem);
}
