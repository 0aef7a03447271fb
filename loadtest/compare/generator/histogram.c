// Counts durations in buckets whose width grows with them.

#include <inttypes.h>
#include <stdio.h>

#include "generator.h"

void record(struct histogram *h, uint64_t ns)
{
    int shift = ns < 64 ? 0 : 57 - __builtin_clzll(ns);
    h->counts[shift * 64 + (ns >> shift)]++;
    h->total++;
    if (ns > h->max)
        h->max = ns;
}

static uint64_t highest_in(int bucket)
{
    int shift = bucket < 128 ? 0 : bucket / 64 - 1;
    return (((uint64_t)(bucket - shift * 64) + 1) << shift) - 1;
}

void print_histogram(const char *name, const struct histogram *h)
{
    const char *comma = "";
    printf("\"%s\": {\"max\": %" PRIu64 ", \"counts\": [", name, h->max);
    for (int bucket = 0; bucket < BUCKETS; bucket++)
        if (h->counts[bucket] > 0) {
            printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, highest_in(bucket), h->counts[bucket]);
            comma = ",";
        }
    printf("]}");
}
