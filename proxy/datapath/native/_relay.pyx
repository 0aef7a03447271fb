# cython: language_level=3
"""Brings relay.h to Python, and nothing else. One thread calls it: that of the loop."""

from logging import getLogger
from socket import if_nametoindex

from cpython.exc cimport PyErr_SetFromErrno
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport close, getpid

cdef extern from "<arpa/inet.h>" nogil:
    enum: AF_INET, AF_INET6
    int inet_pton(int family, const char *text, void *to)
    uint16_t htons(uint16_t port)

cdef extern from "relay.h" nogil:
    enum: RELAY_THREADS_MAX

    enum relay_reason:
        RELAY_UNDECIDED
        RELAY_COMPLETED
        RELAY_CLIENT_RESET
        RELAY_POD_RESET
        RELAY_IDLE_TIMEOUT
        RELAY_HALF_CLOSE_TIMEOUT
        RELAY_MAX_AGE
        RELAY_RETIRED
        RELAY_UNCONNECTED
        RELAY_UNTOUCHED
        RELAY_ABORTED

    struct relay:
        pass
    struct relay_service:
        pass
    struct pair:
        pass

    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_scope_id
        in6_addr sin6_addr
    union relay_address:
        unsigned short family
        sockaddr_in v4
        sockaddr_in6 v6

    struct relay_rules:
        uint64_t idle_ns
        uint64_t half_close_ns
        uint64_t age_ns
        uint64_t quiet_ns
        unsigned int keepalive_s
        unsigned int user_timeout_ms

    struct relay_order:
        relay_service *service
        int client
        int pod
        relay_address address
        uint64_t connect_within_ns
        uint64_t retry_before_ns
        const char *prefix
        size_t prefix_size
        void *token

    struct relay_news:
        void *token
        uint64_t connect_ns
        uint64_t waited_ns
        bint unasked
        relay_reason reason
        uint64_t to_pod
        uint64_t from_pod
        bint pod_first
        int client
        int error

    relay_service *relay_service_open(const relay_rules *rules)
    void relay_service_moved(relay_service *service, uint64_t *to_pods, uint64_t *from_pods)
    void relay_service_close(relay_service *service)

    int relay_accept(int listener)
    relay *relay_open(int threads, bint spin)
    int relay_bell(const relay *relay)
    pair *relay_start(relay *relay, const relay_order *order)
    void relay_abort(relay *relay, pair *pair, relay_reason reason)
    void relay_part(relay *relay, pair *pair, relay_reason reason)
    void relay_retire(relay *relay, pair *pair, uint64_t within_ns)
    uint64_t relay_begun_at(const pair *pair)
    void relay_flush(relay *relay)
    void relay_hear(relay *relay)
    bint relay_next(relay *relay, relay_news *news)
    void relay_stop(relay *relay)
    void relay_close(relay *relay)

THREADS_MAX = RELAY_THREADS_MAX
COMPLETED, CLIENT_RESET, POD_RESET = RELAY_COMPLETED, RELAY_CLIENT_RESET, RELAY_POD_RESET
IDLE_TIMEOUT, HALF_CLOSE_TIMEOUT = RELAY_IDLE_TIMEOUT, RELAY_HALF_CLOSE_TIMEOUT
MAX_AGE, RETIRED = RELAY_MAX_AGE, RELAY_RETIRED
UNCONNECTED, UNTOUCHED, ABORTED = RELAY_UNCONNECTED, RELAY_UNTOUCHED, RELAY_ABORTED


log = getLogger("headway.relay")


def accept(int listener):
    """The descriptor of a new connection, non-blocking; -1 when there is none. Raises OSError."""
    cdef int client = relay_accept(listener)
    if client < 0 and errno not in (EAGAIN, EINTR, ECONNABORTED):
        PyErr_SetFromErrno(OSError)
    return client


cdef uint64_t _ns(double seconds):
    return <uint64_t>(seconds * 1e9)


cdef class Service:
    """What holds for all pairs of one service, and what they have moved."""

    cdef relay_service *_service

    def __cinit__(self, double idle_s, double half_close_s, double max_age_s, double quiet_s,
                  double keepalive_s, double user_timeout_s):
        cdef relay_rules rules
        rules.idle_ns = _ns(idle_s)
        rules.half_close_ns = _ns(half_close_s)
        rules.age_ns = _ns(max_age_s)
        rules.quiet_ns = _ns(quiet_s)
        rules.keepalive_s = round(keepalive_s) or keepalive_s > 0
        rules.user_timeout_ms = round(user_timeout_s * 1000)
        self._service = relay_service_open(&rules)
        if self._service is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._service is not NULL:
            relay_service_close(self._service)

    def moved(self):
        cdef uint64_t to_pods, from_pods
        relay_service_moved(self._service, &to_pods, &from_pods)
        return to_pods, from_pods


