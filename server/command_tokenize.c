/* command_tokenize.c: `headscope tokenize`: the answer of POST /tokenize, one line. */
#include <stdio.h>
#include <stdlib.h>

#include "server/command_input.h"
#include "server/commands.h"
#include "server/json_lines.h"
#include "server/prepare.h"

int command_tokenize(const struct options *options, struct log *log) {
    struct analysis_request request;
    struct prepared prepared;
    struct problem problem;
    struct command_models made = {0};
    struct json_text out = {0};
    if (!command_read_text(options, &request, &problem)) return command_fail(&problem);
    bool fine = command_models_create(options, log, &made, &problem) &&
                prepare_tokens(made.models, &request, &prepared, &problem);
    if (fine) {
        json_tokenized(&out, &prepared, &request);
        json_put(&out, "\n");
        prepare_clear(&prepared);
        if (out.failed) fine = problem_memory(&problem);
        else fwrite(out.bytes, 1, out.size, stdout);
    }
    json_free(&out);
    command_models_destroy(&made);
    json_request_clear(&request);
    return fine ? EXIT_SUCCESS : command_fail(&problem);
}
