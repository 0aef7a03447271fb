/* Waits for events: sleeps, or asks again and again for a while where that is cheaper (RELAY_SPIN). */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "internal.h"

#include <sys/resource.h>

enum {
    SPIN_NS = 20000,
    LOOK_NS = 1000000,  /* between two looks whether somebody else wants the processor */
    REST_NS = 20000000, /* so long it is left to them */
};

/* How long it may sleep, for epoll_wait(). */
static int sleep_ms(const struct worker *worker)
{
    uint64_t next = link_alone(&worker->pairs) ? UINT64_MAX : wheel_next(&worker->wheel);
    if (next == UINT64_MAX)
        return -1;
    uint64_t now = clock_ns();
    uint64_t ms = next > now ? (next - now) / 1000000 + 1 : 0;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

static int poll_events(struct worker *worker, int timeout_ms)
{
    int count = epoll_wait(worker->epoll, worker->events, EVENTS, timeout_ms);
    return count < 0 ? 0 : count; /* EINTR */
}

/* It was preempted: what it waits for may come from whom its spinning would keep from running. */
static bool is_alone(struct worker *worker, uint64_t now)
{
    if (now < worker->look_at)
        return worker->alone;
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    worker->alone = usage.ru_nivcsw == worker->preempted;
    worker->preempted = usage.ru_nivcsw;
    worker->look_at = now + (worker->alone ? LOOK_NS : REST_NS);
    return worker->alone;
}

static int spin(struct worker *worker, uint64_t until)
{
    int count;
    do
        count = poll_events(worker, 0);
    while (count == 0 && clock_ns() < until);
    return count;
}

/* A wait as long as many spins counts as eight of them, so that a pause does not end the spinning for long. */
static void learn_wait(struct worker *worker, uint64_t waited_ns)
{
    uint64_t most = 8 * SPIN_NS;
    uint64_t sample = waited_ns < most ? waited_ns : most;
    worker->usual_wait_ns = (7 * worker->usual_wait_ns + sample) / 8;
}

static int spin_or_sleep(struct worker *worker)
{
    uint64_t began = clock_ns();
    bool worth_it = worker->usual_wait_ns < SPIN_NS && is_alone(worker, began);
    int count = worth_it ? spin(worker, began + SPIN_NS) : 0;
    if (count == 0)
        count = poll_events(worker, sleep_ms(worker));
    learn_wait(worker, clock_ns() - began);
    return count;
}

int wait_for_events(struct worker *worker)
{
    if (!link_alone(&worker->ready))
        return poll_events(worker, 0);
    return worker->spin ? spin_or_sleep(worker) : poll_events(worker, sleep_ms(worker));
}
