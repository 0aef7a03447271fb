/* When a pair is old or was retired, and whether it is at rest: whether a FIN would cut nothing. */
#include "internal.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

/* Times as long as else has nothing to move where the client had the last word: its answer may be on the way. */
enum { UNANSWERED = 200 };

/* xorshift64 (Marsaglia, 2003) */
static uint64_t draw(struct worker *worker)
{
    uint64_t luck = worker->luck;
    luck ^= luck << 13;
    luck ^= luck >> 7;
    luck ^= luck << 17;
    return worker->luck = luck;
}

void age_begin(struct worker *worker, struct pair *pair)
{
    uint64_t age = pair->service->rules.age_ns;
    pair->old_at = age ? worker->now + age - age / 10 + draw(worker) % (age / 5 + 1) : UINT64_MAX;
    pair->look_at = pair->old_at;
}

void age_retire(const struct worker *worker, struct pair *pair)
{
    uint64_t within = atomic_exchange_explicit(&pair->to_retire_within_ns, 0, memory_order_acq_rel);
    pair->retired_until = worker->now + within;
    pair->look_at = worker->now;
}

static bool has_none(int fd, unsigned long what)
{
    int count = 0;
    return ioctl(fd, what, &count) == 0 && count == 0;
}

/* Nothing waits to be read, nothing to be sent or, with TCP, to be acknowledged: a close would answer the one and
 * may lose the other by a reset. */
static bool is_empty(const struct side *side)
{
    bool dry = side->held == NULL && !side->readable && !side->broken;
    return dry && has_none(side->fd, FIONREAD) && has_none(side->fd, SIOCOUTQ);
}

bool age_is_at_rest(const struct worker *worker, const struct pair *pair)
{
    uint64_t quiet = pair->service->rules.quiet_ns * (pair->client_had_last_word ? UNANSWERED : 1);
    bool whole = !pair->connecting && !pair->client.finished && !pair->pod.finished;
    bool calm = whole && worker->now >= pair->moved_at && worker->now - pair->moved_at >= quiet;
    return calm && is_empty(&pair->client) && is_empty(&pair->pod);
}

enum relay_reason age_look(const struct worker *worker, struct pair *pair)
{
    bool retired = worker->now < pair->retired_until, old = worker->now >= pair->old_at;
    if ((retired || old) && age_is_at_rest(worker, pair))
        return retired ? RELAY_RETIRED : RELAY_MAX_AGE;
    pair->look_at = retired || old ? worker->now + pair->service->rules.quiet_ns : pair->old_at;
    return RELAY_UNDECIDED;
}
