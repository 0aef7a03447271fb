/* Lets a thread wait in a time of its own: when it asks again and again (RELAY_SPIN), and when it sleeps at once.
 *
 * The kernel is played: events come `gap_ns` after the last ones, and `preempted` counts who took its processor.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { WAITS = 100, ASKING_NS = 300, SOON_NS = 5000, LATE_NS = 1000000, SECOND_NS = 1000000000 };

static struct worker worker;
static uint64_t now = SECOND_NS, gap_ns;
static long preempted;
static int asked, slept; /* of WAITS, how many had to ask, and to sleep */

uint64_t clock_ns(void)
{
    return now;
}

int __wrap_getrusage(int who, struct rusage *usage)
{
    (void)who;
    usage->ru_nivcsw = preempted;
    return 0;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    (void)epoll, (void)events, (void)most;
    static uint64_t waited_ns;
    now += ASKING_NS;
    waited_ns += ASKING_NS;
    if (timeout_ms != 0) {
        slept++;
        now += waited_ns < gap_ns ? gap_ns - waited_ns : 0;
    } else {
        asked++;
        if (waited_ns < gap_ns)
            return 0;
    }
    waited_ns = 0;
    return 1;
}

static void wait(uint64_t gap)
{
    gap_ns = gap;
    asked = slept = 0;
    for (int i = 0; i < WAITS; i++)
        if (wait_for_events(&worker) != 1)
            abort();
}

static void hold(bool it_does, const char *what)
{
    if (it_does)
        return;
    fprintf(stderr, "wait_check: %s: asked %d times, slept %d times in %d waits\n", what, asked, slept, WAITS);
    exit(1);
}

int main(void)
{
    link_init(&worker.pairs);
    link_init(&worker.ready);
    wait(SOON_NS);
    hold(asked == 0 && slept == WAITS, "who is not to spin does");

    worker.spin = true;
    wait(SOON_NS);
    hold(asked > WAITS && slept == 0, "it sleeps though the next event is near");
    wait(LATE_NS);
    hold(slept == WAITS && asked < WAITS * 20, "it goes on asking though nothing comes");

    now += SECOND_NS;
    wait(SOON_NS);
    now += SECOND_NS;
    preempted++;
    wait(SOON_NS);
    hold(asked == 0 && slept == WAITS, "it keeps somebody else from running");
    now += SECOND_NS;
    wait(SOON_NS);
    hold(asked > WAITS && slept == 0, "it is alone again, and sleeps");
    puts("it spins where that is cheap, and in nobody's way");
    return 0;
}
