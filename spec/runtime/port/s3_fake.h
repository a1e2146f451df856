/* s3_fake: a server whose answers are written by the spec: each request gets the next one, and what
 * was asked is kept. One thread. */
#pragma once
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_MAX  64
#define FAKE_ROOM 16384

typedef struct s3_fake {
    int fd;
    uint16_t port;
    pthread_t thread;
    const char *answers[FAKE_MAX]; /* whole answers; "": the connection is closed instead */
    int count;
    _Atomic int asked;              /* how many requests came */
    char asks[FAKE_MAX][FAKE_ROOM]; /* head and body */
} s3_fake_t;

static size_t fake_body_length(const char *head) {
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at ? strtoul(at + 17, NULL, 10) : 0;
}

/* One request into `room`; false: the connection is at its end. */
static bool fake_read(int fd, char *room) {
    size_t len = 0;
    for (;;) {
        room[len] = 0;
        const char *stop = strstr(room, "\r\n\r\n");
        if (stop && len >= (size_t)(stop + 4 - room) + fake_body_length(room))
            return true;
        ssize_t n = recv(fd, room + len, FAKE_ROOM - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
}

/* A connection that closes after each answer: simple, and each try connects anew. */
static void *fake_run(void *arg) {
    s3_fake_t *f = arg;
    for (int fd; (fd = accept(f->fd, NULL, NULL)) >= 0; close(fd)) {
        int i = atomic_load(&f->asked);
        if (i >= FAKE_MAX || !fake_read(fd, f->asks[i]))
            continue;
        const char *answer = i < f->count ? f->answers[i] : f->answers[f->count - 1];
        atomic_store(&f->asked, i + 1);
        if (*answer && send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            printf("fake: no answer sent\n");
    }
    return NULL;
}

static s3_fake_t *fake_start(void) {
    s3_fake_t *f = calloc(1, sizeof *f);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(f->fd, (struct sockaddr *)&a, sizeof a) || listen(f->fd, 16) ||
        getsockname(f->fd, (struct sockaddr *)&a, &len))
        abort();
    f->port = ntohs(a.sin_port);
    pthread_create(&f->thread, NULL, fake_run, f);
    return f;
}

static void fake_stop(s3_fake_t *f) {
    shutdown(f->fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->fd);
    free(f);
}
