/* Moves bytes from one side of a pair to the other, and notes what it meets: a FIN, a reset, a side that takes none. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- out ------------------------------------------------------------------------------------------------------ */

/* How many of the bytes the socket takes. Where it takes fewer than all, the kernel says when it takes more. */
static size_t put(struct side *to, const char *bytes, size_t size)
{
    ssize_t sent;
    do
        sent = send(to->fd, bytes, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN)
        to->broken = to->readable = true;
    if (sent < (ssize_t)size)
        to->writable = false;
    return sent < 0 ? 0 : (size_t)sent;
}

/* Keep what it did not take. */
static void hold(struct side *to, const char *bytes, size_t size)
{
    to->held = malloc(size);
    if (to->held == NULL) {
        to->pair->doom = RELAY_ABORTED;
        to->broken = true; /* nothing may follow into the gap */
        return;
    }
    memcpy(to->held, bytes, size);
    to->held_from = 0;
    to->held_to = (uint32_t)size;
}

/* Whether it has taken all that was held for it. */
static bool put_held(struct worker *worker, struct side *to)
{
    if (to->held == NULL)
        return true;
    if (!to->writable || to->broken)
        return false;
    size_t sent = put(to, to->held + to->held_from, to->held_to - to->held_from);
    if (sent)
        to->pair->moved_at = worker->now;
    to->held_from += (uint32_t)sent;
    if (to->held_from < to->held_to)
        return false;
    free(to->held);
    to->held = NULL;
    return true;
}

/* --- in ------------------------------------------------------------------------------------------------------- */

static void first_byte_of_pod(struct worker *worker, struct pair *pair)
{
    pair->waited_ns = worker->now - pair->waiting_since;
    pair->unasked = !(pair->client.received || pair->client.finished);
    chain_add(&worker->news, &pair->first_byte);
}

static void count(struct worker *worker, struct side *from, size_t size)
{
    struct pair *pair = from->pair;
    struct tally *tally = &pair->service->tallies[worker->number];
    _Atomic uint64_t *moved = side_is_pod(from) ? &tally->from_pods : &tally->to_pods;
    uint64_t before = atomic_load_explicit(moved, memory_order_relaxed);
    atomic_store_explicit(moved, before + size, memory_order_relaxed);
    if (from->received == 0 && side_is_pod(from))
        first_byte_of_pod(worker, pair);
    else if (from->received == 0)
        pair->waiting_since = worker->now;
    from->received += size;
    pair->client_had_last_word = !side_is_pod(from);
    pair->moved_at = worker->now;
}

static void note_fin(struct worker *worker, struct side *from)
{
    struct pair *pair = from->pair;
    if (!side_other(from)->finished)
        pair->pod_first = side_is_pod(from);
    if (!side_is_pod(from) && from->received == 0)
        pair->waiting_since = worker->now; /* its FIN is all that the client has to say */
    from->finished = true;
    pair->moved_at = worker->now;
    pair_set_timer(worker, pair);
}

static void note_trouble(struct side *from, int trouble)
{
    if (trouble == EINTR)
        return;
    from->readable = false;
    if (trouble != EAGAIN)
        from->broken = true;
}

/* One buffer, from one side to the other. */
static void carry(struct worker *worker, struct side *from, struct side *to)
{
    ssize_t got = recv(from->fd, worker->buffer, BUFFER_SIZE, 0);
    if (got < 0)
        note_trouble(from, errno);
    if (got == 0)
        note_fin(worker, from);
    if (got <= 0)
        return;
    /* epoll(7): a short read of a stream means that it is dry. A FIN, a reset or urgent bytes behind it do not
     * come with an edge of their own when they were there before. */
    if (got < BUFFER_SIZE && !from->short_is_not_dry)
        from->readable = false;
    count(worker, from, (size_t)got);
    size_t sent = put(to, worker->buffer, (size_t)got);
    if (sent < (size_t)got && !to->broken)
        hold(to, worker->buffer + sent, (size_t)got - sent);
}

bool move_can_go_on(const struct side *from)
{
    const struct side *to = side_other(from);
    return from->readable && !from->finished && to->held == NULL && !to->broken;
}

void move_pump(struct worker *worker, struct side *from)
{
    struct side *to = side_other(from);
    for (int turn = 0; turn < TURNS && put_held(worker, to) && move_can_go_on(from); turn++)
        carry(worker, from, to);
}
