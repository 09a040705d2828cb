/*
 * commands.h: one function a command of the command line (command_<name>.c). Each returns the exit status: 0, 1 failure
 * (said on stderr), 2 usage, 130 interrupted. Results go to stdout, everything else to stderr through the log.
 */
#ifndef HEADSCOPE_SERVER_COMMANDS_H
#define HEADSCOPE_SERVER_COMMANDS_H

struct options;
struct log;

typedef int command_function(const struct options *options, struct log *log);

command_function command_serve;
command_function command_analyze;
command_function command_tokenize;
command_function command_models;
command_function command_probe;
command_function command_cache;
command_function command_version;

#endif