cdef class Pair:
    """Two sockets under way. The engine holds it from start() until news() has told its end."""

    cdef pair *_pair  # NULL outside of that time
    cdef Service _service  # has to outlive it
    cdef readonly object relay, owner, ear
    cdef public long asked

    def __init__(self, relay, owner, ear):
        self.relay = relay
        self.owner = owner
        self.ear = ear

    @property
    def begun_at(self):
        return relay_begun_at(self._pair) * 1e-9 if self._pair is not NULL else float("inf")


cdef class Engine:
    """The threads. When it is dropped they end, and every pair is reset."""

    cdef relay *_relay
    cdef int _pid

    def __cinit__(self, int threads, bint spin):
        if not 1 <= threads <= RELAY_THREADS_MAX:
            raise ValueError(f"{threads} threads")
        self._pid = getpid()
        self._relay = relay_open(threads, spin)
        if self._relay is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        cdef relay_news news
        if self._relay is NULL or self._is_a_fork():
            return
        relay_stop(self._relay)
        relay_hear(self._relay)
        while relay_next(self._relay, &news):
            if news.reason != RELAY_UNDECIDED:
                _let_go(<Pair>news.token)
            if news.client >= 0:
                close(news.client)
        relay_close(self._relay)

    cdef bint _is_a_fork(self):
        """A child process has this memory, but not the threads."""
        return getpid() != self._pid

    def fileno(self):
        return relay_bell(self._relay)

    def start(self, Pair pair not None, Service service not None, int client, int pod, address,
              double connect_within_s, double retry_before_s, bytes prefix not None):
        """`pod`: a connected socket; or -1, for one that is to be connected to `address`."""
        cdef relay_order order
        if pod < 0:
            _put_address(&order.address, address[0], address[1])
        order.service = service._service
        order.client = client
        order.pod = pod
        order.connect_within_ns = _ns(connect_within_s)
        order.retry_before_ns = _ns(retry_before_s)
        order.prefix = prefix
        order.prefix_size = len(prefix)
        order.token = <void *>pair
        pair._pair = relay_start(self._relay, &order)
        if pair._pair is NULL:
            raise MemoryError
        pair._service = service
        Py_INCREF(pair)

    def abort(self, Pair pair not None, int reason):
        if pair._pair is not NULL:
            relay_abort(self._relay, pair._pair, <relay_reason>reason)

    def part(self, Pair pair not None, int reason):
        if pair._pair is not NULL:
            relay_part(self._relay, pair._pair, <relay_reason>reason)

    def retire(self, Pair pair not None, double within_s):
        if pair._pair is not NULL:
            relay_retire(self._relay, pair._pair, _ns(within_s))

    def flush(self):
        relay_flush(self._relay)

    def hear(self):
        """Tell everyone their news. Who cannot bear it keeps nobody else's away."""
        cdef relay_news news
        relay_hear(self._relay)
        while relay_next(self._relay, &news):
            pair = <Pair>news.token
            if news.reason != RELAY_UNDECIDED:
                _let_go(pair)
            try:
                _tell(pair, &news)
            except Exception:
                log.exception("somebody could not bear the news of a connection")

    def stop(self):
        if not self._is_a_fork():
            with nogil:
                relay_stop(self._relay)


cdef _put_address(relay_address *to, str ip, uint16_t port):
    memset(to, 0, sizeof(relay_address))
    if inet_pton(AF_INET, ip.encode(), &to.v4.sin_addr) == 1:
        to.v4.sin_port = htons(port)
        to.family = AF_INET
        return
    host, _, zone = ip.partition("%")  # RFC 4007 11
    if inet_pton(AF_INET6, host.encode(), &to.v6.sin6_addr) != 1:
        raise ValueError(f"no IP address: {ip}")
    to.v6.sin6_port = htons(port)
    to.v6.sin6_scope_id = _index_of(zone)
    to.family = AF_INET6


cdef _tell(Pair pair, relay_news *news):
    connect_s = news.connect_ns * 1e-9
    if news.reason == RELAY_UNDECIDED:
        pair.ear.answered(connect_s, news.waited_ns * 1e-9, bool(news.unasked))
    else:
        pair.relay.heard_end(pair, <int>news.reason, news.to_pod, news.from_pod, bool(news.pod_first), connect_s,
                             news.client, news.error)


def _index_of(zone):
    """Of a network interface; 0 when there is none of that name: the kernel refuses to connect then."""
    try:
        return if_nametoindex(zone) if zone else 0
    except OSError:
        return 0


cdef _let_go(Pair pair):
    pair._pair = NULL
    Py_DECREF(pair)
