/* check_options.c: the command line and the environment. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/memory_limit.h"
#include "server/options.h"

static struct options options;
static char error[512];

/* Takes the words of a command line. */
static enum options_result parse(const char *line) {
    static char text[1024];
    char *words[64] = {"headscope"};
    int count = 1;
    strcpy(text, line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) words[count++] = word;
    return options_parse(count, words, &options, error, sizeof error);
}

static void clear(void) {
    static const char *const names[] = {"HEADSCOPE_MODELS", "HEADSCOPE_MODEL", "HEADSCOPE_PORT",  "HEADSCOPE_OPEN", "HEADSCOPE_TEXT",
                                        "HEADSCOPE_ALLOW_HOST", "HEADSCOPE_CACHE_MAX", "HEADSCOPE_LOG_FORMAT", "HEADSCOPE_CACHE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
    setenv("HOME", "/home/h", 1);
    unsetenv("XDG_DATA_HOME");
}

START_TEST(has_defaults) {
    ck_assert_int_eq(parse("serve"), OPTIONS_OK);
    ck_assert_int_eq(options.command, COMMAND_SERVE);
    ck_assert_str_eq(options.host, "127.0.0.1");
    ck_assert_int_eq(options.port, 8642);
    ck_assert_int_eq(options.queue, 64);
    ck_assert_uint_eq(options.cache_max, UINT64_C(2) << 30);
    ck_assert_uint_eq(options.memory_max, memory_limit_default());
    ck_assert_uint_eq(options.model_count, 0);
    ck_assert_ptr_null(options.token_file);
    ck_assert_str_eq(options.models_dir, "/home/h/.local/share/headscope/models");
    ck_assert_str_eq(options.cache, "/home/h/.local/share/headscope/analyses.db");
    ck_assert_int_eq(options.log_format, LOG_TEXT);
    ck_assert_int_eq(options.log_level, LEVEL_INFO);
    options_free(&options);
    setenv("XDG_DATA_HOME", "/data", 1);
    setenv("HEADSCOPE_MODELS", "/models", 1);
    ck_assert_int_eq(parse("models"), OPTIONS_OK);
    ck_assert_str_eq(options.models_dir, "/models");
    ck_assert_str_eq(options.cache, "/data/headscope/analyses.db");
    options_free(&options);
    setenv("XDG_DATA_HOME", "relative", 1); /* the specification: ignored */
    ck_assert_int_eq(parse("models"), OPTIONS_OK);
    ck_assert_str_eq(options.cache, "/home/h/.local/share/headscope/analyses.db");
    options_free(&options);
}
END_TEST

START_TEST(reads_every_flag) {
    ck_assert_int_eq(parse("serve --host ::1 --port=0 --model a --model=/b/c.gguf --cache f.db --cache-max 3GiB --memory-max 500MB --threads 2 "
                           "--queue 5 --connections 9 --token-file t --allow-host x --allow-host y:443 --web-root w --open --log-format jsonl "
                           "--log-level debug"), OPTIONS_OK);
    ck_assert_str_eq(options.host, "::1");
    ck_assert_int_eq(options.port, 0);
    ck_assert_uint_eq(options.model_count, 2);
    ck_assert_str_eq(options.models[1], "/b/c.gguf");
    ck_assert_str_eq(options.cache, "f.db");
    ck_assert_uint_eq(options.cache_max, UINT64_C(3) << 30);
    ck_assert_uint_eq(options.memory_max, 500000000);
    ck_assert_int_eq(options.threads, 2);
    ck_assert_int_eq(options.queue, 5);
    ck_assert_int_eq(options.connections, 9);
    ck_assert_str_eq(options.token_file, "t");
    ck_assert_uint_eq(options.allow_host_count, 2);
    ck_assert_str_eq(options.allow_hosts[0], "x");
    ck_assert_str_eq(options.web_root, "w");
    ck_assert(options.open);
    ck_assert_int_eq(options.log_format, LOG_JSONL);
    ck_assert_int_eq(options.log_level, LEVEL_DEBUG);
    options_free(&options);
    ck_assert_int_eq(parse("analyze --text hi --format csv --attention 5.1 --out f.npy"), OPTIONS_OK);
    ck_assert_str_eq(options.text, "hi");
    ck_assert_int_eq(options.format, OUTPUT_CSV);
    ck_assert(options.attention && options.attention_layer == 5 && options.attention_head == 1);
    options_free(&options);
    ck_assert_int_eq(parse("tokenize -"), OPTIONS_OK);
    ck_assert_str_eq(options.file, "-");
    options_free(&options);
    ck_assert_int_eq(parse("tokenize --text="), OPTIONS_OK); /* an empty text is a text */
    ck_assert_str_eq(options.text, "");
    options_free(&options);
    ck_assert_int_eq(parse("tokenize --text --port"), OPTIONS_OK); /* a value may look like a flag */
    ck_assert_str_eq(options.text, "--port");
    options_free(&options);
    ck_assert_int_eq(parse("cache delete abc"), OPTIONS_OK);
    ck_assert_uint_eq(options.operand_count, 2);
    ck_assert_str_eq(options.operands[1], "abc");
    options_free(&options);
    ck_assert_int_eq(parse("--version"), OPTIONS_OK);
    ck_assert_int_eq(options.command, COMMAND_VERSION);
    options_free(&options);
}
END_TEST

START_TEST(a_flag_wins_over_the_environment) {
    setenv("HEADSCOPE_PORT", "7000", 1);
    setenv("HEADSCOPE_OPEN", "yes", 1);
    setenv("HEADSCOPE_MODEL", "a,b", 1);
    setenv("HEADSCOPE_CACHE_MAX", "1k", 1);
    setenv("HEADSCOPE_LOG_FORMAT", "", 1); /* empty is unset */
    ck_assert_int_eq(parse("serve"), OPTIONS_OK);
    ck_assert_int_eq(options.port, 7000);
    ck_assert(options.open);
    ck_assert_uint_eq(options.model_count, 2);
    ck_assert_str_eq(options.models[1], "b");
    ck_assert_uint_eq(options.cache_max, 1024);
    options_free(&options);
    ck_assert_int_eq(parse("serve --port 7001 --model c --open=no"), OPTIONS_OK);
    ck_assert_int_eq(options.port, 7001);
    ck_assert_uint_eq(options.model_count, 1);
    ck_assert(!options.open);
    options_free(&options);
    setenv("HEADSCOPE_TEXT", "from afar", 1);
    ck_assert_int_eq(parse("tokenize"), OPTIONS_OK);
    ck_assert_str_eq(options.text, "from afar");
    options_free(&options);
    ck_assert_int_eq(parse("tokenize --file f"), OPTIONS_OK);
    ck_assert_ptr_null(options.text);
    options_free(&options);
    setenv("HEADSCOPE_PORT", "none", 1);
    ck_assert_int_eq(parse("serve"), OPTIONS_USAGE);
    ck_assert_msg(strstr(error, "HEADSCOPE_PORT takes"), "%s", error);
    ck_assert_int_eq(parse("models"), OPTIONS_OK); /* which does not take it */
    options_free(&options);
}
END_TEST

START_TEST(refuses_wrong_usage) {
    static const char *const wrong[] = {
        "", "frobnicate", "serve --prot 1", "serve --port", "serve --port 65536", "serve --port -1", "serve --port 1x", "serve --port 1 --port 2",
        "serve --queue 0", "serve --cache-max 2XB", "serve --cache-max -1", "serve --cache-max 99999999999999999999", "serve --log-format xml",
        "serve --open=maybe", "serve extra", "serve -p 1", "serve --text hi", "serve --host=", "serve --model=", "analyze", "analyze --text a --file b",
        "analyze --text a -", "analyze --text a b", "analyze --text a --attention 1", "analyze --text a --attention 1.2", "analyze --text a --out f",
        "analyze --text a --attention a.b --out f", "analyze --text a --messages m", "analyze --messages m --pair p", "tokenize --text a --add-generation-prompt", "analyze --text a --attention 1.-2 --out f", "analyze --text a --format xml", "cache",
        "cache delete a b", "models --port 1", "analyze --file a -", "serve --=1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error[0] = '\0';
        ck_assert_msg(parse(wrong[i]) == OPTIONS_USAGE, "\"%s\" was taken", wrong[i]);
        ck_assert_msg(error[0], "\"%s\" without a word", wrong[i]);
    }
}
END_TEST

START_TEST(reads_sizes) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"0", 0}, {"1000", 1000}, {"1k", 1024}, {"1K", 1024}, {"1KB", 1000}, {"1KiB", 1024}, {"2GiB", UINT64_C(2) << 30}, {"3 MB", 3000000},
                 {"4T", UINT64_C(4) << 40}, {"5B", 5}, {"16777215T", UINT64_C(16777215) << 40}};
    static const char *const wrong[] = {"", "x", "-1", "+1", " 1", "1.5G", "1GG", "1iB", "1 KiB ", "16777216T", "1KBB"};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        ck_assert_msg(options_size(right[i].text, &bytes) && bytes == right[i].bytes, "%s", right[i].text);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) ck_assert_msg(!options_size(wrong[i], &bytes), "%s", wrong[i]);
}
END_TEST

