/* The operating system's randomness and wall clock, replaced on threads that simulate: hash maps, tokio's `select!`, ids
 * and back-off all start from them, and a seed must replay. A thread says so by its name, `sim SEED`; every other thread
 * is served by the kernel. In C because replacing a symbol of libc is `unsafe`, which no crate of ours may be. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static __thread uint64_t state;
static __thread int seeded;

/* SplitMix64. */
static uint64_t next(void) {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int simulates(void) {
    char name[17] = {0};
    if (seeded)
        return 1;
    if (prctl(PR_GET_NAME, name) != 0 || strncmp(name, "sim ", 4) != 0)
        return 0;
    state = strtoull(name + 4, NULL, 10);
    seeded = 1;
    return 1;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    unsigned char *out = buffer;
    if (!simulates())
        return syscall(SYS_getrandom, buffer, length, flags);
    for (size_t at = 0; at < length; at++)
        out[at] = (unsigned char)next();
    return (ssize_t)length;
}

/* It stands still: what moves in a simulation is tokio's clock. */
int clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock != CLOCK_REALTIME || !simulates())
        return (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec = 1800000000;
    out->tv_nsec = 0;
    return 0;
}
