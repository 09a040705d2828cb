/* options.c: one table of flags drives parsing, the environment and the help. */
#include "server/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "server/memory_limit.h"

#define FOR(command) (1u << (command))
#define EVERY ((1u << COMMAND_COUNT) - 1)
#define ENGINE (FOR(COMMAND_SERVE) | FOR(COMMAND_ANALYZE) | FOR(COMMAND_PROBE))
#define MODEL (ENGINE | FOR(COMMAND_TOKENIZE))
#define INPUT (FOR(COMMAND_ANALYZE) | FOR(COMMAND_TOKENIZE))
#define CACHE (ENGINE | FOR(COMMAND_CACHE) | FOR(COMMAND_MODELS))

enum kind { KIND_SWITCH, KIND_ONOFF, KIND_TEXT, KIND_LIST, KIND_INT, KIND_SIZE, KIND_CHOICE, KIND_HEAD };

struct flag {
    const char *name, *value; /* "port", "N" */
    enum kind kind;
    unsigned commands;
    size_t offset;  /* of the field in struct options */
    int low, high;  /* KIND_INT: the range */
    const char *choices; /* KIND_CHOICE: "text|jsonl", in the order of the enum */
    const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct flag flags[] = {
    {"model", "NAME_OR_PATH", KIND_LIST, MODEL, AT(models), 0, 0, NULL,
     "a model's id, a .gguf or a folder; may be given again (default: smollm2-135m-instruct)"},
    {"stores", "on|off", KIND_ONOFF, MODEL | FOR(COMMAND_MODELS), AT(stores), 0, 0, NULL,
     "find models in the caches of Hugging Face, llama.cpp and Ollama too (default: on)"},
    {"text", "TEXT", KIND_TEXT, INPUT, AT(text), 0, 0, NULL, "the text itself"},
    {"file", "FILE", KIND_TEXT, INPUT, AT(file), 0, 0, NULL, "read the text from FILE; - is standard input"},
    {"pair", "TEXT", KIND_TEXT, INPUT, AT(pair), 0, 0, NULL, "a second text, for encoders that read pairs"},
    {"target", "TEXT", KIND_TEXT, INPUT, AT(target), 0, 0, NULL, "what the decoder reads, of models that have an encoder too"},
    {"messages", "FILE", KIND_TEXT, INPUT, AT(messages), 0, 0, NULL,
     "instead of a text: a chat, [{\"role\": \"user\", \"content\": \"...\"}...] in JSON; - is standard input"},
    {"add-generation-prompt", NULL, KIND_SWITCH, INPUT, AT(add_generation_prompt), 0, 0, NULL,
     "end the chat with the start of an answer"},
    {"format", "json|ndjson|csv", KIND_CHOICE, FOR(COMMAND_ANALYZE), AT(format), 0, 0, "json|ndjson|csv",
     "the document, the line stream as it comes, or one row a head (default: json)"},
    {"attention", "L.H", KIND_HEAD, FOR(COMMAND_ANALYZE), AT(attention), 0, 0, NULL,
     "write the weights of head H of layer L to the file that --out names"},
    {"out", "FILE.npy", KIND_TEXT, FOR(COMMAND_ANALYZE), AT(out), 0, 0, NULL, "where --attention writes"},
    {"host", "ADDRESS", KIND_TEXT, FOR(COMMAND_SERVE), AT(host), 0, 0, NULL,
     "the address to listen on (default: 127.0.0.1); any but a loopback one needs --token-file"},
    {"port", "N", KIND_INT, FOR(COMMAND_SERVE), AT(port), 0, 65535, NULL, "0 takes a free one (default: 8642)"},
    {"cache", "FILE", KIND_TEXT, CACHE, AT(cache), 0, 0, NULL,
     "the database of results (default: $XDG_DATA_HOME/headscope/analyses.db)"},
    {"cache-max", "SIZE", KIND_SIZE, FOR(COMMAND_SERVE), AT(cache_max), 0, 0, NULL,
     "drop the results longest unused beyond this; 0: never (default: 2GiB)"},
    {"memory-max", "SIZE", KIND_SIZE, ENGINE, AT(memory_max), 0, 0, NULL,
     "the most memory that analyses may take; 0: no limit (default: half of the machine's)"},
    {"threads", "N", KIND_INT, ENGINE, AT(threads), 0, 1024, NULL, "threads that compute (default: 0, one a core)"},
    {"precision", "float32|bf16", KIND_CHOICE, ENGINE, AT(precision), 0, 0, "float32|bf16",
     "of products in linear layers; bf16 is faster and less exact, and needs a processor with AVX512_BF16 (default: float32)"},
    {"queue", "N", KIND_INT, FOR(COMMAND_SERVE), AT(queue), 1, 100000, NULL,
     "analyses that may wait; more are answered 503 (default: 64)"},
    {"connections", "N", KIND_INT, FOR(COMMAND_SERVE), AT(connections), 4, 10000, NULL,
     "connections at a time (default: 256)"},
    {"token-file", "FILE", KIND_TEXT, FOR(COMMAND_SERVE), AT(token_file), 0, 0, NULL,
     "ask every client for the token in FILE (16 characters or more, mode 0600)"},
    {"allow-host", "NAME", KIND_LIST, FOR(COMMAND_SERVE), AT(allow_hosts), 0, 0, NULL,
     "a further name under which browsers may reach the server; may be given again"},
    {"web-root", "DIR", KIND_TEXT, FOR(COMMAND_SERVE), AT(web_root), 0, 0, NULL,
     "serve the page from DIR instead of the built-in one (for work on the page)"},
    {"probes", "on|off", KIND_ONOFF, FOR(COMMAND_SERVE), AT(probes), 0, 0, NULL,
     "find out what each head of a used model is, when there is nothing else to do (default: on)"},
    {"open", NULL, KIND_SWITCH, FOR(COMMAND_SERVE), AT(open), 0, 0, NULL, "open the page in the browser"},
    {"json", NULL, KIND_SWITCH, FOR(COMMAND_MODELS) | FOR(COMMAND_PROBE) | FOR(COMMAND_VERSION), AT(json), 0, 0, NULL, "print JSON"},
    {"log-format", "text|jsonl", KIND_CHOICE, EVERY, AT(log_format), 0, 0, "text|jsonl",
     "how messages look on stderr (default: text)"},
    {"log-level", "error|warning|info|debug", KIND_CHOICE, EVERY, AT(log_level), 0, 0, "error|warning|info|debug",
     "how much is said (default: info)"},
};
#define FLAG_COUNT (sizeof flags / sizeof flags[0])

static const struct command_text {
    const char *name, *operands, *summary;
    size_t operand_min, operand_max;
} commands[COMMAND_COUNT] = {
    [COMMAND_SERVE] = {"serve", "", "serve the page and the HTTP interface", 0, 0},
    [COMMAND_ANALYZE] = {"analyze", "[-]", "run a text through a model and print every head's statistics", 0, 1},
    [COMMAND_TOKENIZE] = {"tokenize", "[-]", "print the tokens of a text", 0, 1},
    [COMMAND_MODELS] = {"models", "", "list every model found, and where", 0, 0},
    [COMMAND_PROBE] = {"probe", "", "run the probes that are missing", 0, 0},
    [COMMAND_CACHE] = {"cache", "list|stats|delete ID|clear|check", "look after the database of results", 1, 2},
    [COMMAND_VERSION] = {"version", "", "print the version", 0, 0},
};

/* ---- memory: everything of one options struct hangs on one list ------------------------------------------------ */

struct piece {
    struct piece *next;
    char bytes[];
};

static char *keep(struct options *options, size_t size) {
    struct piece *piece = calloc(1, sizeof *piece + size);
    if (!piece) return NULL;
    piece->next = options->memory;
    options->memory = piece;
    return piece->bytes;
}

static char *keep_text(struct options *options, const char *text, size_t length) {
    char *copy = keep(options, length + 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

void options_free(struct options *options) {
    for (struct piece *piece = options->memory, *next; piece; piece = next) {
        next = piece->next;
        free(piece);
    }
    memset(options, 0, sizeof *options);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

bool options_size(const char *text, uint64_t *bytes) {
    static const char units[] = "KMGT";
    if (!isdigit((unsigned char)*text)) return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno) return false;
    if (*end == ' ') end++;
    uint64_t unit = 1;
    const char *letter = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (letter) {
        bool decimal = toupper((unsigned char)end[1]) == 'B' && !end[2];
        for (long i = letter - units; i >= 0; i--) unit *= decimal ? 1000 : 1024;
        end++;
        if (*end == 'i') end++;
    }
    if (toupper((unsigned char)*end) == 'B') end++;
    if (*end || value > UINT64_MAX / unit) return false;
    *bytes = value * unit;
    return true;
}

static bool read_int(const char *text, int low, int high, int *value) {
    if (!isdigit((unsigned char)*text)) return false;
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || *end || number < low || number > high) return false;
    *value = (int)number;
    return true;
}

static bool read_choice(const char *choices, const char *text, int *value) {
    size_t length = strlen(text);
    int index = 0;
    for (const char *at = choices; length && *at; index++) {
        size_t span = strcspn(at, "|");
        if (span == length && !memcmp(at, text, span)) {
            *value = index;
            return true;
        }
        at += span + (at[span] == '|');
    }
    return false;
}

static bool read_switch(const char *text, bool *value) {
    int index;
    if (!read_choice("0|1|false|true|no|yes|off|on", text, &index)) return false;
    *value = index & 1;
    return true;
}

static bool read_head(const char *text, struct options *options) {
    const char *dot = strchr(text, '.');
    char layer[16];
    if (!dot || dot - text >= (long)sizeof layer) return false;
    memcpy(layer, text, (size_t)(dot - text));
    layer[dot - text] = '\0';
    return options->attention = read_int(layer, 0, 1000000, &options->attention_layer) &&
                                read_int(dot + 1, 0, 1000000, &options->attention_head);
}

struct parser {
    struct options *options;
    char *error;
    size_t error_size;
    bool given[FLAG_COUNT]; /* on the command line: the environment does not count */
};

static enum options_result refuse(struct parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum options_result refuse(struct parser *parser, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parser->error, parser->error_size, format, arguments);
    va_end(arguments);
    return OPTIONS_USAGE;
}

/* The two lists are each a pointer and, right behind it in struct options, its count. */
static enum options_result add_to_list(struct parser *parser, const struct flag *flag, const char *value) {
    bool model = flag->offset == AT(models);
    const char *const **list = model ? &parser->options->models : &parser->options->allow_hosts;
    size_t *count = model ? &parser->options->model_count : &parser->options->allow_host_count;
    const char **longer = (const char **)(void *)keep(parser->options, (*count + 1) * sizeof *longer);
    if (!longer) return OPTIONS_NO_MEMORY;
    if (*count) memcpy(longer, *list, *count * sizeof *longer);
    longer[(*count)++] = value;
    *list = longer;
    return OPTIONS_OK;
}

static enum options_result set_number(struct parser *parser, const struct flag *flag, const char *value,
                                      const char *label) {
    int number;
    if (!read_int(value, flag->low, flag->high, &number))
        return refuse(parser, "%s takes a whole number from %d to %d, not \"%.80s\"", label, flag->low, flag->high, value);
    if (flag->offset == AT(port))
        parser->options->port = (uint16_t)number;
    else
        *(int *)((char *)parser->options + flag->offset) = number;
    return OPTIONS_OK;
}

/* `label` is what the flag is called in messages: "--port", "HEADSCOPE_PORT". `value` must live as long as the options. */
static enum options_result set(struct parser *parser, const struct flag *flag, const char *value, const char *label) {
    struct options *options = parser->options;
    char *field = (char *)options + flag->offset;
    int choice;
    switch (flag->kind) {
    case KIND_SWITCH:
    case KIND_ONOFF: /* a switch that is on by itself: it takes a value */
        if (!read_switch(value, (bool *)field))
            return refuse(parser, "%s is on or off (1, true, yes; 0, false, no), not \"%.80s\"", label, value);
        return OPTIONS_OK;
    case KIND_TEXT:
        if (!*value && flag->offset != AT(text)) return refuse(parser, "%s is empty", label);
        *(const char **)field = value;
        return OPTIONS_OK;
    case KIND_LIST:
        if (!*value) return refuse(parser, "%s is empty", label);
        return add_to_list(parser, flag, value);
    case KIND_INT:
        return set_number(parser, flag, value, label);
    case KIND_SIZE:
        if (!options_size(value, (uint64_t *)field))
            return refuse(parser, "%s takes a size such as 2GiB, 512MiB or a number of bytes, not \"%.80s\"", label, value);
        return OPTIONS_OK;
    case KIND_CHOICE:
        if (!read_choice(flag->choices, value, &choice))
            return refuse(parser, "%s is one of %s, not \"%.80s\"", label, flag->choices, value);
        memcpy(field, &choice, sizeof choice); /* enums are as wide as int here, checked below */
        return OPTIONS_OK;
    case KIND_HEAD:
        if (!read_head(value, options))
            return refuse(parser, "%s names a head as LAYER.HEAD, such as 5.1, not \"%.80s\"", label, value);
        return OPTIONS_OK;
    }
    return OPTIONS_OK;
}

_Static_assert(sizeof(enum output_format) == sizeof(int) && sizeof(enum log_format) == sizeof(int) &&
                   sizeof(enum log_level) == sizeof(int), "choices are written as int");

/* ---- the environment ------------------------------------------------------------------------------------------ */

static enum options_result from_environment(struct parser *parser, const struct flag *flag) {
    char name[64] = "HEADSCOPE_";
    size_t length = strlen(name);
    for (const char *at = flag->name; *at && length + 1 < sizeof name; at++)
        name[length++] = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    const char *value = getenv(name);
    if (!value || !*value) return OPTIONS_OK;
    /* A copy: the environment is not ours to keep pointers into. */
    for (const char *at = value;;) {
        size_t span = flag->kind == KIND_LIST ? strcspn(at, ",") : strlen(at);
        char *copy = keep_text(parser->options, at, span);
        if (!copy) return OPTIONS_NO_MEMORY;
        if (span || flag->kind != KIND_LIST) {
            enum options_result result = set(parser, flag, copy, name);
            if (result != OPTIONS_OK) return result;
        }
        if (!at[span]) return OPTIONS_OK;
        at += span + 1;
    }
}

/* The first variable that holds an absolute path, with what belongs behind it. NULL: none does. */
static const char *store_path(struct options *options, const char *const (*places)[2], size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *base = getenv(places[i][0]);
        if (!base || *base != '/') continue;
        size_t size = strlen(base) + strlen(places[i][1]) + 1;
        char *path = keep(options, size);
        if (path) snprintf(path, size, "%s%s", base, places[i][1]);
        return path;
    }
    return NULL;
}

/* Where other programs look for their models, by their own documentation. */
static void find_stores(struct options *options) {
    static const char *const hub[][2] = {{"HF_HUB_CACHE", ""}, {"HF_HOME", "/hub"}, {"XDG_CACHE_HOME", "/huggingface/hub"},
                                         {"HOME", "/.cache/huggingface/hub"}};
    static const char *const llama[][2] = {{"LLAMA_CACHE", ""}, {"XDG_CACHE_HOME", "/llama.cpp"}, {"HOME", "/.cache/llama.cpp"}};
    static const char *const ollama[][2] = {{"OLLAMA_MODELS", ""}, {"HOME", "/.ollama/models"}};
    struct model_stores *stores = &options->store_folders;
    stores->hub = store_path(options, hub, sizeof hub / sizeof hub[0]);
    stores->llama_cache = store_path(options, llama, sizeof llama / sizeof llama[0]);
    stores->ollama[0] = store_path(options, ollama, sizeof ollama / sizeof ollama[0]);
    if (!getenv("OLLAMA_MODELS")) stores->ollama[1] = "/usr/share/ollama/.ollama/models"; /* its service on Linux */
}

/* $XDG_DATA_HOME/headscope/<leaf>, else ~/.local/share/headscope/<leaf>, else (no home) below the current folder. */
static const char *data_path(struct options *options, const char *leaf) {
    const char *base = getenv("XDG_DATA_HOME"), *home = getenv("HOME"), *middle = "";
    if (!base || *base != '/') { /* the XDG specification: relative paths are ignored */
        base = home && *home ? home : ".";
        middle = "/.local/share";
    }
    size_t size = strlen(base) + strlen(middle) + strlen("/headscope/") + strlen(leaf) + 1;
    char *path = keep(options, size);
    if (path) snprintf(path, size, "%s%s/headscope/%s", base, middle, leaf);
    return path;
}

static enum options_result fill_defaults(struct options *options) {
    const char *models = getenv("HEADSCOPE_MODELS");
    options->models_dir = models && *models ? keep_text(options, models, strlen(models)) : data_path(options, "models");
    options->cache = data_path(options, "analyses.db");
    options->stores = true;
    options->probes = true;
    find_stores(options);
    options->cache_max = UINT64_C(2) << 30;
    options->memory_max = memory_limit_default();
    options->host = "127.0.0.1";
    options->port = 8642;
    options->queue = 64;
    options->connections = 256;
    options->format = OUTPUT_JSON;
    options->log_format = LOG_TEXT;
    options->log_level = LEVEL_INFO;
    return options->models_dir && options->cache ? OPTIONS_OK : OPTIONS_NO_MEMORY;
}

/* ---- the command line ----------------------------------------------------------------------------------------- */

static const struct flag *find_flag(const char *name, size_t length, enum command command, bool *elsewhere) {
    *elsewhere = false;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (strlen(flags[i].name) != length || memcmp(flags[i].name, name, length)) continue;
        if (flags[i].commands & FOR(command)) return &flags[i];
        *elsewhere = true;
    }
    return NULL;
}

