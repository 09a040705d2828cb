/*
 * options.h: the command line and the environment, read once at start: flag > HEADSCOPE_<FLAG> > default.
 * Flags that may be given several times take a comma-separated list from the environment.
 */
#ifndef HEADSCOPE_SERVER_OPTIONS_H
#define HEADSCOPE_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/engine.h"
#include "server/log.h"
#include "server/model_stores.h"

enum command {
    COMMAND_SERVE,
    COMMAND_ANALYZE,
    COMMAND_TOKENIZE,
    COMMAND_MODELS,
    COMMAND_PROBE,
    COMMAND_CACHE,
    COMMAND_VERSION,
    COMMAND_COUNT,
};

enum output_format { OUTPUT_JSON, OUTPUT_NDJSON, OUTPUT_CSV };

/* All strings live as long as the options. Whatever a command does not take stays at its default. */
struct options {
    enum command command;

    /* models and the engine */
    const char *const *models;  /* --model, as given (ids or paths), in order */
    size_t model_count;         /* 0: the default model */
    const char *models_dir;     /* $HEADSCOPE_MODELS, else $XDG_DATA_HOME/headscope/models, else below ~/.local/share */
    bool stores;                /* --stores: other programs' models too */
    struct model_stores store_folders;
    uint64_t memory_max;        /* --memory-max, bytes; 0: no limit */
    int threads;                /* --threads; 0: one per core */
    enum precision precision;   /* --precision */

    /* the cache */
    const char *cache;          /* --cache, else $XDG_DATA_HOME/headscope/analyses.db, else below ~/.local/share */
    uint64_t cache_max;         /* --cache-max, bytes; 0: no limit */

    /* serve */
    const char *host;           /* --host */
    uint16_t port;              /* --port; 0: a free one */
    const char *const *allow_hosts; /* --allow-host */
    size_t allow_host_count;
    const char *token_file;     /* --token-file; NULL: none */
    const char *web_root;       /* --web-root; NULL: the embedded page */
    int queue;                  /* --queue: jobs that may wait */
    int connections;            /* --connections */
    bool open;                  /* --open */
    bool probes;                /* --probes: run probes when there is nothing else to do */

    /* analyze, tokenize */
    const char *text;           /* --text; NULL: not given. Exactly one of text, file and messages is set for these commands */
    const char *file;           /* --file, or "-" for standard input */
    const char *messages;       /* --messages: a file, or "-" */
    const char *pair;           /* --pair; NULL: none */
    const char *target;         /* --target; NULL: none */
    bool add_generation_prompt; /* --add-generation-prompt */
    enum output_format format;  /* --format */
    bool attention;             /* --attention L.H given; then out is set too */
    int attention_layer, attention_head;
    const char *out;            /* --out */

    bool json;                  /* models, version: --json */

    /* What stands after the flags: "delete", "ID" of `headscope cache delete ID`. */
    const char *const *operands;
    size_t operand_count;

    enum log_format log_format; /* --log-format */
    enum log_level log_level;   /* --log-level */

    void *memory;               /* owns everything above */
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,  /* --help was asked for: print options_help on stdout, exit 0 */
    OPTIONS_USAGE, /* `error` says what is wrong and what is right: exit 2 */
    OPTIONS_NO_MEMORY,
};

/* argv[1] names the command. On OPTIONS_OK the caller frees with options_free; on OPTIONS_HELP too, and options->command is
 * COMMAND_COUNT where no command was named. */
enum options_result options_parse(int argc, char *const *argv, struct options *options, char *error, size_t error_size);
void options_free(struct options *options);

/* The help of one command, or of all (COMMAND_COUNT). */
void options_help(FILE *out, enum command command);
const char *options_command_name(enum command command);

/* "2GiB", "512MiB", "64k", "1000": bytes. K, M, G, T count in 1024, KB, MB, GB, TB in 1000. False if it is no size. */
bool options_size(const char *text, uint64_t *bytes);

#endif
