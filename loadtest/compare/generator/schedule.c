// Sends requests when they are due, whatever became of those before. The same seed makes the same schedule.

#include <math.h>

#include "generator.h"

static double uniform(struct generator *g)
{
    // xorshift64*, Vigna 2016
    g->random ^= g->random >> 12;
    g->random ^= g->random << 25;
    g->random ^= g->random >> 27;
    return (double)((g->random * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
}

// Gaps of a Poisson process: many independent users, who also come in bursts.
static uint64_t gap_ns(struct generator *g)
{
    return (uint64_t)(-log1p(-uniform(g)) / g->options.rate * 1e9);
}

void start_schedule(struct generator *g)
{
    g->random = g->options.seed * 2685821657736338717ULL + 88172645463325252ULL;
    g->next_due = g->now + gap_ns(g);
}

void send_due(struct generator *g)
{
    while (g->next_due <= g->now && g->next_due < g->window.end) {
        struct connection *c = &g->connections[g->next_connection];
        if (c->waiting == g->ring)
            return;  // its time goes on counting
        if (g->next_due >= g->window.begin)
            record(&g->window.late, g->now - g->next_due);
        ask(g, c, g->next_due);
        g->next_connection = (g->next_connection + 1) % (uint32_t)g->options.connections;
        g->next_due += gap_ns(g);
        g->now = clock_ns();
    }
}
