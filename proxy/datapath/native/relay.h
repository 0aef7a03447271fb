/* Connects clients to pods, and moves bytes between the two until both are done, in threads of its own.
 *
 * One thread, the caller's, starts and aborts pairs and hears how they end. It waits for nobody, and nobody waits
 * for it: the two sides meet in mailboxes only.
 *
 * Who owns what. relay_start() takes over the descriptors, unless it returns NULL, and the relay closes them; the
 * client's alone may come back, as long as nothing of it was read. A pair exists until relay_next() has told its
 * end. A service outlives its pairs.
 */
#ifndef HEADWAY_RELAY_H
#define HEADWAY_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_THREADS_MAX = 16 };

enum relay_reason {
    RELAY_UNDECIDED, /* not over yet */
    RELAY_COMPLETED, /* both directions ended cleanly */
    RELAY_CLIENT_RESET,
    RELAY_POD_RESET,
    RELAY_IDLE_TIMEOUT,
    RELAY_HALF_CLOSE_TIMEOUT,
    RELAY_MAX_AGE,     /* old, and at rest: by a FIN on both sides */
    RELAY_RETIRED,     /* the same, as the caller wished */
    RELAY_UNCONNECTED, /* the pod could not be reached: the client's descriptor comes back, `error` says why */
    RELAY_UNTOUCHED,   /* the pod ended it before any byte flowed: the client's descriptor comes back */
    RELAY_ABORTED,     /* this and all above it: by the caller, who may have reasons of his own */
};

struct relay;
struct relay_service; /* what holds for all pairs of one service, and what they have moved */
struct pair;

/* A new connection of a listening socket, non-blocking; or -1: errno says why, EAGAIN that there is none. */
int relay_accept(int listener);

/* Where a pod is. The family tells which. */
union relay_address {
    sa_family_t family;
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* What holds for all pairs of one service; 0 = never, or the system's. */
struct relay_rules {
    uint64_t idle_ns, half_close_ns;      /* without a byte in either direction; the same once a FIN has come */
    uint64_t age_ns;                      /* a tenth more or less: then ended as soon as it is at rest */
    uint64_t quiet_ns;                    /* at rest: nothing has moved for so long, no answer is on its way */
    unsigned keepalive_s, user_timeout_ms; /* of the sockets that the relay connects */
};

/* One connection, as the caller has it. */
struct relay_order {
    struct relay_service *service;
    int client;                  /* a connected, non-blocking stream socket */
    int pod;                     /* the same; or -1: connect to `address` */
    union relay_address address;
    uint64_t connect_within_ns;
    uint64_t retry_before_ns;    /* until then the end of a silent pod gives the client back; 0 = never */
    const char *prefix;          /* what the pod gets before all else, and no count includes */
    size_t prefix_size;          /* 0 = nothing */
    void *token;                 /* what the news of it will carry */
};

/* What relay_next() tells of one pair: its pod's first byte, or its end. */
struct relay_news {
    void *token;
    uint64_t connect_ns; /* how long the pod took to accept; 0 = it has not, or came connected */
    uint64_t waited_ns; /* first byte: since the client's first word, or since the start if the pod spoke first */
    bool unasked; /* the pod's first byte came before its client had said anything */
    enum relay_reason reason; /* RELAY_UNDECIDED with the first byte; all that follows is for the end */
    uint64_t to_pod, from_pod;
    bool pod_first; /* the pod was the first to end it */
    int client;     /* the descriptor that comes back, or -1 */
    int error;      /* RELAY_UNCONNECTED: why not; else why the system would not have it watched, or 0 */
};

struct relay_service *relay_service_open(const struct relay_rules *rules); /* NULL: no memory */
void relay_service_moved(struct relay_service *service, uint64_t *to_pods, uint64_t *from_pods); /* until now */
void relay_service_close(struct relay_service *service);

struct relay *relay_open(int threads, bool spin); /* NULL: errno says why */
int relay_bell(const struct relay *relay);        /* readable when there is news */
struct pair *relay_start(struct relay *relay, const struct relay_order *order); /* NULL: no memory */
void relay_abort(struct relay *relay, struct pair *pair, enum relay_reason reason); /* by a reset on both sides */
void relay_part(struct relay *relay, struct pair *pair, enum relay_reason reason); /* FIN if at rest, or aborted */
void relay_retire(struct relay *relay, struct pair *pair, uint64_t within_ns); /* FIN if at rest within that time */
uint64_t relay_begun_at(const struct pair *pair); /* when it was started, on CLOCK_MONOTONIC */
void relay_flush(struct relay *relay); /* hand over all these orders since the last time */
void relay_hear(struct relay *relay);  /* stop the bell; relay_next() has all news until now */
bool relay_next(struct relay *relay, struct relay_news *news); /* false: that was all */
void relay_stop(struct relay *relay);  /* abort every pair and end the threads; the news of it can be heard */
void relay_close(struct relay *relay); /* free it, and what was not heard */

#endif
