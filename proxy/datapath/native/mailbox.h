/* Brings notes from any threads to one, without a lock: a thread that is put to sleep holds up no other.
 *
 * Notes are parts of what they are about, so posting never allocates and cannot fail.
 */
#ifndef HEADWAY_MAILBOX_H
#define HEADWAY_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum note_kind { NOTE_START, NOTE_ABORT, NOTE_RETIRE, NOTE_FIRST_BYTE, NOTE_END };

struct pair;

struct note {
    struct note *next;
    struct pair *pair;
    enum note_kind kind;
};

/* Notes that are to be posted together. Each points to the one before it. */
struct chain {
    struct note *newest, *oldest;
};

struct mailbox {
    _Atomic(struct note *) newest;
};

static inline void chain_add(struct chain *chain, struct note *note)
{
    note->next = chain->newest;
    chain->newest = note;
    if (chain->oldest == NULL)
        chain->oldest = note;
}

/* True when the box was empty: then its reader has to be woken, else somebody has done it already. */
static inline bool mailbox_post(struct mailbox *box, struct chain *chain)
{
    struct note *before = atomic_load_explicit(&box->newest, memory_order_relaxed);
    do
        chain->oldest->next = before;
    while (!atomic_compare_exchange_weak_explicit(&box->newest, &before, chain->newest, memory_order_release,
                                                  memory_order_relaxed));
    *chain = (struct chain){ NULL, NULL };
    return before == NULL;
}

/* All notes, the oldest first. */
static inline struct note *mailbox_take(struct mailbox *box)
{
    struct note *note = atomic_exchange_explicit(&box->newest, NULL, memory_order_acquire);
    struct note *oldest = NULL;
    while (note != NULL) {
        struct note *next = note->next;
        note->next = oldest;
        oldest = note;
        note = next;
    }
    return oldest;
}

#endif
