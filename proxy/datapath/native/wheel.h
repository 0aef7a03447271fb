/* Says which of many timers are due. No timer is moved while its connection is busy: it is looked at when due,
 * and put back if the connection has moved meanwhile.
 *
 * Levels of ever coarser slots, as in the Linux kernel's timer wheel (kernel/time/timer.c), but a slot comes up
 * early, never late: who is looked at early goes back into a finer slot, and in the end is exact to one tick.
 */
#ifndef HEADWAY_WHEEL_H
#define HEADWAY_WHEEL_H

#include <stdint.h>

#include "list.h"

enum {
    WHEEL_TICK_SHIFT = 24, /* a tick is 2^24 ns, 17 ms */
    WHEEL_LEVELS = 8,      /* 25 days ahead; what is due later is looked at then */
    WHEEL_LEVEL_SHIFT = 3, /* a slot is as long as 8 of the level below */
    WHEEL_SLOTS = 64,
};

struct wheel {
    uint64_t turned;                 /* the tick it has been turned to */
    uint64_t occupied[WHEEL_LEVELS]; /* a bit for each slot that may have members */
    struct link slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);
void wheel_add(struct wheel *wheel, struct link *timer, uint64_t due_ns);
void wheel_turn(struct wheel *wheel, uint64_t now_ns, struct link *due); /* appends those that come up to `due` */
uint64_t wheel_next(const struct wheel *wheel); /* when one may come up, in ns; UINT64_MAX = none will */

#endif
