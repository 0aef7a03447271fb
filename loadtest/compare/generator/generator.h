// What the parts of the load generator share. One thread, one epoll, one measured window.

#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCHED_AT_MOST 64
#define BUFFER (256 * 1024)
#define RING_OF_OPEN 4096  // requests of one connection that wait for their replies

enum mode { KEPT, FRESH, OPEN, UPLOAD, HOLD };

struct options {
    enum mode mode;
    struct sockaddr_in to;
    const char *path;
    int connections;
    double seconds, warm_up, rate;
    uint64_t seed;
    int watched[WATCHED_AT_MOST], watching;
};

// Log-linear: 64 buckets for each power of two of nanoseconds, so a value is known within 1.6 %.
#define BUCKETS (59 * 64)
struct histogram {
    uint64_t counts[BUCKETS], total, max;
};

void record(struct histogram *, uint64_t ns);
void print_histogram(const char *name, const struct histogram *);

// What happened inside the window [begin, end).
struct window {
    uint64_t begin, end;
    uint64_t requests, bytes, errors, wrong, unanswered;
    struct histogram latency, late;
    double cpu[WATCHED_AT_MOST], own_cpu;
    bool begun, over;
};

struct connection {
    int fd;
    bool writing;        // epoll tells when there is room
    size_t owed, sent;   // bytes of requests that the kernel has not taken yet, and that it has
    size_t received;     // of the reply that is arriving
    uint64_t *since;     // a ring: when each request was due (open loop) or sent
    uint32_t first, waiting;
};

struct generator {
    struct options options;
    struct window window;
    struct connection *connections;
    int epoll;
    char request[512];
    size_t request_bytes, reply_bytes;
    char *outgoing;      // requests back to back, or an upload's zeros
    size_t outgoing_bytes;
    uint64_t now, next_due, random;
    uint32_t next_connection, ring;
};

uint64_t clock_ns(void);
void fail(const char *what) __attribute__((noreturn));

// connection.c
void prepare(struct generator *);
void open_connection(struct generator *, struct connection *, bool wait);
void ask(struct generator *, struct connection *, uint64_t since);
void on_event(struct generator *, struct connection *, uint32_t events);

// schedule.c
void start_schedule(struct generator *);
void send_due(struct generator *);