/* argv[*at] starts with "--". Takes its value from behind "=" or from the next argument. */
static enum options_result take_flag(struct parser *parser, int argc, char *const *argv, int *at) {
    enum command command = parser->options->command;
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    bool elsewhere;
    const struct flag *flag = find_flag(name, length, command, &elsewhere);
    if (!flag)
        return refuse(parser, "%s --%.*s; \"headscope %s --help\" lists its flags",
                      elsewhere ? "this command does not take" : "there is no flag", (int)(length > 80 ? 80 : length),
                      name, commands[command].name);
    const char *value = equals ? equals + 1 : NULL;
    if (flag->kind == KIND_SWITCH) {
        if (!value) value = "1";
    } else if (!value) {
        if (*at + 1 >= argc) return refuse(parser, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
        value = argv[++*at];
    }
    size_t index = (size_t)(flag - flags);
    if (parser->given[index] && flag->kind != KIND_LIST) return refuse(parser, "--%s is given twice", flag->name);
    parser->given[index] = true;
    char *copy = keep_text(parser->options, value, strlen(value)), label[64];
    snprintf(label, sizeof label, "--%s", flag->name);
    return copy ? set(parser, flag, copy, label) : OPTIONS_NO_MEMORY;
}

/* What must hold between flags, once all are read. */
static enum options_result check_whole(struct parser *parser) {
    struct options *options = parser->options;
    const struct command_text *text = &commands[options->command];
    bool input = FOR(options->command) & INPUT;
    if (input && options->operand_count == 1 && !strcmp(options->operands[0], "-")) {
        if (options->file) return refuse(parser, "--file and - both name an input; give one");
        options->file = "-";
        options->operand_count = 0;
    }
    if (input && options->operand_count) return refuse(parser, "a text goes behind --text, a file's name behind --file");
    if (input && (options->text != NULL) + (options->file != NULL) + (options->messages != NULL) != 1)
        return refuse(parser, "%s takes its text from one of --text TEXT, --file FILE, --messages FILE, or - for standard input", text->name);
    if (options->messages && options->pair) return refuse(parser, "--pair goes with a text, not with --messages");
    if (!options->messages && options->add_generation_prompt) return refuse(parser, "--add-generation-prompt goes with --messages");
    if (!options->attention != !options->out)
        return refuse(parser, "--attention L.H and --out FILE.npy go together");
    if (options->operand_count > text->operand_max)
        return refuse(parser, "\"%.80s\" is one argument too many for %s", options->operands[text->operand_max], text->name);
    if (options->operand_count < text->operand_min) return refuse(parser, "%s what? %s", text->name, text->operands);
    return OPTIONS_OK;
}

static enum options_result find_command(struct parser *parser, int argc, char *const *argv) {
    parser->options->command = COMMAND_COUNT;
    if (argc < 2) return refuse(parser, "no command given; \"headscope --help\" lists them");
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) return OPTIONS_HELP;
    if (!strcmp(name, "--version")) name = "version";
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name)) continue;
        parser->options->command = (enum command)i;
        return OPTIONS_OK;
    }
    return refuse(parser, "there is no command \"%.80s\"; \"headscope --help\" lists them", name);
}

