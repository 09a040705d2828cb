#include "server/api.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_NAMES_MAX 16

void problem_reply(struct http_request *request, const struct problem *problem) {
    if (problem->retry_after > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", problem->retry_after);
        http_set_header(request, "Retry-After", seconds);
    }
    http_reply_problem(request, problem->status, problem->detail, problem->pointer[0] ? problem->pointer : NULL);
}

static bool request_is_over(void *context, struct problem *problem) {
    const struct http_request *request = context;
    if (http_stopping(request)) return !problem_set(problem, 503, "the server is stopping; ask again when it is back");
    if (http_client_gone(request)) return !problem_set(problem, 503, "the client has hung up");
    return false;
}

struct patience patience_of_request(struct http_request *request) {
    return (struct patience){.over = request_is_over, .context = request};
}

bool api_query_known(const struct http_request *request, const char *const *allowed, struct problem *problem) {
    const char *names[QUERY_NAMES_MAX];
    size_t count = http_query_names(request, names, QUERY_NAMES_MAX);
    if (count > QUERY_NAMES_MAX) return problem_set(problem, 400, "the address has too many query parameters");
    for (size_t i = 0; i < count; i++) {
        const char *const *at = allowed;
        while (*at && strcmp(*at, names[i]) != 0) at++;
        if (*at) continue;
        char known[128] = "";
        for (at = allowed; *at; at++) {
            size_t length = strlen(known);
            snprintf(known + length, sizeof known - length, "%s%s", length ? ", " : "", *at);
        }
        if (!known[0]) return problem_set(problem, 400, "this address takes no query parameter; '%.60s' is one", names[i]);
        return problem_set(problem, 400, "this address takes no query parameter '%.60s'; it takes %s", names[i], known);
    }
    return true;
}

bool api_number(const char *text, size_t *number) {
    size_t value = 0;
    if (!*text) return false;
    for (; *text; text++) {
        size_t digit = (size_t)(*text - '0');
        if (*text < '0' || *text > '9' || value > (SIZE_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool api_index(const char *text, const char *what, size_t *index, struct problem *problem) {
    return api_number(text, index) || problem_set(problem, 404, "'%.24s' is no %s; they are numbers from 0", text, what);
}

/* One end of a cut: nothing is the default; more than a size_t holds is as good as n. */
static bool cut_end(const char *text, size_t length, size_t otherwise, size_t n, size_t *end) {
    char digits[24];
    if (length == 0) {
        *end = otherwise;
        return true;
    }
    if (strspn(text, "0123456789") < length) return false;
    while (length > 1 && *text == '0') text++, length--;
    snprintf(digits, sizeof digits, "%.*s", (int)(length < 20 ? length : 20), text);
    if (length > 18 || !api_number(digits, end) || *end > n) *end = n;
    return true;
}

bool api_cut(const char *text, const char *name, size_t n, size_t *begin, size_t *end, struct problem *problem) {
    *begin = 0;
    *end = n;
    if (!text) return true;
    const char *colon = strchr(text, ':');
    if (!colon || !cut_end(text, (size_t)(colon - text), 0, n, begin) || !cut_end(colon + 1, strlen(colon + 1), n, n, end))
        return problem_set(problem, 400,
                           "%s must be first:end, two numbers from 0 (either may be left out), such as %s=0:%zu, not "
                           "'%.40s'", name, name, n, text);
    if (*begin < *end) return true;
    return problem_set(problem, 422,
                       "the cut %s=%.40s holds nothing of the %zu tokens; its end must be behind its beginning", name, text,
                       n);
}

static void write_tag(struct api_tag *tag, const char *id, const char *format, va_list arguments) {
    int length = snprintf(tag->text, sizeof tag->text, "\"%.64s", id);
    length += vsnprintf(tag->text + length, sizeof tag->text - (size_t)length - 1, format, arguments);
    if ((size_t)length < sizeof tag->text - 1)
        strcat(tag->text, "\"");
    else
        tag->text[0] = '\0'; /* an address that long has no tag */
}

struct api_tag api_tag(const char *id, const char *format, ...) {
    struct api_tag tag;
    va_list arguments;
    va_start(arguments, format);
    write_tag(&tag, id, format, arguments);
    va_end(arguments);
    return tag;
}

bool api_holds(struct app *app, struct http_request *request, const char *id, const struct api_tag *tag) {
    struct problem problem;
    struct analysis *analysis;
    const char *known = http_header(request, "If-None-Match");
    if (!tag->text[0] || (known && !strcmp(known, "*")) || !http_holds(request, tag->text)) return false; /* "*": whatever there is */
    if (analyses_find(app->analyses, id, &analysis, &problem)) {
        analysis_release(app->analyses, analysis);
        return http_immutable(request, tag->text);
    }
    problem_reply(request, &problem);
    return true;
}

bool api_immutable_tag(struct http_request *request, const struct api_tag *tag) {
    return tag->text[0] && http_immutable(request, tag->text);
}

bool api_immutable(struct http_request *request, const char *id, const char *format, ...) {
    struct api_tag tag;
    va_list arguments;
    va_start(arguments, format);
    write_tag(&tag, id, format, arguments);
    va_end(arguments);
    return api_immutable_tag(request, &tag);
}

void api_reply(struct http_request *request, int status, const char *type, struct json_text *text) {
    size_t size = 0;
    char *bytes = json_take(text, &size);
    struct problem problem;
    if (bytes) {
        http_reply(request, status, type, bytes, size);
    } else {
        problem_memory(&problem);
        problem_reply(request, &problem);
    }
}

bool api_head(struct app *app, struct http_request *request, struct activation_lease *lease, size_t *layer, size_t *head) {
    struct problem problem;
    struct patience patience = patience_of_request(request);
    *lease = (struct activation_lease){0};
    bool fine = api_index(http_capture(request, 1), "layer", layer, &problem) &&
                (!head || api_index(http_capture(request, 2), "head", head, &problem)) &&
                analyses_activations(app->analyses, http_capture(request, 0), http_query(request, "section"), *layer, head ? *head : 0, http_client(request),
                                     &patience, lease, &problem);
    if (!fine) problem_reply(request, &problem);
    return fine;
}

bool api_activations(struct app *app, struct http_request *request, const char *id, struct activation_lease *lease) {
    struct problem problem;
    struct patience patience = patience_of_request(request);
    *lease = (struct activation_lease){0};
    if (analyses_activations(app->analyses, id, http_query(request, "section"), 0, 0, http_client(request), &patience, lease, &problem)) return true;
    problem_reply(request, &problem);
    return false;
}

bool api_one_section(const struct activation_lease *lease, const char *what, struct problem *problem) {
    const struct model_info *info = model_describe(activations_model(lease->activations));
    return info->encoder_layers == 0 ||
           problem_set(problem, 422, "%s is not done for models with an encoder and a decoder; choose a model with one of them", what);
}

size_t api_heads(const struct activation_lease *lease, size_t *layer_heads) {
    const struct model_info *info = model_describe(activations_model(lease->activations));
    bool encoder = info->encoder_layers > 0 && lease->section == SECTION_ENCODER;
    *layer_heads = (size_t)(encoder ? info->encoder_heads : info->heads);
    return (size_t)(encoder ? info->encoder_layers : info->layers) * *layer_heads;
}

void api_put_real(struct json_text *out, const char *before, double value) {
    json_put(out, before);
    json_put_real(out, value);
}

void api_put_unsigned(struct json_text *out, const char *before, uint64_t value) {
    json_put(out, before);
    json_put_unsigned(out, value);
}
