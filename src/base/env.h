/* env.h: every environment variable hearth reads, in one list. */
#pragma once
#include "base/base.h"

struct env_var {
    const char *name; /* without HEARTH_ */
    const char *help;
};

/* Value of HEARTH_<name>; NULL when unset or empty. Flags of the program are looked up the
 * same way by their long name: --ctx-size is HEARTH_CTX_SIZE. */
const char *env_get(const char *name);
/* Of a flag: "ctx-size" -> HEARTH_CTX_SIZE. */
const char *env_get_flag(const char *flag);

/* The fixed ones, NULL-terminated by name; `hearth env` prints them. */
extern const struct env_var env_vars[];

/* What others than hearth named: a service manager tells its services so (base/service.h). NULL-terminated by the whole
 * name. */
extern const struct env_var env_system_vars[];
/* The value of one of those; NULL when unset or empty. */
const char *env_system(const char *name);

/* All of it, as a process that is started gets it. */
char *const *env_all(void);

/* HEARTH_* variables that are set but that nobody knows (neither in env_vars nor accepted by
 * known()): calls report(name) for each. */
void env_unknown(bool (*known)(const char *name_without_prefix), void (*report)(const char *name));