static enum options_result parse_all(struct parser *parser, int argc, char *const *argv) {
    struct options *options = parser->options;
    enum options_result result = find_command(parser, argc, argv);
    if (result != OPTIONS_OK) return result;
    if ((result = fill_defaults(options)) != OPTIONS_OK) return result;
    const char **operands = (const char **)(void *)keep(options, (size_t)argc * sizeof *operands);
    if (!operands) return OPTIONS_NO_MEMORY;
    options->operands = operands;
    bool only_operands = false;
    for (int at = 2; at < argc; at++) {
        const char *argument = argv[at];
        if (!only_operands && (!strcmp(argument, "--help") || !strcmp(argument, "-h"))) return OPTIONS_HELP;
        if (!only_operands && !strcmp(argument, "--")) {
            only_operands = true;
        } else if (!only_operands && !strncmp(argument, "--", 2)) {
            if ((result = take_flag(parser, argc, argv, &at)) != OPTIONS_OK) return result;
        } else if (!only_operands && argument[0] == '-' && argument[1]) {
            return refuse(parser, "flags have two dashes: there is no \"%.80s\"", argument);
        } else {
            char *copy = keep_text(options, argument, strlen(argument));
            if (!copy) return OPTIONS_NO_MEMORY;
            operands[options->operand_count++] = copy;
        }
    }
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (parser->given[i] || !(flags[i].commands & FOR(options->command))) continue;
        /* An input on the command line replaces one from the environment. */
        bool input = flags[i].offset == AT(text) || flags[i].offset == AT(file) || flags[i].offset == AT(messages);
        if (input && (options->text || options->file || options->messages || options->operand_count)) continue;
        if ((result = from_environment(parser, &flags[i])) != OPTIONS_OK) return result;
    }
    return check_whole(parser);
}

