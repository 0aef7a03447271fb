/* Drives the engine without Python, for the sanitizers: thousands of connections that end in every way, each byte
 * of them compared (so are those that the engine puts before them), over a kernel that is worse than any real one:
 * it moves fewer bytes than it could, is interrupted, hands out events one by one, and has no memory at times.
 *
 *     driver SESSIONS SEED THREADS SPIN
 *
 * Linked with --wrap, so that the engine's system calls come here first. What a wrapper withholds it announces
 * anew, as the kernel would: by EPOLL_CTL_MOD, which makes a new edge.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

enum { DESCRIPTORS = 4096, AT_ONCE = 100, TABLE = 65521, HANG_S = 20 };

static unsigned faults = 12;  /* one system call in so many is spoilt */
static _Thread_local uint64_t luck;
static uint64_t seed;

static uint64_t draw(void)
{
    if (luck == 0)
        luck = (seed ^ (uint64_t)(uintptr_t)&luck) | 1;
    luck ^= luck << 13;
    luck ^= luck >> 7;
    luck ^= luck << 17;
    return luck * UINT64_C(0x2545F4914F6CDD1D) >> 33;
}

static bool once_in(unsigned n)
{
    return draw() % n == 0;
}

static void fail(const char *what)
{
    fprintf(stderr, "driver: %s (%s)\n", what, strerror(errno));
    exit(1);
}

/* --- the kernel, spoilt ----------------------------------------------------------------------------------------- */

int __real_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event);
int __real_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout);
ssize_t __real_recv(int fd, void *to, size_t size, int flags);
ssize_t __real_send(int fd, const void *from, size_t size, int flags);
void *__real_malloc(size_t size);

/* What a descriptor of the engine is watched with. Only the thread that watches it looks; as for the next thread
 * that gets its number, the kernel keeps them apart, which the sanitizer does not know. */
static struct {
    _Atomic int epoll;
    _Atomic uint32_t events;
    void *_Atomic pointer;
} watched[DESCRIPTORS];

int __wrap_epoll_ctl(int epoll, int how, int fd, struct epoll_event *event)
{
    if (how == EPOLL_CTL_ADD) {
        watched[fd].epoll = epoll;
        watched[fd].events = event->events;
        watched[fd].pointer = event->data.ptr;
    }
    return __real_epoll_ctl(epoll, how, fd, event);
}

static void announce(int fd)
{
    struct epoll_event event = { .events = watched[fd].events, .data.ptr = watched[fd].pointer };
    __real_epoll_ctl(watched[fd].epoll, EPOLL_CTL_MOD, fd, &event);
}

static ssize_t refuse(int error)
{
    errno = error;
    return -1;
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    if (once_in(faults))
        return (int)refuse(EINTR);
    return __real_epoll_wait(epoll, events, once_in(faults) ? 1 : most, timeout);
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags)
{
    if (once_in(faults))
        return refuse(EINTR);
    if (!once_in(faults))
        return __real_recv(fd, to, size, flags);
    ssize_t got = __real_recv(fd, to, 1 + draw() % 100, flags);
    announce(fd);
    return got;
}

ssize_t __wrap_send(int fd, const void *from, size_t size, int flags)
{
    if (once_in(faults))
        return refuse(EINTR);
    if (!once_in(faults / 2))
        return __real_send(fd, from, size, flags);
    ssize_t sent = once_in(2) ? refuse(EAGAIN) : __real_send(fd, from, 1 + draw() % size, flags);
    int error = errno;
    announce(fd);
    errno = error;
    return sent;
}

static _Atomic long starved;

void *__wrap_malloc(size_t size)
{
    if (once_in(faults * 4)) {
        starved++;
        return NULL;
    }
    return __real_malloc(size);
}

/* --- the far ends ------------------------------------------------------------------------------------------------ */

static unsigned char table[2 * TABLE]; /* what everyone says, from a place of his own on */

