// Sends one kind of load to one address, and prints what came of it as JSON.

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

#define EVENTS 512
#define GRACE_NS 2000000000ULL  // for the last replies of an open loop

uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

void fail(const char *what)
{
    fprintf(stderr, "generator: %s (%s)\n", what, strerror(errno));
    exit(1);
}

// CPU time in ns of another process and all its threads, those that have ended too.
static double cpu_s(int pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        fail("a watched process is gone");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_cpu(struct generator *g, double sign)
{
    for (int i = 0; i < g->options.watching; i++)
        g->window.cpu[i] += sign * cpu_s(g->options.watched[i]);
    g->window.own_cpu += sign * cpu_s(getpid());
}

static void turn_window(struct generator *g)
{
    if (!g->window.begun && g->now >= g->window.begin) {
        read_cpu(g, -1);
        g->window.begun = true;
        if (g->options.mode != OPEN) {  // whose requests are those that were due between begin and end
            g->now = clock_ns();
            g->window.end += g->now - g->window.begin;  // what was late to begin ends later
            g->window.begin = g->now;
        }
    }
    if (!g->window.over && g->now >= g->window.end) {
        read_cpu(g, 1);
        g->window.over = true;
        if (g->options.mode != OPEN)
            g->window.end = g->now;
    }
}

static bool done(const struct generator *g)
{
    if (!g->window.over || g->options.mode != OPEN || g->now > g->window.end + GRACE_NS)
        return g->window.over;
    for (int i = 0; i < g->options.connections; i++)
        if (g->connections[i].waiting > 0)
            return false;
    return true;
}

static struct timespec until_next(const struct generator *g)
{
    uint64_t next = g->window.over ? g->now + 10000000 : g->window.begun ? g->window.end : g->window.begin;
    if (g->options.mode == OPEN && !g->window.over && g->next_due < next)
        next = g->next_due;
    uint64_t left = next > g->now ? next - g->now : 0;
    return (struct timespec){.tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000)};
}

static void run(struct generator *g)
{
    struct epoll_event events[EVENTS];
    g->now = clock_ns();
    g->window.begin = g->now + (uint64_t)(g->options.warm_up * 1e9);
    g->window.end = g->window.begin + (uint64_t)(g->options.seconds * 1e9);
    if (g->options.mode == OPEN)
        start_schedule(g);
    else if (g->options.mode != UPLOAD)
        for (int i = 0; i < g->options.connections; i++)
            ask(g, &g->connections[i], g->now);
    while (!done(g)) {
        struct timespec left = until_next(g);
        int n = epoll_pwait2(g->epoll, events, EVENTS, &left, NULL);
        if (n < 0 && errno != EINTR)
            fail("epoll_pwait2");
        g->now = clock_ns();
        turn_window(g);
        if (g->options.mode == OPEN)
            send_due(g);
        for (int i = 0; i < n; i++)
            on_event(g, events[i].data.ptr, events[i].events);
    }
    for (int i = 0; i < g->options.connections && g->options.mode == OPEN; i++)
        g->window.unanswered += g->connections[i].waiting;
}

// One connection after the other serves a request; then all stay until our input ends.
static void hold(struct generator *g)
{
    static char reply[65536];
    for (int i = 0; i < g->options.connections; i++) {
        open_connection(g, &g->connections[i], true);
        int fd = g->connections[i].fd;
        if (send(fd, g->request, g->request_bytes, MSG_NOSIGNAL) != (ssize_t)g->request_bytes)
            fail("cannot send");
        for (size_t got = 0; got < g->reply_bytes;) {
            ssize_t n = recv(fd, reply, sizeof reply, 0);
            if (n <= 0)
                fail("a reply is missing");
            got += (size_t)n;
        }
    }
    printf("held\n");
    fflush(stdout);
    while (read(0, reply, sizeof reply) > 0)
        ;
}

static void print_results(const struct generator *g)
{
    const struct window *w = &g->window;
    printf("{\"seconds\": %.6f, \"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", ",
           (double)(w->end - w->begin) / 1e9, w->requests, w->bytes);
    printf("\"errors\": %" PRIu64 ", \"wrong\": %" PRIu64 ", \"unanswered\": %" PRIu64 ", ", w->errors, w->wrong,
           w->unanswered);
    printf("\"own_cpu\": %.6f, \"cpu\": [", w->own_cpu);
    for (int i = 0; i < g->options.watching; i++)
        printf("%s%.6f", i ? ", " : "", w->cpu[i]);
    printf("], ");
    print_histogram("latency", &w->latency);
    printf(", ");
    print_histogram("late", &w->late);
    printf("}\n");
}

static enum mode mode_of(const char *name)
{
    static const char *const names[] = {"kept", "fresh", "open", "upload", "hold"};
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    fail("unknown --mode");
}

static void set(struct options *o, int option, const char *text)
{
    switch (option) {
    case 'm': o->mode = mode_of(text); break;
    case 'i': if (inet_pton(AF_INET, text, &o->to.sin_addr) != 1) fail("--ip is not one"); break;
    case 'p': o->to.sin_port = htons((uint16_t)atoi(text)); break;
    case 'u': o->path = text; break;
    case 'c': o->connections = atoi(text); break;
    case 's': o->seconds = atof(text); break;
    case 'w': o->warm_up = atof(text); break;
    case 'r': o->rate = atof(text); break;
    case 'e': o->seed = strtoull(text, NULL, 10); break;
    case 'x': if (o->watching < WATCHED_AT_MOST) o->watched[o->watching++] = atoi(text); break;
    default: fail("unknown option");
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"mode", 1, 0, 'm'},    {"ip", 1, 0, 'i'},      {"port", 1, 0, 'p'}, {"path", 1, 0, 'u'},
        {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"warm-up", 1, 0, 'w'}, {"rate", 1, 0, 'r'},
        {"seed", 1, 0, 'e'},    {"watch", 1, 0, 'x'},   {0}};
    static struct generator g = {
        .options = {.to = {.sin_family = AF_INET}, .path = "/", .connections = 1, .seconds = 1, .rate = 1000, .seed = 1}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        set(&g.options, option, optarg);
    prctl(PR_SET_PDEATHSIG, 9);
    prctl(PR_SET_TIMERSLACK, 1);  // else the kernel lets us sleep 50 us too long
    g.epoll = epoll_create1(EPOLL_CLOEXEC);
    g.ring = g.options.mode == OPEN ? RING_OF_OPEN : 1;
    prepare(&g);
    g.connections = calloc((size_t)g.options.connections, sizeof *g.connections);
    if (g.options.mode == HOLD) {
        hold(&g);
        return 0;
    }
    for (int i = 0; i < g.options.connections; i++) {
        g.connections[i].since = calloc(g.ring, sizeof(uint64_t));
        open_connection(&g, &g.connections[i], true);
    }
    run(&g);
    print_results(&g);
    return 0;
}
