#include "relay.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

struct relay {
    struct mailbox outbox;
    int bell;
    struct note *heard; /* what relay_next() will tell */
    bool stopped;
    int threads;
    struct worker *workers[];
};

/* --- for all files -------------------------------------------------------------------------------------------- */

uint64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void bell_ring(int bell)
{
    uint64_t one = 1;
    ssize_t ignored = write(bell, &one, sizeof one); /* it can only fail when it has been ringing for 2^64 times */
    (void)ignored;
}

void pair_release(struct pair *pair)
{
    if (atomic_fetch_sub_explicit(&pair->holders, 1, memory_order_acq_rel) == 1)
        free(pair);
}

/* --- services ------------------------------------------------------------------------------------------------- */

struct relay_service *relay_service_open(const struct relay_rules *rules)
{
    struct relay_service *service = aligned_alloc(_Alignof(struct relay_service), sizeof *service);
    if (service != NULL)
        *service = (struct relay_service){ .rules = *rules };
    return service;
}

void relay_service_moved(struct relay_service *service, uint64_t *to_pods, uint64_t *from_pods)
{
    *to_pods = *from_pods = 0;
    for (int i = 0; i < RELAY_THREADS_MAX; i++) {
        *to_pods += atomic_load_explicit(&service->tallies[i].to_pods, memory_order_relaxed);
        *from_pods += atomic_load_explicit(&service->tallies[i].from_pods, memory_order_relaxed);
    }
}

void relay_service_close(struct relay_service *service)
{
    free(service);
}

/* --- threads -------------------------------------------------------------------------------------------------- */

struct relay *relay_open(int threads, bool spin)
{
    struct relay *relay = calloc(1, sizeof *relay + (size_t)threads * sizeof(struct worker *));
    if (relay == NULL)
        return NULL;
    relay->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    while (relay->bell >= 0 && relay->threads < threads) {
        struct worker *worker = worker_new(&relay->outbox, relay->bell, relay->threads, spin);
        if (worker == NULL)
            break;
        relay->workers[relay->threads++] = worker;
    }
    if (relay->threads < threads) {
        int error = errno;
        relay_close(relay);
        errno = error;
        return NULL;
    }
    return relay;
}

void relay_stop(struct relay *relay)
{
    if (relay->stopped)
        return;
    relay_flush(relay);
    relay->stopped = true;
    for (int i = 0; i < relay->threads; i++) {
        atomic_store_explicit(&relay->workers[i]->stopping, true, memory_order_release);
        bell_ring(relay->workers[i]->bell);
    }
    for (int i = 0; i < relay->threads; i++)
        pthread_join(relay->workers[i]->thread, NULL);
}

void relay_close(struct relay *relay)
{
    relay_stop(relay);
    relay_hear(relay);
    for (struct relay_news news; relay_next(relay, &news);)
        if (news.client >= 0)
            close(news.client);
    for (int i = 0; i < relay->threads; i++)
        worker_free(relay->workers[i]);
    close(relay->bell);
    free(relay);
}

/* --- orders --------------------------------------------------------------------------------------------------- */

static struct worker *least_loaded(struct relay *relay)
{
    struct worker *least = relay->workers[0];
    for (int i = 1; i < relay->threads; i++)
        if (relay->workers[i]->load < least->load)
            least = relay->workers[i];
    return least;
}

static void side_init(struct side *side, struct pair *pair, int fd)
{
    side->pair = pair;
    side->fd = fd;
}

/* False: no memory. */
static bool hold_prefix(struct side *pod, const struct relay_order *order)
{
    if (order->prefix_size == 0)
        return true;
    pod->held = calloc(1, order->prefix_size);
    if (pod->held == NULL)
        return false;
    memcpy(pod->held, order->prefix, order->prefix_size);
    pod->held_to = (uint32_t)order->prefix_size;
    return true;
}