struct end {
    int fd;              /* -1: closed */
    size_t place;        /* in the table, of its first byte */
    size_t ahead;        /* the client's: so many bytes before that place, which the engine tells the pod first */
    size_t has, sent, received;
    bool resets;         /* instead of its FIN, perhaps before all is said */
    bool waits;          /* with its FIN, for the other's */
    bool lingers;        /* with its FIN, for long */
    bool finished;       /* it has sent its FIN */
    bool cut;            /* it has sent a reset */
    bool heard_fin, heard_reset;
};

struct session {
    struct end client, pod;
    struct pair *pair;
    bool leaves;   /* its first pod ends it at once */
    bool aborted;  /* or it will be */
    bool quick;    /* of the service with short timeouts */
    bool ages;     /* of that with short lives */
    bool parted;   /* aborted, unless it is at rest */
    bool retired;  /* ended once it is at rest, within a while, and asked again */
    bool refuses;  /* its first pod is not there any more */
    int door;      /* where its pod listens, and the engine connects to; or -1 */
    int twin;      /* a second descriptor of a socket of the engine's, as a child process has them; or -1 */
    enum relay_reason reason;
    struct relay_news news;
};

static struct session sessions[AT_ONCE];
static struct relay *relay;
static struct relay_service *patient, *impatient, *mortal;
static long begun, wanted, again, by_reason[RELAY_ABORTED + 2];
static uint64_t bytes, told_to_pods, told_from_pods;
static bool moved;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void bound(int fd)
{
    int size = 4096 << draw() % 5;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static int bind_door(struct sockaddr_in *address, bool small)
{
    socklen_t size = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (small)
        bound(listener);
    if (bind(listener, (struct sockaddr *)address, size))
        fail("bind");
    getsockname(listener, (struct sockaddr *)address, &size);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    return listener;
}

static int open_door(struct sockaddr_in *address, bool small)
{
    int listener = bind_door(address, small);
    if (listen(listener, 1))
        fail("listen");
    return listener;
}

/* Both ends of a new connection. */
static void connect_two(int *far, int *near)
{
    struct sockaddr_in address;
    bool small = once_in(3);
    int listener = open_door(&address, small);
    *far = socket(AF_INET, SOCK_STREAM, 0);
    if (small)
        bound(*far);
    if (connect(*far, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    *near = accept(listener, NULL, NULL);
    fcntl(*far, F_SETFL, O_NONBLOCK);
    fcntl(*near, F_SETFL, O_NONBLOCK);
    close(listener);
}

static size_t draw_size(void)
{
    static const size_t most[] = { 1, 2000, 60000, 300000 };
    return once_in(8) ? 0 : 1 + draw() % most[draw() % 4];
}

static void end_init(struct end *end)
{
    *end = (struct end){ .place = draw() % TABLE, .has = draw_size(), .resets = once_in(10) };
}

static void drop(struct end *end, bool reset)
{
    struct linger at_once = { .l_onoff = 1 };
    end->cut = reset && !end->finished;
    if (reset)
        setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(end->fd);
    end->fd = -1;
}

static void say(struct end *end)
{
    if (end->finished || end->heard_reset)
        return;
    if (end->resets && once_in(50)) {
        drop(end, true);
        return;
    }
    if (end->sent == end->has) {
        if (!end->resets && (end->heard_fin || !end->waits) && once_in(end->lingers ? 200 : 2)) {
            shutdown(end->fd, SHUT_WR);
            end->finished = moved = true;
        }
        return;
    }
    size_t at = (end->place + end->sent) % TABLE, some = end->has - end->sent;
    size_t most = 1 + draw() % TABLE;
    ssize_t sent = __real_send(end->fd, table + at, some < most ? some : most, MSG_NOSIGNAL);
    if (sent > 0) {
        end->sent += (size_t)sent;
        moved = true;
    } else if (errno != EAGAIN)
        end->heard_reset = moved = true; /* told only once: the next read would look like a FIN */
}

static void hear(struct end *end, const struct end *other)
{
    static unsigned char seen[TABLE];
    if (end->heard_fin || end->heard_reset)
        return;
    ssize_t got = __real_recv(end->fd, seen, 1 + draw() % TABLE, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    moved = true;
    if (got == 0)
        end->heard_fin = true;
    else if (got < 0)
        end->heard_reset = true;
    else if (memcmp(seen, table + (other->place + TABLE - other->ahead + end->received) % TABLE, (size_t)got))
        fail("wrong bytes");
    else {
        end->received += (size_t)got;
        bytes += (uint64_t)got;
    }
}

static void live(struct end *end, const struct end *other)
{
    if (end->fd >= 0 && !once_in(3))
        say(end);
    if (end->fd >= 0 && !once_in(3))
        hear(end, other);
    if (end->fd >= 0 && ((end->heard_fin && end->finished) || end->heard_reset))
        drop(end, false);
}

/* --- sessions ---------------------------------------------------------------------------------------------------- */

/* The engine is to connect. */
static void expect(struct session *session, struct relay_order *order)
{
    session->pod.fd = order->pod = -1;
    order->connect_within_ns = UINT64_C(60000000000);
    if (session->refuses)
        session->twin = bind_door(&order->address.v4, false); /* nobody else has its port meanwhile */
    else
        session->door = open_door(&order->address.v4, once_in(3));
}

static void start(struct session *session, int client)
{
    size_t ahead = session->client.ahead;
    struct relay_order order = {
        .service = session->quick ? impatient : patient,
        .client = client,
        .prefix = (const char *)table + (session->client.place + TABLE - ahead) % TABLE,
        .prefix_size = ahead,
    };
    if (session->ages)
        order.service = mortal;
    end_init(&session->pod);
    session->pod.waits = !session->client.waits && once_in(3);
    session->client.lingers = session->pod.lingers = session->ages || session->parted || session->retired;
    if (session->refuses || (!session->leaves && once_in(2)))
        expect(session, &order);
    else
        connect_two(&session->pod.fd, &order.pod);
    order.retry_before_ns = session->leaves ? now_ns() + UINT64_C(60000000000) : 0;
    order.token = session;
    if (session->leaves && once_in(2))
        drop(&session->pod, once_in(2));
    if (session->twin < 0 && order.pod >= 0 && once_in(4))
        session->twin = dup(order.pod);
    session->pair = relay_start(relay, &order);
    if (session->pair == NULL)
        fail("relay_start");
}

static void begin(struct session *session)
{
    int client;
    *session = (struct session){ .leaves = once_in(8), .quick = once_in(15), .twin = -1, .door = -1 };
    session->refuses = !session->leaves && once_in(8);
    session->aborted = once_in(25);
    session->parted = once_in(25);
    session->retired = once_in(10);
    session->ages = !session->quick && once_in(8);
    end_init(&session->client);
    session->client.waits = once_in(3);
    session->client.ahead = once_in(2) ? 0 : 1 + draw() % 200;
    connect_two(&session->client.fd, &client);
    start(session, client);
    begun++;
}

/* The pod accepts, unless the connection is over before it does. */
static void answer_door(struct session *session)
{
    session->pod.fd = accept(session->door, NULL, NULL);
    if (session->pod.fd >= 0)
        fcntl(session->pod.fd, F_SETFL, O_NONBLOCK);
    else if (!session->reason)
        return;
    close(session->door);
    session->door = -1;
    moved = true;
}

static void live_on(struct session *session)
{
    if (session->door >= 0 && once_in(2))
        answer_door(session);
    if (session->leaves && session->pod.fd >= 0 && once_in(3))
        drop(&session->pod, once_in(2));
    live(&session->client, &session->pod);
    live(&session->pod, &session->client);
    if (!session->reason && session->aborted && once_in(200))
        relay_abort(relay, session->pair, RELAY_ABORTED);
    if (!session->reason && session->parted && once_in(200))
        relay_part(relay, session->pair, RELAY_ABORTED + 1);
    if (!session->reason && session->retired && once_in(20))
        relay_retire(relay, session->pair, 1 + draw() % 40000000);
    if (session->reason && session->twin >= 0 && once_in(20)) {
        close(session->twin);
        session->twin = -1;
    }
}

static bool ended_at_rest(const struct session *session)
{
    return session->reason == RELAY_MAX_AGE || session->reason == RELAY_RETIRED || session->reason == RELAY_ABORTED + 1;
}

/* A stream that ends by a FIN is whole. */
static void check_whole(const struct session *session, const struct end *end, const struct end *other)
{
    bool whole = end->received == other->sent + other->ahead && !other->cut;
    bool ended_by_relay = ended_at_rest(session) || session->reason == RELAY_IDLE_TIMEOUT;
    if (end->heard_fin && !ended_by_relay && !whole)
        fail("half a stream looks whole");
}

static bool may_end_early(const struct session *session)
{
    bool resets = session->client.resets || session->pod.resets || session->leaves;
    bool no_memory = starved && session->reason == RELAY_ABORTED;
    bool by_us = session->aborted || session->parted || session->reason == RELAY_RETIRED;
    return resets || by_us || session->quick || session->ages || no_memory;
}

static void check(const struct session *session)
{
    const struct end *client = &session->client, *pod = &session->pod;
    const struct relay_news *news = &session->news;
    check_whole(session, client, pod);
    check_whole(session, pod, client);
    if (news->to_pod > client->sent || news->from_pod > pod->sent || pod->received > news->to_pod + client->ahead ||
        client->received > news->from_pod)
        fail("wrong count");
    /* Nothing is under way when one ends at rest: what was read has been taken. What is said at that very moment is
     * lost, and its end hears a reset. */
    if (ended_at_rest(session) && ((client->heard_fin && client->received != news->from_pod) ||
                    (pod->heard_fin && pod->received != news->to_pod + client->ahead)))
        fail("not at rest when it ended");
    if (session->reason == RELAY_COMPLETED) {
        bool all = client->received == pod->has && pod->received == client->has + client->ahead;
        /* a pod that left first may have closed before it heard */
        if (!session->leaves && !all)
            fail("bytes are missing");
        if (client->resets || (pod->resets && !session->leaves))
            fail("a reset became a clean end");
    } else if (!may_end_early(session))
        fail("ended early");
}

static bool is_over(struct session *session)
{
    return session->reason && session->client.fd < 0 && session->pod.fd < 0 && session->twin < 0 && session->door < 0;
}

static void try_again(struct session *session, const struct relay_news *news)
{
    bool refused = session->refuses && news->error == ECONNREFUSED;
    bool reset_at_once = session->pod.cut && news->error == ECONNRESET;
    bool foreseen = news->reason == RELAY_UNCONNECTED ? refused || reset_at_once : session->leaves;
    if (!foreseen || news->to_pod || news->from_pod || news->client < 0)
        fail("wrongly given back");
    if (session->pod.fd >= 0)
        drop(&session->pod, true);
    again++;
    session->leaves = session->refuses = false;
    session->reason = RELAY_UNDECIDED;
    start(session, news->client);
}

static void take_back(int client)
{
    struct linger at_once = { .l_onoff = 1 };
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client);
}

/* The news of an end. */
static void take_end(struct session *session, const struct relay_news *news)
{
    by_reason[news->reason]++;
    told_to_pods += news->to_pod;
    told_from_pods += news->from_pod;
    session->news = *news;
    session->reason = news->reason;
    if (news->reason == RELAY_UNTOUCHED || news->reason == RELAY_UNCONNECTED)
        try_again(session, news);
    else if (news->client >= 0)
        take_back(news->client); /* ended by us while it connected */
}

static void hear_relay(void)
{
    struct relay_news news;
    relay_hear(relay);
    while (relay_next(relay, &news)) {
        moved = true;
        if (news.error && news.reason != RELAY_UNCONNECTED)
            fail("could not be watched");
        if (news.reason)
            take_end(news.token, &news);
        else if (news.waited_ns > UINT64_C(60000000000))
            fail("waited for too long");
    }
}

/* What the services count, while they count and when all is over. */
static void check_counts(bool over)
{
    struct relay_service *services[] = { patient, impatient, mortal };
    uint64_t to_pods = 0, from_pods = 0, more_to_pods, more_from_pods;
    for (int i = 0; i < 3; i++) {
        relay_service_moved(services[i], &more_to_pods, &more_from_pods);
        to_pods += more_to_pods;
        from_pods += more_from_pods;
    }
    if (to_pods < told_to_pods || from_pods < told_from_pods)
        fail("a service counts less than its connections");
    if (over && (to_pods > told_to_pods || from_pods > told_from_pods))
        fail("a service counts more than its connections");
}

static void turn(void)
{
    moved = false;
    for (int i = 0; i < AT_ONCE; i++) {
        struct session *session = &sessions[i];
        if (session->pair == NULL && begun < wanted)
            begin(session);
        if (session->pair == NULL)
            continue;
        live_on(session);
        if (is_over(session)) {
            check(session);
            session->pair = NULL;
        }
    }
    relay_flush(relay);
    hear_relay();
    check_counts(false);
}

static bool any(void)
{
    for (int i = 0; i < AT_ONCE; i++)
        if (sessions[i].pair != NULL)
            return true;
    return begun < wanted;
}

static void tell_stuck(void)
{
    for (int i = 0; i < AT_ONCE; i++) {
        const struct session *it = &sessions[i];
        if (it->pair != NULL)
            fprintf(stderr, "%d: reason %d leaves %d client %zu/%zu/%zu fin %d%d pod %zu/%zu/%zu fin %d%d\n", i,
                    it->reason, it->leaves, it->client.received, it->client.sent, it->client.has,
                    it->client.finished, it->client.heard_fin, it->pod.received, it->pod.sent, it->pod.has,
                    it->pod.finished, it->pod.heard_fin);
    }
}

/* The last ones are cut off where they are: nothing of them is left. */
static void stop(void)
{
    for (int i = 0; i < AT_ONCE; i++)
        begin(&sessions[i]);
    relay_flush(relay);
    relay_stop(relay);
    relay_close(relay);
    relay_service_close(patient);
    relay_service_close(impatient);
    relay_service_close(mortal);
    for (int i = 0; i < AT_ONCE; i++) {
        close(sessions[i].client.fd);
        close(sessions[i].pod.fd);
        close(sessions[i].twin);
        close(sessions[i].door);
    }
}

int main(int count, char **arguments)
{
    if (count != 5)
        return 2;
    wanted = atol(arguments[1]);
    seed = strtoull(arguments[2], NULL, 10) * 2 + 1;
    for (size_t i = 0; i < TABLE; i++)
        table[i] = table[i + TABLE] = (unsigned char)draw();
    struct relay_rules never = { .keepalive_s = 30 };
    struct relay_rules soon = { .idle_ns = UINT64_C(40000000), .half_close_ns = UINT64_C(20000000) };
    struct relay_rules aging = { .age_ns = UINT64_C(20000000), .quiet_ns = UINT64_C(1000000) };
    mortal = relay_service_open(&aging);
    patient = relay_service_open(&never);
    impatient = relay_service_open(&soon);
    relay = relay_open(atoi(arguments[3]), atoi(arguments[4]));
    if (relay == NULL || patient == NULL || impatient == NULL || mortal == NULL)
        fail("relay_open");
    uint64_t last = now_ns();
    while (any()) {
        turn();
        if (moved)
            last = now_ns();
        else if (now_ns() - last > UINT64_C(1000000000) * HANG_S) {
            tell_stuck();
            fail("hangs");
        }
    }
    check_counts(true);
    stop();
    printf("%ld sessions, %llu bytes, none wrong; %ld given back, %ld times no memory; by reason:", begun,
           (unsigned long long)bytes, again, (long)starved);
    for (int i = 1; i < RELAY_ABORTED + 2; i++)
        printf(" %ld", by_reason[i]);
    printf("\n");
    return 0;
}
