/* How many threads this process may use: cores in the affinity mask (one per physical core, a
 * second hardware thread does not help dense kernels), cut by the cgroup's processor quota. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gc_api.h"

#define MAX_DEFAULT 64

#if defined(__linux__)

/* First line of a small file; 0 when it cannot be read. */
static int read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    int ok = fgets(line, size, f) != 0;
    fclose(f);
    return ok;
}

static int physical_cores(void)
{
    cpu_set_t mask, firsts;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        return (int)sysconf(_SC_NPROCESSORS_ONLN);
    CPU_ZERO(&firsts);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[96], line[256];
        int first = cpu;
        if (!CPU_ISSET(cpu, &mask))
            continue;
        snprintf(path, sizeof path,
                 "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        if (read_line(path, line, sizeof line))
            sscanf(line, "%d", &first);
        if (first >= 0 && first < CPU_SETSIZE)
            CPU_SET(first, &firsts);
    }
    return CPU_COUNT(&firsts);
}

/* Threads that a quota of `quota` per `period` microseconds feeds, at least one. */
static int quota_threads(double quota, double period)
{
    if (quota <= 0 || period <= 0)
        return MAX_DEFAULT;
    double threads = quota / period + 0.5;
    return threads < 1 ? 1 : threads > MAX_DEFAULT ? MAX_DEFAULT : (int)threads;
}

static int cgroup_v2_level(const char *group)
{
    char path[1200], line[128];
    double quota, period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (read_line(path, line, sizeof line) && sscanf(line, "%lf %lf", &quota, &period) == 2)
        return quota_threads(quota, period); /* "max 100000" does not parse: no limit */
    return MAX_DEFAULT;
}

static int cgroup_v1(void)
{
    char line[64];
    double quota = 0, period = 0;
    if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", line, sizeof line))
        sscanf(line, "%lf", &quota);
    if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", line, sizeof line))
        sscanf(line, "%lf", &period);
    return quota_threads(quota, period);
}

/* The tightest quota of the process's cgroup and of those above it. */
static int cgroup_limit(void)
{
    char line[1024];
    int limit = cgroup_v1(), level = cgroup_v2_level("");
    limit = level < limit ? level : limit;
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (!f)
        return limit;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "0::/", 4) != 0)
            continue;
        char *group = line + 3, *end = group + strcspn(group, "\n");
        *end = 0;
        for (char *slash; (slash = strrchr(group, '/')) && slash[1]; *slash = 0) {
            level = cgroup_v2_level(group);
            limit = level < limit ? level : limit;
            if (slash == group)
                break;
        }
    }
    fclose(f);
    return limit;
}

#else

static int physical_cores(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
static int cgroup_limit(void) { return MAX_DEFAULT; }

#endif

int gc_default_num_threads(void)
{
    int cores = physical_cores(), limit = cgroup_limit();
    int threads = cores < limit ? cores : limit;
    return threads < 1 ? 1 : threads > MAX_DEFAULT ? MAX_DEFAULT : threads;
}
