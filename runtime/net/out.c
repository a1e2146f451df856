/* out: what waits to be sent on one socket: a list of runs of bytes. Small pieces are copied
 * behind each other, large ones and those that many sockets share are pointed to, a file is read
 * when its turn comes. Called by the files of this floor, in the worker's thread. */
#include "base/pool.h"
#include "net/net_in.h"
#include <unistd.h>

#define FIRST_NODE (512 - sizeof(out_node_t))  /* of a queue */
#define OTHER_NODE (4096 - sizeof(out_node_t)) /* of one that grows */
#define COPY_MAX   192                         /* up to here a copy is cheaper than a reference */

/* Drops what cannot be sent any more. What waits already decides: one message alone may be larger
 * (ws.max_frame). */
static bool takes(net_conn_t *c) {
    if (c->flags & F_ENDING)
        return false;
    if (c->queued <= c->worker->net->queue_limit)
        return true;
    conn_cut(c);
    return false;
}

static void node_free(out_node_t *n) {
    if (out_is_file(n))
        close(n->fd);
    block_unref(n->block);
    pool_free(n, sizeof *n + n->cap);
}

static out_node_t *append(net_conn_t *c, size_t cap) {
    out_node_t *n = pool_alloc(sizeof *n + cap);
    *n = (out_node_t){.cap = (uint32_t)cap, .fd = -1};
    if (c->tail)
        c->tail->next = n;
    else
        c->head = n;
    c->tail = n;
    return n;
}

char *out_room(net_conn_t *c, size_t len) {
    if (!takes(c))
        return NULL;
    out_node_t *n = c->tail;
    if (!n || n->cap == 0 || n->cap - n->off - n->len < len) {
        size_t cap = n ? OTHER_NODE : FIRST_NODE;
        if (cap < len)
            cap = len <= OTHER_NODE ? OTHER_NODE : len;
        n = append(c, cap);
    }
    return n->data + n->off + n->len;
}

static void queued(net_conn_t *c, size_t len) {
    c->queued += (uint32_t)len;
    if (c->queued > c->worker->net->queue_soft)
        c->flags |= F_ABOVE;
    conn_pend(c);
}

void out_grow(net_conn_t *c, size_t len) {
    c->tail->len += (uint32_t)len;
    queued(c, len);
}

void out_add(net_conn_t *c, const void *at, size_t len) {
    char *room = len ? out_room(c, len) : NULL;
    if (!room)
        return;
    memcpy(room, at, len);
    out_grow(c, len);
}

void out_block(net_conn_t *c, block_t *b, uint32_t off, uint32_t len) {
    out_node_t *n = c->tail;
    if (len == 0 || !takes(c))
        return;
    if (n && n->block == b && n->off + n->len == off) {
        n->len += len;
    } else if (n && len <= COPY_MAX) { /* alone it needs no node of its own for bytes */
        out_add(c, b->data + off, len);
        return;
    } else {
        n = append(c, 0);
        n->block = block_ref(b);
        n->off = off;
        n->len = len;
    }
    queued(c, len);
}

void out_file(net_conn_t *c, int fd, uint64_t off, uint64_t len) {
    if (len == 0 || !takes(c)) {
        close(fd);
        return;
    }
    out_node_t *n = append(c, 0);
    n->fd = fd;
    n->file_off = off;
    n->file_len = len;
    c->flags |= F_FILE;
    conn_pend(c);
}

static void drop_head(net_conn_t *c) {
    out_node_t *n = c->head;
    c->head = n->next;
    if (!c->head) {
        c->tail = NULL;
        c->flags &= ~(uint32_t)F_FILE;
    }
    node_free(n);
}

void out_sent(net_conn_t *c, size_t len) {
    c->queued -= (uint32_t)len;
    c->flags |= F_MOVED;
    while (len) {
        out_node_t *n = c->head;
        size_t part = len < n->len ? len : n->len;
        n->off += (uint32_t)part;
        n->len -= (uint32_t)part;
        len -= part;
        if (n->len == 0)
            drop_head(c);
    }
}

void out_file_sent(net_conn_t *c, size_t len) {
    c->flags |= F_MOVED;
    c->flags &= ~(uint32_t)F_WARM;
    c->head->file_off += len;
    c->head->file_len -= len;
    if (c->head->file_len == 0)
        drop_head(c);
}

void out_clear(net_conn_t *c) {
    while (c->head)
        drop_head(c);
    c->queued = 0;
}
