// One connection: writes what it owes, counts what comes back, and tells replies apart by their length.

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generator.h"

#define PIPELINED 64            // requests in the outgoing buffer, so that a late one goes out with others
#define ERRORS_AT_MOST 10000    // the proxy is gone
#define ENDLESS (1ULL << 60)

static char buffer[BUFFER];

static bool counts(const struct generator *g)
{
    return g->window.begun && !g->window.over;
}

// How many bytes a reply has, head and body: all that are asked for are the same.
static size_t measure_reply(struct generator *g)
{
    struct connection probe = {.fd = -1};
    size_t got = 0;
    char head[8192], *body, *length;
    open_connection(g, &probe, true);
    if (send(probe.fd, g->request, g->request_bytes, MSG_NOSIGNAL) != (ssize_t)g->request_bytes)
        fail("cannot send the first request");
    do {
        ssize_t n = recv(probe.fd, head + got, sizeof head - 1 - got, 0);
        if (n <= 0)
            fail("no first reply");
        got += (size_t)n;
        head[got] = 0;
    } while ((body = strstr(head, "\r\n\r\n")) == NULL && got < sizeof head - 1);
    close(probe.fd);
    if (body == NULL || strncmp(head, "HTTP/1.1 200", 12) != 0)
        fail("the first reply is not a 200");
    if ((length = strstr(head, "Content-Length: ")) == NULL)
        fail("the first reply does not tell its length");
    return (size_t)(body + 4 - head) + strtoull(length + 16, NULL, 10);
}

void prepare(struct generator *g)
{
    bool upload = g->options.mode == UPLOAD;
    g->request_bytes = (size_t)snprintf(
        g->request, sizeof g->request, "%s %s HTTP/1.1\r\nHost: pods\r\n%s\r\n", upload ? "POST" : "GET",
        g->options.path,
        upload ? "Content-Length: 1125899906842624\r\n" : g->options.mode == FRESH ? "Connection: close\r\n" : "");
    g->outgoing_bytes = upload ? BUFFER : PIPELINED * g->request_bytes;
    g->outgoing = calloc(1, g->outgoing_bytes);
    for (int i = 0; i < PIPELINED && !upload; i++)
        memcpy(g->outgoing + (size_t)i * g->request_bytes, g->request, g->request_bytes);
    if (!upload)
        g->reply_bytes = measure_reply(g);
}

static void watch(struct generator *g, struct connection *c, int operation, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    c->writing = writing;
    if (epoll_ctl(g->epoll, operation, c->fd, &event) < 0)
        fail("epoll_ctl");
}

// With `wait` it is there on return; the socket blocks only until then.
void open_connection(struct generator *g, struct connection *c, bool wait)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->owed = c->sent = c->received = 0;
    c->first = c->waiting = 0;
    c->writing = false;
    if (connect(c->fd, (struct sockaddr *)&g->options.to, sizeof g->options.to) < 0 && errno != EINPROGRESS)
        fail("cannot connect");
    if (c->since == NULL)
        return;  // whoever opened it blocks on it
    watch(g, c, EPOLL_CTL_ADD, false);
    if (g->options.mode == UPLOAD) {
        if (send(c->fd, g->request, g->request_bytes, MSG_NOSIGNAL) < 0)
            fail("cannot send the head of the upload");
        c->owed = ENDLESS;
        watch(g, c, EPOLL_CTL_MOD, true);
    }
}

// To be used again at once; in the closed loop with its next request.
static void reopen(struct generator *g, struct connection *c)
{
    close(c->fd);
    open_connection(g, c, g->options.mode != FRESH);
    if (g->options.mode == FRESH || g->options.mode == KEPT)
        ask(g, c, clock_ns());
}

static void broke(struct generator *g, struct connection *c)
{
    g->window.errors++;
    if (g->window.errors > ERRORS_AT_MOST)
        fail("too many errors");
    g->window.unanswered += g->options.mode == OPEN ? c->waiting : 0;
    reopen(g, c);
}

static bool flush(struct generator *g, struct connection *c)
{
    while (c->owed > 0) {
        size_t at = c->sent % g->outgoing_bytes, room = g->outgoing_bytes - at;
        ssize_t n = send(c->fd, g->outgoing + at, c->owed < room ? c->owed : room, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
            return false;
        if (n < 0)
            break;
        c->sent += (size_t)n;
        c->owed -= (size_t)n;
        if (g->options.mode == UPLOAD) {
            g->window.bytes += counts(g) ? (uint64_t)n : 0;
            return true;  // the others have their turn
        }
    }
    if (c->writing != (c->owed > 0))
        watch(g, c, EPOLL_CTL_MOD, c->owed > 0);
    return true;
}

void ask(struct generator *g, struct connection *c, uint64_t since)
{
    c->since[(c->first + c->waiting++) % g->ring] = since;
    c->owed += g->request_bytes;
    if (!flush(g, c))
        broke(g, c);
}

static void answered(struct generator *g, struct connection *c)
{
    uint64_t since = c->since[c->first], end = g->window.end;
    c->first = (c->first + 1) % g->ring;
    c->waiting--;
    // Open loop: those that were due in the window. Closed loop: those that were answered in it.
    if (g->options.mode == OPEN ? since >= g->window.begin && since < end : counts(g)) {
        g->window.requests++;
        record(&g->window.latency, g->now - since);
    }
    if (g->options.mode == KEPT && !g->window.over)
        ask(g, c, g->now);
}

static void on_bytes(struct generator *g, struct connection *c, size_t n)
{
    g->window.bytes += counts(g) ? n : 0;
    if (g->options.mode == UPLOAD)
        return;
    if (c->received == 0 && n >= 12 && memcmp(buffer, "HTTP/1.1 200", 12) != 0)
        g->window.wrong++;
    c->received += n;
    while (c->waiting > 0 && c->received >= g->reply_bytes) {
        c->received -= g->reply_bytes;
        answered(g, c);
    }
}

void on_event(struct generator *g, struct connection *c, uint32_t events)
{
    if ((events & EPOLLOUT) && !flush(g, c)) {
        broke(g, c);
        return;
    }
    if (!(events & ~(uint32_t)EPOLLOUT))
        return;
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) {
        g->now = clock_ns();
        on_bytes(g, c, (size_t)n);
    } else if (n == 0 && g->options.mode == FRESH && c->waiting == 0 && c->received == 0) {
        reopen(g, c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        broke(g, c);
    }
}