static struct pair *pair_new(const struct relay_order *order)
{
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL || !hold_prefix(&pair->pod, order)) {
        free(pair);
        return NULL;
    }
    side_init(&pair->client, pair, order->client);
    side_init(&pair->pod, pair, order->pod);
    pair->connecting = order->pod < 0;
    pair->client.writable = true;
    pair->pod.writable = !pair->connecting;
    pair->service = order->service;
    pair->address = order->address;
    pair->connect_within_ns = order->connect_within_ns;
    pair->retry_before_ns = order->retry_before_ns;
    pair->begun_at = pair->waiting_since = clock_ns();
    pair->token = order->token;
    pair->given_back = -1;
    pair->life = (struct note){ .pair = pair, .kind = NOTE_START };
    pair->first_byte = (struct note){ .pair = pair, .kind = NOTE_FIRST_BYTE };
    pair->abort = (struct note){ .pair = pair, .kind = NOTE_ABORT };
    pair->retire = (struct note){ .pair = pair, .kind = NOTE_RETIRE };
    pair->holders = 1;
    link_init(&pair->all);
    link_init(&pair->ready);
    link_init(&pair->timer);
    return pair;
}

struct pair *relay_start(struct relay *relay, const struct relay_order *order)
{
    struct pair *pair = relay->stopped ? NULL : pair_new(order);
    if (pair == NULL)
        return NULL;
    struct worker *worker = least_loaded(relay);
    worker->load++;
    pair->thread = worker->number;
    chain_add(&worker->unsent, &pair->life);
    return pair;
}

static void give_order(struct relay *relay, struct note *note)
{
    atomic_fetch_add_explicit(&note->pair->holders, 1, memory_order_relaxed);
    chain_add(&relay->workers[note->pair->thread]->unsent, note);
}

void relay_abort(struct relay *relay, struct pair *pair, enum relay_reason reason)
{
    if (relay->stopped || pair->to_abort)
        return;
    pair->to_abort = reason;
    give_order(relay, &pair->abort);
}

void relay_part(struct relay *relay, struct pair *pair, enum relay_reason reason)
{
    if (!pair->to_abort)
        pair->to_part = reason;
    relay_abort(relay, pair, RELAY_ABORTED);
}

/* The note is free again once the thread has taken the wish. */
void relay_retire(struct relay *relay, struct pair *pair, uint64_t within_ns)
{
    if (relay->stopped || within_ns == 0 || atomic_load_explicit(&pair->to_retire_within_ns, memory_order_acquire))
        return;
    atomic_store_explicit(&pair->to_retire_within_ns, within_ns, memory_order_relaxed);
    give_order(relay, &pair->retire);
}

uint64_t relay_begun_at(const struct pair *pair)
{
    return pair->begun_at;
}

void relay_flush(struct relay *relay)
{
    for (int i = 0; i < relay->threads; i++) {
        struct worker *worker = relay->workers[i];
        if (worker->unsent.newest != NULL && mailbox_post(&worker->inbox, &worker->unsent))
            bell_ring(worker->bell);
    }
}

/* --- news ----------------------------------------------------------------------------------------------------- */

int relay_bell(const struct relay *relay)
{
    return relay->bell;
}

void relay_hear(struct relay *relay)
{
    uint64_t rings;
    ssize_t ignored = read(relay->bell, &rings, sizeof rings); /* before the box: what comes later rings again */
    (void)ignored;
    struct note **end = &relay->heard;
    while (*end != NULL)
        end = &(*end)->next;
    *end = mailbox_take(&relay->outbox);
}

static void tell_end(struct relay *relay, struct pair *pair, struct relay_news *news)
{
    news->reason = pair->reason;
    news->to_pod = pair->client.received;
    news->from_pod = pair->pod.received;
    news->pod_first = pair->pod_first;
    news->client = pair->given_back;
    news->error = pair->error;
    relay->workers[pair->thread]->load--;
    pair_release(pair);
}

bool relay_next(struct relay *relay, struct relay_news *news)
{
    struct note *note = relay->heard;
    if (note == NULL)
        return false;
    relay->heard = note->next;
    struct pair *pair = note->pair;
    *news = (struct relay_news){
        .token = pair->token,
        .connect_ns = pair->connect_ns,
        .waited_ns = pair->waited_ns,
        .unasked = pair->unasked,
        .client = -1,
    };
    if (note->kind == NOTE_END)
        tell_end(relay, pair, news);
    return true;
}
