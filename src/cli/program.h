/* program.h: the memory that the program itself takes. */
#pragma once
#include <stdint.h>

/* Of a server that computes with so many threads (0: as many as the machine has cores), beside models and what requests
 * bring: what there is of it now, before a model is opened, and what comes until all of it was used. In steps of
 * 256 KB. */
uint64_t program_memory_bytes(int n_threads);
