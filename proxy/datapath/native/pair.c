/* RFC 9293 3.6: a FIN closes one direction only. Each is passed on when it comes, behind the bytes before it; the
 * pair ends with the second one. A reset is passed on as a reset: a clean end would make half a reply look whole.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- time ----------------------------------------------------------------------------------------------------- */

/* Whether there is less to wait for than at first. */
static bool is_ending(const struct pair *pair)
{
    return pair->client.finished || pair->pod.finished;
}

/* When the pair has stood still for too long; UINT64_MAX = never. */
static uint64_t deadline(const struct pair *pair)
{
    if (pair->connecting)
        return pair->connect_before_ns;
    const struct relay_rules *rules = &pair->service->rules;
    uint64_t limit = is_ending(pair) ? rules->half_close_ns : rules->idle_ns;
    return limit && limit < UINT64_MAX - pair->moved_at ? pair->moved_at + limit : UINT64_MAX;
}

static bool may_age(const struct pair *pair)
{
    return !pair->connecting && !is_ending(pair);
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t next_look(const struct pair *pair)
{
    uint64_t due = deadline(pair);
    if (pair->tune_at_ns && !pair->connecting)
        due = earlier(pair->tune_at_ns, due);
    return may_age(pair) ? earlier(pair->look_at, due) : due;
}

/* Only after what makes the deadline earlier: when it comes up, a later one is seen. */
void pair_set_timer(struct worker *worker, struct pair *pair)
{
    uint64_t due = next_look(pair);
    link_remove(&pair->timer);
    if (due != UINT64_MAX)
        wheel_add(&worker->wheel, &pair->timer, due);
}

/* --- the end -------------------------------------------------------------------------------------------------- */

/* Out of the epoll set by hand: a process that forks keeps the description alive, and with it its events, which
 * would point to a pair that is gone. */
static void unwatch(struct worker *worker, struct side *side)
{
    epoll_ctl(worker->epoll, EPOLL_CTL_DEL, side->fd, NULL);
}

static void close_side(struct worker *worker, struct side *side, bool reset)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    free(side->held);
    side->held = NULL;
    if (side->fd < 0)
        return;
    if (reset)
        setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    unwatch(worker, side);
    close(side->fd);
    side->fd = -1;
}

static void finish(struct worker *worker, struct pair *pair, enum relay_reason reason, bool reset)
{
    pair->reason = reason;
    close_side(worker, &pair->client, reset);
    close_side(worker, &pair->pod, reset);
    link_remove(&pair->timer);
    link_remove(&pair->ready);
    link_remove(&pair->all);
    pair->life.kind = NOTE_END;
    chain_add(&worker->news, &pair->life); /* posted after this turn's events: none of them outlives its pair */
}

void pair_end(struct worker *worker, struct pair *pair, enum relay_reason reason)
{
    finish(worker, pair, reason, true);
}

/* The pod is gone, and nobody has said a word. */
static bool is_untouched(const struct worker *worker, const struct pair *pair)
{
    bool silent = !(pair->client.received || pair->pod.received || pair->client.finished);
    return silent && (pair->pod.finished || pair->pod.broken) && worker->now < pair->retry_before_ns;
}

static void give_back(struct worker *worker, struct pair *pair, enum relay_reason reason)
{
    unwatch(worker, &pair->client);
    pair->given_back = pair->client.fd;
    pair->client.fd = -1;
    pair->pod_first = true;
    finish(worker, pair, reason, true);
}

/* It was reset, and what it said before is passed on as far as that is possible. */
static bool is_lost(const struct side *side)
{
    return side->broken && !move_can_go_on(side);
}

static void lose(struct worker *worker, struct side *side)
{
    struct pair *pair = side->pair;
    if (!side_other(side)->finished)
        pair->pod_first = side_is_pod(side);
    finish(worker, pair, side_is_pod(side) ? RELAY_POD_RESET : RELAY_CLIENT_RESET, true);
}

/* A FIN is read only when all bytes before it were sent: it cannot overtake them. */
static void pass_fin(struct side *from)
{
    struct side *to = side_other(from);
    if (!from->finished || to->told)
        return;
    shutdown(to->fd, SHUT_WR); /* when that fails it was reset: an event says so */
    to->told = true;
}

/* --- the connect ---------------------------------------------------------------------------------------------- */

static void fail_to_connect(struct worker *worker, struct pair *pair, int error)
{
    pair->error = error;
    give_back(worker, pair, RELAY_UNCONNECTED);
}

