/* A list through its members. A link that is in no list is a list of its own: empty. */
#ifndef HEADWAY_LIST_H
#define HEADWAY_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

static inline void link_init(struct link *link)
{
    link->prev = link->next = link;
}

static inline bool link_alone(const struct link *link)
{
    return link->next == link;
}

static inline void link_append(struct link *list, struct link *link)
{
    link->prev = list->prev;
    link->next = list;
    list->prev->next = link;
    list->prev = link;
}

static inline void link_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

/* Take the first member off; NULL when there is none. */
static inline struct link *link_take(struct link *list)
{
    struct link *first = list->next;
    if (first == list)
        return NULL;
    link_remove(first);
    return first;
}

/* Append all members of one list to another. */
static inline void link_move(struct link *from, struct link *to)
{
    if (link_alone(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    link_init(from);
}

#endif
