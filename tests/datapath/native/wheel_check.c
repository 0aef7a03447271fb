/* Holds the timer wheel against a list of what is due when: a hundred days of random timers and turns.
 *
 * No timer comes up after the first turn at which it is due; who comes up early is put back, as the engine does
 * it, and that is not often. wheel_next() never oversleeps one.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "wheel.h"

enum { TIMERS = 300, TURNS = 200000, LOOKS_MOST = 12 };

struct timer {
    struct link link;
    uint64_t due, looks;
};

static struct wheel wheel;
static struct timer timers[TIMERS];
static uint64_t now = UINT64_C(123456789012345), began, luck = 88172645463325252;
static const uint64_t tick = UINT64_C(1) << WHEEL_TICK_SHIFT;

static uint64_t draw(void)
{
    luck ^= luck << 13;
    luck ^= luck >> 7;
    luck ^= luck << 17;
    return luck;
}

/* From a millisecond to a month, each order of magnitude as often as another. */
static uint64_t draw_ns(void)
{
    return UINT64_C(1000000) << draw() % 32 | draw() % 1000000;
}

static void fail(const char *what)
{
    fprintf(stderr, "wheel_check: %s\n", what);
    exit(1);
}

static void set(struct timer *timer)
{
    timer->due = now + draw_ns();
    timer->looks = 0;
    wheel_add(&wheel, &timer->link, timer->due);
}

static void look_at(struct timer *timer)
{
    if (timer->due > now) {
        if (++timer->looks > LOOKS_MOST)
            fail("looked at too often");
        wheel_add(&wheel, &timer->link, timer->due);
    } else
        set(timer);
}

static void check_none_is_late(void)
{
    uint64_t next = wheel_next(&wheel);
    for (int i = 0; i < TIMERS; i++) {
        if (timers[i].due + tick <= now)
            fail("a timer is late");
        if (next > timers[i].due + tick)
            fail("the next turn would be late for one");
    }
    if (next <= now)
        fail("there is always a next turn in the future");
}

int main(void)
{
    began = now;
    wheel_init(&wheel, now);
    if (wheel_next(&wheel) != UINT64_MAX)
        fail("an empty wheel wants to be turned");
    for (int i = 0; i < TIMERS; i++)
        set(&timers[i]);
    for (int turn = 0; turn < TURNS; turn++) {
        struct link due;
        link_init(&due);
        /* to when it wants to be turned, or a little before, or long after */
        uint64_t next = wheel_next(&wheel);
        now = turn % 3 == 0 ? next : turn % 3 == 1 ? now + (next - now) / 2 : next + draw_ns() % (5 * tick);
        if (turn % 5000 == 0)
            now += draw_ns();
        wheel_turn(&wheel, now, &due);
        if (now >= next && link_alone(&due))
            fail("it wanted to be turned for nobody");
        for (struct link *link; (link = link_take(&due)) != NULL;)
            look_at((struct timer *)((char *)link - offsetof(struct timer, link)));
        check_none_is_late();
    }
    printf("%d turns over %.0f days, no timer late\n", TURNS, (double)(now - began) / 86400e9);
    return 0;
}
