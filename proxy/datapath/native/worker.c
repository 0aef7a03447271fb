/* A thread's turns: take events and orders, look at the timers, let every pair that has something to do have its
 * turn, tell the news. Nothing wakes it while there is nothing of these.
 */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { STACK_SIZE = 256 << 10 };

static struct pair *of_all(struct link *link)
{
    return (struct pair *)((char *)link - offsetof(struct pair, all));
}

static struct pair *of_ready(struct link *link)
{
    return (struct pair *)((char *)link - offsetof(struct pair, ready));
}

static struct pair *of_timer(struct link *link)
{
    return (struct pair *)((char *)link - offsetof(struct pair, timer));
}

void worker_queue(struct worker *worker, struct pair *pair)
{
    link_remove(&pair->ready);
    link_append(&worker->ready, &pair->ready);
}

/* --- one turn ------------------------------------------------------------------------------------------------- */

/* An edge that is forgotten does not come again: all of it is kept with the side. */
static void note_event(struct worker *worker, const struct epoll_event *event)
{
    struct side *side = event->data.ptr;
    if (side == NULL)
        return; /* the bell: each ring is an edge, nobody has to stop it */
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side->readable = true;
    if (event->events & EPOLLOUT)
        side->writable = true;
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        side->short_is_not_dry = true;
    if (event->events & EPOLLERR)
        side->broken = true;
    worker_queue(worker, side->pair);
}

static void look_at_timers(struct worker *worker)
{
    struct link due;
    link_init(&due);
    wheel_turn(&worker->wheel, worker->now, &due);
    for (struct link *link; (link = link_take(&due)) != NULL;)
        pair_expire(worker, of_timer(link));
}

/* Unless it is over already. */
static void end(struct worker *worker, struct pair *pair, enum note_kind how)
{
    if (!pair->reason && how == NOTE_ABORT)
        pair_abort(worker, pair);
    if (!pair->reason && how == NOTE_RETIRE)
        pair_retire(worker, pair);
    if (!pair->reason)
        worker_queue(worker, pair);
    pair_release(pair);
}

static void obey(struct worker *worker, const struct note *note)
{
    if (note->kind == NOTE_START)
        pair_begin(worker, note->pair);
    else
        end(worker, note->pair, note->kind);
}

static void read_orders(struct worker *worker)
{
    struct note *note = mailbox_take(&worker->inbox);
    while (note != NULL) {
        struct note *next = note->next; /* the note may be gone once it was obeyed */
        obey(worker, note);
        note = next;
    }
}

/* Each once: who has more to do is queued anew, behind those whom the next events bring. */
static void drive_ready(struct worker *worker)
{
    struct link ready;
    link_init(&ready);
    link_move(&worker->ready, &ready);
    for (struct link *link; (link = link_take(&ready)) != NULL;)
        pair_drive(worker, of_ready(link));
}

static void tell_news(struct worker *worker)
{
    if (worker->news.newest != NULL && mailbox_post(worker->outbox, &worker->news))
        bell_ring(worker->outbox_bell);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    bool stopping = false;
    prctl(PR_SET_NAME, "headway-relay");
    while (!stopping) {
        int count = wait_for_events(worker);
        worker->now = clock_ns();
        for (int i = 0; i < count; i++)
            note_event(worker, &worker->events[i]);
        look_at_timers(worker);
        stopping = atomic_load_explicit(&worker->stopping, memory_order_acquire); /* before the last orders */
        read_orders(worker);
        drive_ready(worker);
        while (stopping && !link_alone(&worker->pairs))
            pair_end(worker, of_all(worker->pairs.next), RELAY_ABORTED);
        tell_news(worker);
    }
    return NULL;
}

/* --- the thread ----------------------------------------------------------------------------------------------- */

/* The thread runs no signal's handler: those are for the caller's. */
static int spawn(struct worker *worker)
{
    sigset_t every, before;
    pthread_attr_t attributes;
    sigfillset(&every);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    int error = pthread_create(&worker->thread, &attributes, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

void worker_free(struct worker *worker)
{
    close(worker->epoll);
    close(worker->bell);
    free(worker);
}

struct worker *worker_new(struct mailbox *outbox, int outbox_bell, int number, bool spin)
{
    struct worker *worker = aligned_alloc(_Alignof(struct worker), sizeof *worker);
    if (worker == NULL)
        return NULL;
    memset(worker, 0, offsetof(struct worker, buffer));
    worker->outbox = outbox;
    worker->outbox_bell = outbox_bell;
    worker->number = number;
    worker->spin = spin;
    worker->luck = clock_ns() | 1;
    link_init(&worker->pairs);
    link_init(&worker->ready);
    wheel_init(&worker->wheel, clock_ns());
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ring = { .events = EPOLLIN | EPOLLET, .data.ptr = NULL };
    int error = epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->bell, &ring) ? errno : spawn(worker);
    if (error) {
        worker_free(worker);
        errno = error;
        return NULL;
    }
    return worker;
}
