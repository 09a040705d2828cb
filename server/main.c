/* main.c: the command line's first word chooses the command; nothing else of the program exits. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/commands.h"
#include "server/options.h"

/* A line a command, in the order of enum command. */
static command_function *const command_table[COMMAND_COUNT] = {
    [COMMAND_SERVE] = command_serve,
    [COMMAND_ANALYZE] = command_analyze,
    [COMMAND_TOKENIZE] = command_tokenize,
    [COMMAND_MODELS] = command_models,
    [COMMAND_PROBE] = command_probe,
    [COMMAND_CACHE] = command_cache,
    [COMMAND_VERSION] = command_version,
};

/* An alarm is only set while the program stops: it was asked to end, and has had its time. */
static void give_up(int number) {
    (void)number;
    _exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
    struct options options;
    char error[512];
    switch (options_parse(argc, argv, &options, error, sizeof error)) {
    case OPTIONS_OK:
        break;
    case OPTIONS_HELP:
        options_help(stdout, options.command);
        options_free(&options);
        return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
    case OPTIONS_USAGE:
        fprintf(stderr, "headscope: %s\n", error);
        return 2;
    case OPTIONS_NO_MEMORY:
        fprintf(stderr, "headscope: out of memory\n");
        return EXIT_FAILURE;
    }
    signal(SIGALRM, give_up);
    signal(SIGPIPE, SIG_IGN); /* a reader that left is an error of a write, not a death */
    struct log *log = log_create(STDERR_FILENO, options.log_format, options.log_level);
    if (!log) fprintf(stderr, "headscope: out of memory; going on without a log\n");
    command_function *command = command_table[options.command];
    int status = EXIT_FAILURE;
    if (command)
        status = command(&options, log);
    else
        fprintf(stderr, "headscope: this build has no command %s\n", options_command_name(options.command));
    if (fflush(stdout)) {
        fprintf(stderr, "headscope: cannot write to standard output\n");
        if (status == EXIT_SUCCESS) status = EXIT_FAILURE;
    }
    log_destroy(log);
    options_free(&options);
    return status;
}
