#include "raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int raw_connect(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

void raw_send(int fd, const void *bytes, size_t size) {
    for (const char *at = bytes; size;) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) return;
        at += n;
        size -= (size_t)n;
    }
}

void raw_say(int fd, const char *text) {
    raw_send(fd, text, strlen(text));
}

struct raw_answer raw_read(int fd, int wait_ms) {
    static char *buffer;
    static size_t room;
    struct raw_answer answer = {0};
    for (int64_t end = now_ms() + wait_ms;;) {
        if (answer.size + 65536 + 1 > room) {
            room = room ? room * 2 : 1 << 20;
            if (!(buffer = realloc(buffer, room))) abort();
        }
        int64_t left = end - now_ms();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&wait, 1, (int)left) <= 0) break;
        ssize_t n = recv(fd, buffer + answer.size, 65536, 0);
        if (n <= 0) {
            answer.closed = true;
            break;
        }
        answer.size += (size_t)n;
    }
    buffer[answer.size] = '\0';
    answer.bytes = buffer;
    sscanf(buffer, "HTTP/1.1 %d", &answer.status);
    for (const char *at = buffer; (at = strstr(at, "HTTP/1.1 ")); at += 9) answer.answers++;
    return answer;
}

struct raw_answer raw_ask(uint16_t port, const char *text, int wait_ms) {
    int fd = raw_connect(port);
    raw_say(fd, text);
    struct raw_answer answer = raw_read(fd, wait_ms);
    close(fd);
    return answer;
}

struct raw_answer raw_get(uint16_t port, const char *method, const char *target, const char *more_header) {
    char text[4096];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n%s\r\n", method, target,
             (unsigned)port, more_header ? more_header : "");
    return raw_ask(port, text, 5000);
}

bool raw_has(const struct raw_answer *answer, const char *text) {
    return strstr(answer->bytes, text);
}
