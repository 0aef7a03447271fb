/* Takes the connections of clients and opens those to pods. Never binds before it connects: that would take a
 * source port from every pod at once (cilium#36427).
 */
#define _GNU_SOURCE /* accept4() */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    KEEPALIVE_PROBES = 3,   /* a third of the idle time between them: dead after twice the idle time */
    SUSPECT_NS = 100000000, /* in sockets.py, too: what takes longer may have waited for us; the kernel knows */
    SHORT_NS = 1000000000,  /* a connection that does not live for so long is spared five system calls */
};

int relay_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value); /* without it, it works as well */
}

static bool is_loopback(const union relay_address *address)
{
    if (address->family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

/* What proxy/datapath/sockets.py sets, and why. */
void connect_tune(const struct pair *pair)
{
    const struct relay_rules *rules = &pair->service->rules;
    int fd = pair->pod.fd, keepalive_s = (int)rules->keepalive_s;
    if (keepalive_s) {
        int probe_s = keepalive_s / KEEPALIVE_PROBES;
        set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_s);
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_s ? probe_s : 1);
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    }
    if (rules->user_timeout_ms && !is_loopback(&pair->address))
        set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)rules->user_timeout_ms);
}

int connect_begin(struct pair *pair)
{
    const union relay_address *address = &pair->address;
    socklen_t size = address->family == AF_INET ? sizeof address->v4 : sizeof address->v6;
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    pair->pod.fd = fd;
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    pair->waiting_since = clock_ns();
    pair->connect_before_ns = pair->waiting_since + pair->connect_within_ns;
    pair->tune_at_ns = pair->waiting_since + SHORT_NS;
    return connect(fd, &address->any, size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

int connect_outcome(int fd)
{
    struct pollfd settled = { .fd = fd, .events = POLLOUT };
    int error;
    socklen_t size = sizeof error;
    if (poll(&settled, 1, 0) == 0)
        return EINPROGRESS;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
        return errno;
    return error || !(settled.revents & (POLLERR | POLLHUP)) ? error : ECONNRESET; /* it was told already */
}

/* How long the pod took to answer the SYN. */
uint64_t connect_took(int fd, uint64_t seen_ns)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    if (seen_ns < SUSPECT_NS || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) || info.tcpi_total_retrans)
        return seen_ns;
    return (uint64_t)info.tcpi_rtt * 1000;
}
