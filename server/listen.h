/*
 * listen.h: the listening socket, and words for why there is none.
 */
#ifndef HEADSCOPE_SERVER_LISTEN_H
#define HEADSCOPE_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listening {
    int fd;
    uint16_t port;      /* the one that was taken, when 0 was asked for */
    char address[64];   /* as numbers: "127.0.0.1", "::1" */
    bool six, loopback; /* loopback: only this machine reaches it */
};

/* `host`: an address or a name (its first address counts). With loopback_only nothing else is bound. */
bool listen_open(const char *host, uint16_t port, bool loopback_only, struct listening *listening, char *error,
                 size_t error_size);

/* The address under which others reach a socket bound to 0.0.0.0 or ::; any other as it is. In brackets for URLs where it is an
 * IPv6 one. */
void listen_public_name(const struct listening *listening, char *name, size_t size);

#endif
