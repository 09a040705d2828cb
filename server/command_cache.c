/* command_cache.c: `headscope cache list|stats|delete ID|clear|check`. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db/cache.h"
#include "server/commands.h"
#include "server/options.h"

#define PAGE 100

struct call {
    struct cache *cache;
    const char *id;
    char error[512];
};

/* A line each; what would move the cursor or break the line becomes a space. */
static void print_entry(const struct cache_entry *entry) {
    char when[32];
    time_t seconds = (time_t)(entry->created / 1000);
    struct tm local;
    localtime_r(&seconds, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    printf("%s  %s  %s  %" PRIu32 " tokens  ", entry->id, when, entry->model, entry->n_tokens);
    for (const char *c = entry->excerpt; *c; c++) putchar(iscntrl((unsigned char)*c) ? ' ' : *c);
    putchar('\n');
}

static enum cache_status cache_command_list(struct call *call) {
    char cursor[96] = "";
    do {
        struct cache_entry *entries;
        char next[96];
        size_t count;
        enum cache_status status = cache_list(call->cache, PAGE, cursor, &entries, &count, next, call->error,
                                              sizeof call->error);
        if (status != CACHE_OK) return status;
        for (size_t i = 0; i < count; i++) {
            print_entry(&entries[i]);
            cache_entry_clear(&entries[i]);
        }
        free(entries);
        memcpy(cursor, next, sizeof cursor);
    } while (cursor[0]);
    return CACHE_OK;
}

static enum cache_status cache_command_stats(struct call *call) {
    struct cache_stats stats;
    enum cache_status status = cache_get_stats(call->cache, &stats, call->error, sizeof call->error);
    if (status != CACHE_OK) return status;
    printf("analyses    %" PRIu64 "\nbytes       %" PRIu64 "\nbytes kept  %s", stats.entries, stats.bytes,
           stats.max_bytes ? "at most " : "without limit\n");
    if (stats.max_bytes) printf("%" PRIu64 "\n", stats.max_bytes);
    printf("file bytes  %" PRIu64 "\n", stats.file_bytes);
    return CACHE_OK;
}

static enum cache_status cache_command_delete(struct call *call) {
    enum cache_status status = cache_delete(call->cache, call->id, call->error, sizeof call->error);
    if (status == CACHE_MISS)
        snprintf(call->error, sizeof call->error, "there is no analysis %.64s; headscope cache list shows them", call->id);
    return status;
}

static enum cache_status cache_command_clear(struct call *call) {
    return cache_clear(call->cache, call->error, sizeof call->error);
}

static enum cache_status cache_command_check(struct call *call) {
    enum cache_status status = cache_check(call->cache, call->error, sizeof call->error);
    if (status == CACHE_OK) printf("sound\n");
    return status;
}

static const struct cache_command {
    const char *name;
    enum cache_status (*run)(struct call *call);
    size_t operands;
} cache_commands[] = {
    {"list", cache_command_list, 0},     {"stats", cache_command_stats, 0}, {"delete", cache_command_delete, 1},
    {"clear", cache_command_clear, 0},   {"check", cache_command_check, 0},
};

int command_cache(const struct options *options, struct log *log) {
    (void)log;
    const struct cache_command *command = cache_commands, *end = cache_commands + sizeof cache_commands / sizeof *cache_commands;
    const char *name = options->operand_count ? options->operands[0] : "";
    while (command < end && strcmp(command->name, name) != 0) command++;
    if (command == end || options->operand_count != 1 + command->operands) {
        fprintf(stderr, "headscope: cache takes list, stats, delete ID, clear or check\n");
        return 2;
    }
    struct call call = {.id = command->operands ? options->operands[1] : NULL};
    struct cache_options cache_options = {.path = options->cache, .max_bytes = options->cache_max};
    enum cache_status status = cache_open(&cache_options, &call.cache, call.error, sizeof call.error);
    if (status == CACHE_OK) {
        status = command->run(&call);
        cache_close(call.cache);
    }
    if (status == CACHE_OK) return EXIT_SUCCESS;
    fprintf(stderr, "headscope: %s\n", call.error);
    return EXIT_FAILURE;
}
