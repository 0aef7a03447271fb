# cython: language_level=3
"""Brings relay.h to Python, and nothing else. One thread calls it: that of the loop."""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint64_t
from posix.unistd cimport close, getpid

cdef extern from "relay.h" nogil:
    enum: RELAY_THREADS_MAX

    enum relay_reason:
        RELAY_UNDECIDED
        RELAY_COMPLETED
        RELAY_CLIENT_RESET
        RELAY_POD_RESET
        RELAY_IDLE_TIMEOUT
        RELAY_HALF_CLOSE_TIMEOUT
        RELAY_UNTOUCHED
        RELAY_ABORTED

    struct relay:
        pass
    struct relay_service:
        pass
    struct pair:
        pass

    struct relay_order:
        relay_service *service
        int client
        int pod
        bint client_is_local
        uint64_t retry_before_ns
        void *token

    struct relay_news:
        void *token
        uint64_t waited_ns
        relay_reason reason
        uint64_t to_pod
        uint64_t from_pod
        bint pod_first
        int client
        int error

    relay_service *relay_service_open(uint64_t idle_ns, uint64_t half_close_ns)
    void relay_service_moved(relay_service *service, uint64_t *to_pods, uint64_t *from_pods)
    void relay_service_close(relay_service *service)

    relay *relay_open(int threads, bint spin)
    int relay_bell(const relay *relay)
    pair *relay_start(relay *relay, const relay_order *order)
    void relay_abort(relay *relay, pair *pair, relay_reason reason)
    void relay_leave(relay *relay, pair *pair, relay_reason reason)
    void relay_flush(relay *relay)
    void relay_hear(relay *relay)
    bint relay_next(relay *relay, relay_news *news)
    void relay_stop(relay *relay)
    void relay_close(relay *relay)

THREADS_MAX = RELAY_THREADS_MAX
COMPLETED, CLIENT_RESET, POD_RESET = RELAY_COMPLETED, RELAY_CLIENT_RESET, RELAY_POD_RESET
IDLE_TIMEOUT, HALF_CLOSE_TIMEOUT = RELAY_IDLE_TIMEOUT, RELAY_HALF_CLOSE_TIMEOUT
UNTOUCHED, ABORTED = RELAY_UNTOUCHED, RELAY_ABORTED


cdef uint64_t _ns(double seconds):
    return <uint64_t>(seconds * 1e9)


cdef class Service:
    """What holds for all pairs of one service, and what they have moved."""

    cdef relay_service *_service

    def __cinit__(self, double idle_s, double half_close_s):
        self._service = relay_service_open(_ns(idle_s), _ns(half_close_s))
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
    cdef readonly object relay
    cdef public object owner, on_pod_byte, on_end

    def __init__(self, relay, owner, on_pod_byte, on_end):
        self.relay = relay
        self.owner = owner
        self.on_pod_byte = on_pod_byte
        self.on_end = on_end


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

    def start(self, Pair pair not None, Service service not None, int client, int pod,
              bint client_is_local, double retry_before_s):
        cdef relay_order order
        order.service = service._service
        order.client = client
        order.pod = pod
        order.client_is_local = client_is_local
        order.retry_before_ns = _ns(retry_before_s)
        order.token = <void *>pair
        pair._pair = relay_start(self._relay, &order)
        if pair._pair is NULL:
            raise MemoryError
        pair._service = service
        Py_INCREF(pair)

    def abort(self, Pair pair not None, int reason):
        if pair._pair is not NULL:
            relay_abort(self._relay, pair._pair, <relay_reason>reason)

    def leave(self, Pair pair not None, int reason):
        if pair._pair is not NULL:
            relay_leave(self._relay, pair._pair, <relay_reason>reason)

    def flush(self):
        relay_flush(self._relay)

    def news(self):
        cdef relay_news news
        first_bytes, ends = [], []
        relay_hear(self._relay)
        while relay_next(self._relay, &news):
            pair = <Pair>news.token
            if news.reason == RELAY_UNDECIDED:
                first_bytes.append((pair, news.waited_ns * 1e-9))
                continue
            ends.append((pair, <int>news.reason, news.to_pod, news.from_pod, bool(news.pod_first), news.client,
                         news.error))
            _let_go(pair)
        return first_bytes, ends

    def stop(self):
        if not self._is_a_fork():
            with nogil:
                relay_stop(self._relay)


cdef _let_go(Pair pair):
    pair._pair = NULL
    Py_DECREF(pair)
