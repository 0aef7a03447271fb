#include "wheel.h"

static unsigned shift_of(int level)
{
    return (unsigned)level * WHEEL_LEVEL_SHIFT;
}

static uint64_t rotate_left(uint64_t bits, unsigned by)
{
    return by % 64 ? bits << by % 64 | bits >> (64 - by % 64) : bits;
}

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    wheel->turned = now_ns >> WHEEL_TICK_SHIFT;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (int slot = 0; slot < WHEEL_SLOTS; slot++)
            link_init(&wheel->slots[level][slot]);
    }
}

void wheel_add(struct wheel *wheel, struct link *timer, uint64_t due_ns)
{
    uint64_t due = (due_ns >> WHEEL_TICK_SHIFT) + 1; /* the first tick at which it is over */
    if (due <= wheel->turned)
        due = wheel->turned + 1;
    uint64_t reach = WHEEL_SLOTS - 1; /* the farthest slot of a level is one round ahead */
    int level = 0;
    while (level < WHEEL_LEVELS - 1 && due - wheel->turned > reach << shift_of(level))
        level++;
    if (due - wheel->turned > reach << shift_of(level))
        due = wheel->turned + (reach << shift_of(level));
    unsigned slot = (due >> shift_of(level)) % WHEEL_SLOTS;
    wheel->occupied[level] |= UINT64_C(1) << slot;
    link_append(&wheel->slots[level][slot], timer);
}

/* A bit for each slot after `from`, up to `to`. */
static uint64_t slots_between(uint64_t from, uint64_t to)
{
    uint64_t count = to - from;
    uint64_t first_ones = count >= WHEEL_SLOTS ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    return rotate_left(first_ones, (from + 1) % WHEEL_SLOTS);
}

void wheel_turn(struct wheel *wheel, uint64_t now_ns, struct link *due)
{
    uint64_t now = now_ns >> WHEEL_TICK_SHIFT;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t from = wheel->turned >> shift_of(level), to = now >> shift_of(level);
        if (from == to)
            break; /* nor has a coarser level moved */
        uint64_t up = wheel->occupied[level] & slots_between(from, to);
        wheel->occupied[level] &= ~up;
        for (; up; up &= up - 1)
            link_move(&wheel->slots[level][__builtin_ctzll(up)], due);
    }
    wheel->turned = now;
}

uint64_t wheel_next(const struct wheel *wheel)
{
    uint64_t next = UINT64_MAX;
    for (int level = 0; level < WHEEL_LEVELS; level++) {
        if (wheel->occupied[level] == 0)
            continue;
        uint64_t first = (wheel->turned >> shift_of(level)) + 1;
        unsigned ahead = __builtin_ctzll(rotate_left(wheel->occupied[level], 64 - first % WHEEL_SLOTS));
        uint64_t tick = (first + ahead) << shift_of(level);
        if (tick < next)
            next = tick;
    }
    return next == UINT64_MAX ? next : next << WHEEL_TICK_SHIFT;
}
