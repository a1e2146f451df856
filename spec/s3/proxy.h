/* proxy: between the node and the S3 server: passes requests on, one connection each, and may lose
 * an answer, or everything, when the spec says so. */
#pragma once
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct proxy {
    int fd, to; /* listening socket; port of the server */
    uint16_t port;
    pthread_t thread;
    char lost[64];     /* a request that begins so is passed on, its answer is not; .. */
    _Atomic bool dark; /* .. and from then on nothing is: the server was "killed" */
    _Atomic bool slow; /* instead: its answer waits until this is false */
    _Atomic int lost_count;
} proxy_t;

static int proxy_socket(uint16_t *port, int connect_to) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_port = htons((uint16_t)connect_to);
    if (connect_to && connect(fd, (struct sockaddr *)&a, sizeof a))
        abort();
    if (!connect_to && (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16) ||
                        getsockname(fd, (struct sockaddr *)&a, &len)))
        abort();
    *port = ntohs(a.sin_port);
    return fd;
}

static size_t proxy_request(int fd, char *room, size_t size) {
    size_t len = 0;
    for (;;) {
        room[len] = 0;
        const char *stop = strstr(room, "\r\n\r\n"), *at = strcasestr(room, "\r\ncontent-length:");
        size_t body = at ? strtoul(at + 17, NULL, 10) : 0;
        if (stop && len >= (size_t)(stop + 4 - room) + body)
            return len;
        ssize_t n = recv(fd, room + len, size - 1 - len, 0);
        if (n <= 0)
            return 0;
        len += (size_t)n;
    }
}

/* "Connection: close" instead of a header that the signature does not cover. */
static void proxy_close_after(char *head) {
    char *agent = strcasestr(head, "\r\nuser-agent: ");
    if (agent && strcspn(agent + 2, "\r") >= 17) {
        size_t len = strcspn(agent + 2, "\r");
        memset(agent + 2, ' ', len);
        memcpy(agent + 2, "Connection: close", 17);
    }
}

static bool proxy_send(int fd, const char *at, size_t len) {
    for (ssize_t n; len; at += n, len -= (size_t)n)
        if ((n = send(fd, at, len, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

static void proxy_pass(proxy_t *p, int from, char *room, size_t size) {
    uint16_t unused;
    size_t len = proxy_request(from, room, size);
    if (len == 0)
        return;
    bool lose = *p->lost && strncmp(room, p->lost, strlen(p->lost)) == 0;
    if (lose)
        atomic_fetch_add(&p->lost_count, 1);
    int to = proxy_socket(&unused, p->to);
    for (; lose && atomic_load(&p->slow); lose = atomic_load(&p->slow))
        usleep(2000);
    proxy_close_after(room);
    char byte; /* a server that stops when its client is gone */
    if (recv(from, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0 && proxy_send(to, room, len))
        for (ssize_t n; (n = recv(to, room, size, 0)) > 0;)
            if (!lose && !proxy_send(from, room, (size_t)n))
                break;
    if (lose && *p->lost) /* not when the spec has given it up meanwhile */
        atomic_store(&p->dark, true);
    close(to);
}

static void *proxy_run(void *arg) {
    proxy_t *p = arg;
    size_t size = 4 << 20;
    char *room = malloc(size);
    for (int fd; (fd = accept(p->fd, NULL, NULL)) >= 0; close(fd))
        if (!atomic_load(&p->dark))
            proxy_pass(p, fd, room, size);
    free(room);
    return NULL;
}

static proxy_t *proxy_start(int to) {
    proxy_t *p = calloc(1, sizeof *p);
    p->to = to;
    p->fd = proxy_socket(&p->port, 0);
    pthread_create(&p->thread, NULL, proxy_run, p);
    return p;
}

static void proxy_stop(proxy_t *p) {
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->fd);
    free(p);
}
