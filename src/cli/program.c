#include "cli/program.h"

#include "base/machine.h"

/* Measured with servers of all architectures, before a model is opened and after every kind of request was answered
 * many times over (docs/operating.md). A thread's stack is touched for as far as its deepest call. */
enum {
    CODE_BYTES = 3 << 20,        /* of the program and its libraries that is used later */
    HEAP_BYTES = 5 << 19,        /* the server's tables, the log's ring, TLS, what the heap keeps between two answers */
    SERVER_THREADS = 8,          /* http, work, watch, engine, prepare, log, recorder, disk */
    THREAD_BYTES = 64 << 10,
    STEP_BYTES = 256 << 10,
};

uint64_t program_memory_bytes(int n_threads)
{
    struct machine m;
    machine_read(&m);
    uint64_t n = (uint64_t)(n_threads > 0 ? n_threads : machine_default_threads(&m)) + SERVER_THREADS;
    return align_size(process_resident_bytes() + CODE_BYTES + HEAP_BYTES + n * THREAD_BYTES, STEP_BYTES);
}
