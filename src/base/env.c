#include "base/env.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

const struct env_var env_vars[] = {
    { "MODEL", "model file to use when the command line names none" },
    { "ISA", "instruction set to compute with: scalar, avx2, avxvnni, avx512vnni (default: the best that runs)" },
    { "FIXTURES", "folder of test data that is not in the tree; only the tests read it" },
    { NULL, NULL },
};

const struct env_var env_system_vars[] = {
    { "NOTIFY_SOCKET", "set by a service manager: where it is told that the server is ready, ends, lives" },
    { "WATCHDOG_USEC", "set by a service manager: how often it wants to hear that" },
    { "WATCHDOG_PID", "set by a service manager: the process that it means" },
    { "LISTEN_FDS", "set by a service manager: how many sockets it has opened for the server" },
    { "LISTEN_PID", "set by a service manager: the process that it means" },
    { "STATE_DIRECTORY", "set by a service manager: a folder for what outlives the service" },
    { "http_proxy", "the proxy for http: addresses of other machines (hearth compare, hearth pull); libcurl reads it" },
    { "TMPDIR", "the folder for temporary files of hearth quantize --compare (default: /var/tmp)" },
    { "https_proxy", "the same for https: addresses" },
    { "all_proxy", "the same for both, where the two say nothing" },
    { "no_proxy", "names that are asked without a proxy, with commas between" },
    { "OLLAMA_MODELS", "where Ollama keeps its models: hearth import --find looks there instead of ~/.ollama/models" },
    { "HF_HUB_CACHE", "where Hugging Face's tools keep what they fetch; also HF_HOME, the folder above it" },
    { "HF_HOME", "its hub/ is looked through where HF_HUB_CACHE says nothing" },
    { "LLAMA_CACHE", "where llama.cpp keeps what it fetches" },
    { "XDG_CACHE_HOME", "the folder of caches, ~/.cache where it says nothing" },
    { NULL, NULL },
};

static const char prefix[] = "HEARTH_";
enum { PREFIX_LEN = sizeof prefix - 1, NAME_MAX_BYTES = 64 };

const char *env_get(const char *name)
{
    char full[PREFIX_LEN + NAME_MAX_BYTES] = "HEARTH_";
    if (strlen(name) >= NAME_MAX_BYTES)
        return NULL;
    strcpy(full + PREFIX_LEN, name);
    const char *value = getenv(full);
    return value && *value ? value : NULL;
}

const char *env_system(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

char *const *env_all(void) { return environ; }

const char *env_get_flag(const char *flag)
{
    char name[NAME_MAX_BYTES];
    size_t n = strlen(flag);
    if (n >= sizeof name)
        return NULL;
    for (size_t i = 0; i <= n; i++) {
        char c = flag[i];
        name[i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return env_get(name);
}

static bool is_fixed(const char *name)
{
    for (const struct env_var *v = env_vars; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return true;
    return false;
}

void env_unknown(bool (*known)(const char *name_without_prefix), void (*report)(const char *name))
{
    for (char **e = environ; *e; e++) {
        if (strncmp(*e, prefix, PREFIX_LEN) != 0)
            continue;
        const char *equals = strchr(*e, '=');
        char name[NAME_MAX_BYTES];
        size_t n = equals ? (size_t)(equals - *e) - PREFIX_LEN : 0;
        if (n == 0 || n >= sizeof name)
            continue;
        memcpy(name, *e + PREFIX_LEN, n);
        name[n] = 0;
        if (!is_fixed(name) && !known(name))
            report(name);
    }
}