static void note_connected(struct worker *worker, struct pair *pair)
{
    pair->connecting = false;
    pair->connect_ns = connect_took(pair->pod.fd, worker->now - pair->waiting_since);
    pair->waiting_since = pair->moved_at = worker->now;
    pair_set_timer(worker, pair);
}

/* Whether there is a connection now. Nothing of the client's was read yet: unless it is gone, it comes back. */
static bool connected(struct worker *worker, struct pair *pair)
{
    if (!pair->connecting)
        return true;
    if (pair->client.broken)
        lose(worker, &pair->client);
    else if (pair->doom)
        give_back(worker, pair, pair->doom);
    else if (pair->pod.broken)
        fail_to_connect(worker, pair, connect_outcome(pair->pod.fd));
    else if (pair->pod.writable)
        note_connected(worker, pair);
    return !pair->connecting && !pair->reason;
}

/* --- a pair's turn -------------------------------------------------------------------------------------------- */

static int watch(struct worker *worker, struct side *side)
{
    /* EPOLLPRI: where urgent bytes are, a read stops before them. */
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.ptr = side,
    };
    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, side->fd, &event);
}

static bool is_local(int fd)
{
    int family = AF_UNSPEC;
    socklen_t size = sizeof family;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    return family == AF_UNIX;
}

void pair_begin(struct worker *worker, struct pair *pair)
{
    pair->client.short_is_not_dry = is_local(pair->client.fd); /* a read stops behind descriptors sent along */
    pair->moved_at = worker->now;
    age_begin(worker, pair);
    link_append(&worker->pairs, &pair->all);
    int error = pair->connecting ? connect_begin(pair) : 0;
    if (error) {
        fail_to_connect(worker, pair, error);
        return;
    }
    pair_set_timer(worker, pair);
    if (watch(worker, &pair->pod) || watch(worker, &pair->client)) {
        pair->error = errno;
        pair_end(worker, pair, RELAY_ABORTED);
    }
}

void pair_drive(struct worker *worker, struct pair *pair)
{
    if (!connected(worker, pair))
        return;
    /* The pod first: its end may give the client back with all its bytes, and what it says before it has got any
     * is no answer to them. */
    if (!pair->doom)
        move_pump(worker, &pair->pod);
    if (!pair->doom && is_untouched(worker, pair)) {
        give_back(worker, pair, RELAY_UNTOUCHED);
        return;
    }
    if (!pair->doom)
        move_pump(worker, &pair->client);
    if (pair->doom)
        pair_end(worker, pair, pair->doom);
    else if (is_lost(&pair->pod))
        lose(worker, &pair->pod);
    else if (is_lost(&pair->client))
        lose(worker, &pair->client);
    else if (pair->client.finished && pair->pod.finished)
        finish(worker, pair, RELAY_COMPLETED, false); /* the close sends the FIN that is missing */
    else {
        pass_fin(&pair->pod);
        pass_fin(&pair->client);
        if (move_can_go_on(&pair->pod) || move_can_go_on(&pair->client))
            worker_queue(worker, pair);
    }
}

/* At once, or at its next turn. */
void pair_abort(struct worker *worker, struct pair *pair)
{
    if (pair->to_part && age_is_at_rest(worker, pair))
        finish(worker, pair, pair->to_part, false);
    else
        pair->doom = pair->to_abort;
}

/* The timer looks whether it is at rest, in its next tick and again. */
void pair_retire(struct worker *worker, struct pair *pair)
{
    age_retire(worker, pair);
    pair_set_timer(worker, pair);
}

void pair_expire(struct worker *worker, struct pair *pair)
{
    if (pair->tune_at_ns && !pair->connecting && pair->tune_at_ns <= worker->now) {
        connect_tune(pair);
        pair->tune_at_ns = 0;
    }
    enum relay_reason over = RELAY_UNDECIDED;
    if (may_age(pair) && pair->look_at <= worker->now)
        over = age_look(worker, pair);
    if (over) {
        finish(worker, pair, over, false);
        return;
    }
    if (deadline(pair) > worker->now) {
        pair_set_timer(worker, pair);
        return;
    }
    if (pair->connecting) {
        /* After a stall the answer may be there, its event not yet taken: the kernel knows. */
        int error = connect_outcome(pair->pod.fd);
        if (error)
            fail_to_connect(worker, pair, error == EINPROGRESS ? ETIMEDOUT : error);
        return;
    }
    bool half = is_ending(pair);
    bool stuck = half || pair->client.held != NULL || pair->pod.held != NULL;
    finish(worker, pair, half ? RELAY_HALF_CLOSE_TIMEOUT : RELAY_IDLE_TIMEOUT, stuck);
}