enum options_result options_parse(int argc, char *const *argv, struct options *options, char *error, size_t error_size) {
    memset(options, 0, sizeof *options);
    if (error_size) *error = '\0';
    struct parser parser = {.options = options, .error = error, .error_size = error_size};
    enum options_result result = parse_all(&parser, argc, argv);
    if (result == OPTIONS_NO_MEMORY && error_size) snprintf(error, error_size, "out of memory");
    if (result != OPTIONS_OK && result != OPTIONS_HELP) options_free(options);
    return result;
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

const char *options_command_name(enum command command) {
    return command < COMMAND_COUNT ? commands[command].name : "";
}

static void help_all(FILE *out) {
    fprintf(out, "headscope shows what every attention head of a transformer does on a text.\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  headscope %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n\"headscope COMMAND --help\" lists the flags of one.\n");
}

void options_help(FILE *out, enum command command) {
    if (command >= COMMAND_COUNT) {
        help_all(out);
        return;
    }
    const struct command_text *text = &commands[command];
    fprintf(out, "headscope %s [flags]%s%s\n%s\n\n", text->name, *text->operands ? " " : "", text->operands, text->summary);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (!(flags[i].commands & FOR(command))) continue;
        char head[80];
        snprintf(head, sizeof head, "--%s%s%s", flags[i].name, flags[i].value ? " " : "",
                 flags[i].value ? flags[i].value : "");
        fprintf(out, "  %-28s %s\n", head, flags[i].help);
    }
    fprintf(out, "\nEvery flag can come from the environment: --%s is HEADSCOPE_%s; a flag wins.\n"
                 "Models lie in $HEADSCOPE_MODELS, else $XDG_DATA_HOME/headscope/models, else ~/.local/share/headscope/models, and where\n"
                 "Hugging Face (HF_HUB_CACHE, HF_HOME), llama.cpp (LLAMA_CACHE) and Ollama (OLLAMA_MODELS) keep theirs.\n",
            "log-format", "LOG_FORMAT");
}
