/* What the threads of the relay work with. Only the thread that a pair is with touches it, but for what says so. */
#ifndef HEADWAY_RELAY_INTERNAL_H
#define HEADWAY_RELAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "list.h"
#include "mailbox.h"
#include "relay.h"
#include "wheel.h"

enum {
    BUFFER_SIZE = 128 << 10,
    EVENTS = 128, /* taken from the kernel at once */
    TURNS = 4,    /* buffers moved in one direction before others have their turn */
};

/* One socket of a pair. */
struct side {
    struct pair *pair;
    char *held;                   /* what it has to take, before more of the other's bytes are read */
    uint32_t held_from, held_to;  /* the part of it that is left */
    uint64_t received;            /* bytes that came from it */
    int fd;                       /* -1 once it is no longer ours */
    bool readable;                /* something may be there to be read */
    bool writable;                /* it may take something */
    bool short_is_not_dry;        /* there may be more to read when less came than was asked for */
    bool finished;                /* its FIN was read */
    bool told;                    /* that the other has finished: it was sent a FIN */
    bool broken;                  /* it was reset, or as good as that; what it said before is still read */
};

/* Two connected sockets. The notes about it are its only parts that other threads touch while it runs. */
struct pair {
    struct side client, pod;
    struct relay_service *service;
    union relay_address address;
    uint64_t begun_at; /* when it was handed over: never changes */
    uint64_t connect_within_ns, retry_before_ns;
    uint64_t connect_before_ns; /* counted from its SYN: a stall before that is not the pod's */
    uint64_t tune_at_ns;        /* when it will have lived long enough for the rest of its options; 0 = it has them */
    uint64_t connect_ns;
    uint64_t moved_at;      /* when a byte or a FIN last came or went */
    uint64_t waiting_since; /* what the pod's answer is measured from: first to the connect, then with a byte */
    uint64_t waited_ns;
    uint64_t old_at;        /* from when on it is to end once it is at rest; UINT64_MAX = never */
    uint64_t retired_until; /* the same, until then; 0 = it is not */
    uint64_t look_at;       /* when to look whether it is at rest; UINT64_MAX = never */
    struct link all;   /* among all pairs of its thread */
    struct link ready; /* among those that have something to do */
    struct link timer;
    struct note life;       /* its start, later its end */
    struct note first_byte; /* of the pod */
    struct note abort, retire;
    void *token;
    enum relay_reason doom;   /* it is to be ended for this, by a reset */
    enum relay_reason reason; /* why it is over */
    bool connecting; /* until the pod has accepted */
    bool pod_first;
    bool unasked; /* the pod spoke before its client had said anything */
    bool client_had_last_word;
    int error;
    int given_back; /* the client's descriptor, or -1 */
    int thread;
    enum relay_reason to_abort; /* the caller's, who wishes it once */
    enum relay_reason to_part;  /* instead of to_abort, if it is at rest */
    _Atomic uint64_t to_retire_within_ns; /* the caller's wish, until the thread has taken it: 0 */
    _Atomic int holders; /* the news of its end, and orders under way: who is last frees it */
};

static inline struct side *side_other(const struct side *side)
{
    struct pair *pair = side->pair;
    return side == &pair->client ? &pair->pod : &pair->client;
}

static inline bool side_is_pod(const struct side *side)
{
    return side == &side->pair->pod;
}

/* A thread. The parts that others write stand apart from its own: they would share a line of the cache. */
struct worker {
    _Alignas(64) struct mailbox inbox; /* orders; who posts wakes it when the box was empty */
    atomic_bool stopping;

    _Alignas(64) struct chain unsent; /* the caller's: what it posts at its next flush */
    long load;                        /* the caller's: pairs that it has given to this thread */

    _Alignas(64) struct mailbox *outbox; /* of the relay, for all threads */
    int outbox_bell;
    int bell, epoll;
    int number;
    bool spin;
    pthread_t thread;
    uint64_t now;           /* as of this turn */
    uint64_t luck;
    uint64_t usual_wait_ns; /* for events, lately */
    uint64_t look_at;       /* again, whether it has its processor to itself */
    long preempted;         /* so many times, by the last look */
    bool alone;
    struct link pairs;      /* all that it has */
    struct link ready;      /* those that have something to do */
    struct chain news;      /* of this turn */
    struct wheel wheel;
    struct epoll_event events[EVENTS];
    char buffer[BUFFER_SIZE]; /* the last: of this, only what is used becomes memory */
};

/* What one service's pairs have moved in one thread, which alone writes it. */
struct tally {
    _Alignas(64) _Atomic uint64_t to_pods;
    _Atomic uint64_t from_pods;
};

struct relay_service {
    struct relay_rules rules;
    struct tally tallies[RELAY_THREADS_MAX];
};

/* relay.c */
uint64_t clock_ns(void);
void bell_ring(int bell);
void pair_release(struct pair *pair);

/* worker.c: a thread, and what it does in its turns */
struct worker *worker_new(struct mailbox *outbox, int outbox_bell, int number, bool spin); /* NULL: errno says why */
void worker_free(struct worker *worker); /* once its thread has ended */
void worker_queue(struct worker *worker, struct pair *pair); /* let it have its turn */

/* wait.c */
int wait_for_events(struct worker *worker); /* how many there are in worker->events */

/* connect.c */
int connect_begin(struct pair *pair); /* 0, or an errno */
int connect_outcome(int fd);          /* the same; EINPROGRESS while it is open */
uint64_t connect_took(int fd, uint64_t seen_ns);
void connect_tune(const struct pair *pair); /* with what only a connection that lasts needs */

/* age.c */
void age_begin(struct worker *worker, struct pair *pair);
void age_retire(const struct worker *worker, struct pair *pair);
enum relay_reason age_look(const struct worker *worker, struct pair *pair); /* why it is to end now, if it is */
bool age_is_at_rest(const struct worker *worker, const struct pair *pair);

/* move.c: the only file that reads from the sockets or writes to them */
void move_pump(struct worker *worker, struct side *from); /* what there is to be read, as far as it is taken */
bool move_can_go_on(const struct side *from);

/* pair.c: what becomes of one pair */
void pair_begin(struct worker *worker, struct pair *pair);
void pair_drive(struct worker *worker, struct pair *pair);
void pair_set_timer(struct worker *worker, struct pair *pair);
void pair_expire(struct worker *worker, struct pair *pair);
void pair_abort(struct worker *worker, struct pair *pair);
void pair_retire(struct worker *worker, struct pair *pair);
void pair_end(struct worker *worker, struct pair *pair, enum relay_reason reason);

#endif