START_TEST(helps) {
    char *text = NULL;
    size_t size = 0;
    ck_assert_int_eq(parse("--help"), OPTIONS_HELP);
    ck_assert_int_eq(options.command, COMMAND_COUNT);
    options_free(&options);
    ck_assert_int_eq(parse("serve --port 1 --help"), OPTIONS_HELP);
    ck_assert_int_eq(options.command, COMMAND_SERVE);
    options_free(&options);
    FILE *out = open_memstream(&text, &size);
    for (int i = 0; i <= COMMAND_COUNT; i++) options_help(out, (enum command)i);
    fclose(out);
    static const char *const flags[] = {"--host", "--port", "--model", "--cache ", "--cache-max", "--memory-max", "--threads", "--queue", "--token-file",
                                        "--allow-host", "--web-root", "--open", "--log-format", "--text", "--file", "--pair", "--target", "--messages", "--add-generation-prompt", "--format", "--attention", "--out",
                                        "--json", "list|stats|delete ID|clear|check", "HEADSCOPE_"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) ck_assert_msg(strstr(text, flags[i]), "%s is not explained", flags[i]);
    free(text);
}
END_TEST

static Suite *suite(void) {
    Suite *made = suite_create("options");
    TCase *all = tcase_create("all");
    suite_add_tcase(made, all);
    tcase_add_checked_fixture(all, clear, NULL);
    tcase_add_test(all, has_defaults);
    tcase_add_test(all, reads_every_flag);
    tcase_add_test(all, a_flag_wins_over_the_environment);
    tcase_add_test(all, refuses_wrong_usage);
    tcase_add_test(all, reads_sizes);
    tcase_add_test(all, helps);
    return made;
}

#include "check_main.h"
