/* budget.c - tests the budget, which is part of sections 5 and 12 of the header.

   Promises (section 4 of the header): each figure is what the system tells, or HOSTCACHE_UNKNOWN; a
   file that is missing, cut off or not as it should be makes nothing up; the budget is the least of
   what binds, and says which that is; every cgroup up to the root counts; max_reserved_percent
   makes the cap a part of it, or fails. Most tests give the header a tree of files of their own, in
   place of the system's /proc and /sys. */

#include "sim/below.h"

static const char *budget_root = "";
#define HOSTCACHE_BUDGET_ROOT budget_root

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "limited_child.h"

#define UNKNOWN HOSTCACHE_UNKNOWN
#define UNLIMITED HOSTCACHE_UNLIMITED

/* ---- trees ----------------------------------------------------------------------------------- */

static struct {
  char top[32];
  char made[128][512]; /* in order, so that they can be removed in the opposite one */
  size_t count;
} tree;

static const char *in_tree(const char *name) {
  static char path[512];
  assert_true(snprintf(path, sizeof path, "%s%s", tree.top, name) < (int)sizeof path);
  return path;
}

static void note_made(const char *path) {
  assert_true(tree.count < COUNT_OF(tree.made));
  memcpy(tree.made[tree.count++], path, strlen(path) + 1);
}

/* Writes a file of the tree anew, with the folders that it needs. */
static void put_bytes(const char *name, const char *text, size_t length) {
  char path[512], *slash;
  bool is_new;
  FILE *file;
  memcpy(path, in_tree(name), sizeof path);
  for (slash = path + strlen(tree.top) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = 0;
    if (mkdir(path, 0755) == 0) note_made(path);
    *slash = '/';
  }
  is_new = access(path, F_OK) != 0;
  file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, length, file), length);
  assert_int_equal(fclose(file), 0);
  if (is_new) note_made(path);
}

static void put(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }

static void take_away(const char *name) { assert_int_equal(unlink(in_tree(name)), 0); }

/* Also by root: a folder in the place of the file cannot be read, a link to itself not opened. */
static void make_unreadable(const char *name, bool opens) {
  char path[512];
  take_away(name);
  memcpy(path, in_tree(name), sizeof path);
  assert_int_equal(opens ? mkdir(path, 0755) : symlink(path, path), 0);
}

static void make_readable(const char *name) { assert_int_equal(remove(in_tree(name)), 0); }

static int close_tree(void **state) {
  (void)state;
  while (tree.count > 0) (void)remove(tree.made[--tree.count]);
  budget_root = "";
  return 0;
}

static int open_tree(void **state) {
  (void)close_tree(state); /* a test that failed leaves one */
  strcpy(tree.top, "/tmp/hostcache_budget_XXXXXX");
  if (mkdtemp(tree.top) == NULL) return 1;
  note_made(tree.top);
  budget_root = tree.top;
  return pinned_rig_reset(state);
}

#define CGROUP "/sys/fs/cgroup"
#define MOUNTINFO(text) put("/proc/self/mountinfo", text)
#define MOUNTED "22 27 0:21 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"

static void put_cgroup(const char *name, const char *max, const char *current, const char *stat) {
  char path[256];
  (void)snprintf(path, sizeof path, CGROUP "%s/memory.max", name);
  put(path, max);
  (void)snprintf(path, sizeof path, CGROUP "%s/memory.high", name);
  put(path, "max\n");
  (void)snprintf(path, sizeof path, CGROUP "%s/memory.current", name);
  put(path, current);
  (void)snprintf(path, sizeof path, CGROUP "%s/memory.stat", name);
  put(path, stat);
  (void)snprintf(path, sizeof path, CGROUP "%s/cgroup.controllers", name);
  put(path, "cpu memory pids\n");
}

/* The files as a kernel gives them; most tests change some. */
static void put_system(void) {
  put("/proc/self/limits",
      "Limit                     Soft Limit           Hard Limit           Units     \n"
      "Max resident set          unlimited            unlimited            bytes     \n"
      "Max locked memory         8388608              16777216             bytes     \n"
      "Max address space         unlimited            unlimited            bytes     \n");
  put("/proc/self/status",
      "Name:\tVmLck: 7 kB\nVmSize:\t    3060 kB\nVmLck:\t    1024 kB\nVmPin:\t    2048 kB\n"
      "CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffbfff\nCapBnd:\t000001ffffffffff\n");
  put("/proc/self/uid_map", "         0          0 4294967295\n");
  put("/proc/self/cgroup", "1:name=systemd:/x\n0::/a\n");
  MOUNTINFO("31 23 0:28 / /sys rw,relatime - sysfs sysfs rw\n" MOUNTED
            "33 23 0:29 / /proc rw,relatime - proc proc rw\n");
  put(CGROUP "/cgroup.controllers", "cpu memory pids\n");
  put_cgroup("/a", "1000000000\n", "600000000\n",
             "anon 7\nfile 9\ninactive_anon 1\nactive_anon 2\n"
             "inactive_file 100000000\nactive_file 50000000\nunevictable 5\n");
  put("/proc/meminfo",
      "MemTotal:       32812204 kB\nMemFree:         1000000 kB\nMemAvailable:    2000000 kB\n"
      "HugePages_Total:      10\nHugePages_Free:        3\nHugepagesize:       2048 kB\n");
}

static hostcache_budget read_budget(void) {
  hostcache_budget budget;
  memset(&budget, 0x5a, sizeof budget);
  assert_ok(pinned_budget(&budget));
  return budget;
}

static void assert_cgroup(int64_t limit, int64_t used, int64_t reclaimable) {
  const hostcache_budget budget = read_budget();
  assert_int_equal(budget.cgroup_limit, limit);
  assert_int_equal(budget.cgroup_used, used);
  assert_int_equal(budget.cgroup_reclaimable, reclaimable);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void each_figure_is_what_the_system_tells(void **state) {
  hostcache_budget budget;
  (void)state;
  put_system();
  budget = read_budget();
  assert_int_equal(budget.memlock_limit, 8388608);
  assert_int_equal(budget.memlock_used, 1024 * 1024);
  assert_int_equal(budget.memlock_exempt, 0);
  assert_int_equal(budget.cgroup_limit, 1000000000);
  assert_int_equal(budget.cgroup_used, 600000000);
  assert_int_equal(budget.cgroup_reclaimable, 150000000);
  assert_int_equal(budget.mem_available, INT64_C(2000000) * 1024);
  assert_int_equal(budget.huge_free, 3 * 2048 * 1024);
  assert_int_equal(budget.bytes, 8388608 - 1024 * 1024);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_MEMLOCK);
}

static void an_empty_system_tells_nothing(void **state) {
  hostcache_budget budget;
  (void)state;
  memset(&budget, 0x5a, sizeof budget);
  assert_result(pinned_budget(&budget), HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(budget.bytes, UNKNOWN);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_NOTHING);
  assert_int_equal(budget.memlock_exempt, -1);
  assert_int_equal(budget.memlock_limit, UNKNOWN);
  assert_int_equal(budget.memlock_used, UNKNOWN);
  assert_int_equal(budget.cgroup_limit, UNKNOWN);
  assert_int_equal(budget.cgroup_used, UNKNOWN);
  assert_int_equal(budget.cgroup_reclaimable, UNKNOWN);
  assert_int_equal(budget.mem_available, UNKNOWN);
  assert_int_equal(budget.huge_free, UNKNOWN);
}

static void huge_pages_are_a_figure_that_bounds_nothing(void **state) {
  hostcache_budget budget;
  (void)state;
  put("/proc/meminfo", "HugePages_Free:        0\nHugepagesize:       2048 kB\n");
  budget = read_budget();
  assert_int_equal(budget.huge_free, 0);
  assert_int_equal(budget.bytes, UNKNOWN);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_NOTHING);
}

/* Every figure of a system with files missing or cut is either right or unknown. */
static void assert_nothing_made_up(const hostcache_budget *whole) {
  hostcache_budget budget;
  int64_t all[2][7], least = UNKNOWN;
  size_t i;
  (void)pinned_budget(&budget);
  for (i = 0; i < 2; i++) {
    const hostcache_budget *from = i == 0 ? &budget : whole;
    all[i][0] = from->memlock_limit, all[i][1] = from->memlock_used;
    all[i][2] = from->cgroup_limit, all[i][3] = from->cgroup_used;
    all[i][4] = from->cgroup_reclaimable;
    all[i][5] = from->mem_available, all[i][6] = from->huge_free;
  }
  for (i = 0; i < 7; i++)
    if (all[0][i] != UNKNOWN) assert_int_equal(all[0][i], all[1][i]);
  if (budget.memlock_exempt != -1) assert_int_equal(budget.memlock_exempt, whole->memlock_exempt);
  if (budget.memlock_limit != UNKNOWN && budget.memlock_exempt != 1)
    least = budget.memlock_limit - (budget.memlock_used != UNKNOWN ? budget.memlock_used : 0);
  if (budget.cgroup_limit != UNKNOWN) {
    int64_t left = budget.cgroup_limit;
    if (budget.cgroup_used != UNKNOWN) {
      left -= budget.cgroup_used;
      if (budget.cgroup_reclaimable != UNKNOWN) left += budget.cgroup_reclaimable;
    }
    if (least == UNKNOWN || left < least) least = left;
  }
  if (budget.mem_available != UNKNOWN && (least == UNKNOWN || budget.mem_available < least))
    least = budget.mem_available;
  assert_int_equal(budget.bytes, least);
}

static const char *const every_file[] = {
    "/proc/self/limits",          "/proc/self/status",
    "/proc/self/uid_map",         "/proc/self/cgroup",
    "/proc/self/mountinfo",       "/proc/meminfo",
    CGROUP "/cgroup.controllers", CGROUP "/a/cgroup.controllers",
    CGROUP "/a/memory.max",       CGROUP "/a/memory.high",
    CGROUP "/a/memory.current",   CGROUP "/a/memory.stat"};

static void a_file_that_is_cut_off_anywhere_makes_nothing_up(void **state) {
  hostcache_budget whole;
  size_t i, length, cut;
  (void)state;
  put_system();
  whole = read_budget();
  for (i = 0; i < COUNT_OF(every_file); i++) {
    char text[1024];
    FILE *file = fopen(in_tree(every_file[i]), "r");
    assert_non_null(file);
    length = fread(text, 1, sizeof text, file);
    assert_true(length > 0 && length < sizeof text);
    assert_int_equal(fclose(file), 0);
    for (cut = 0; cut < length; cut++) {
      put_bytes(every_file[i], text, cut);
      assert_nothing_made_up(&whole);
    }
    put_bytes(every_file[i], text, length);
  }
}

static void files_that_are_missing_or_unreadable_make_nothing_up(void **state) {
  hostcache_budget whole, budget;
  size_t i;
  int opens;
  (void)state;
  for (i = 0; i < COUNT_OF(every_file); i++) {
    put_system();
    whole = read_budget();
    take_away(every_file[i]);
    assert_nothing_made_up(&whole);
    for (opens = 0; opens < 2; opens++) {
      put_system();
      make_unreadable(every_file[i], opens);
      assert_nothing_made_up(&whole);
      make_readable(every_file[i]);
    }
  }
  put_system();
  take_away("/proc/self/limits");
  budget = read_budget();
  assert_int_equal(budget.memlock_limit, UNKNOWN);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_CGROUP);
  take_away(CGROUP "/a/memory.current");
  budget = read_budget();
  assert_int_equal(budget.cgroup_used, UNKNOWN); /* then the limit itself bounds */
  assert_int_equal(budget.bytes, 1000000000);
  take_away("/proc/self/cgroup");
  budget = read_budget();
  assert_int_equal(budget.cgroup_limit, UNKNOWN);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_AVAILABLE);
}

static void a_number_that_is_none_is_unknown(void **state) {
  static const char *const no_numbers[] = {"\n",    "-1\n",   "+5\n",      "0x10\n", "12a\n",
                                           "1.5\n", "maxi\n", "ma\n",      "12",     "max",
                                           " \n",   "\n7\n",  "unlimite\n"};
  hostcache_budget budget;
  size_t i;
  (void)state;
  put_system();
  for (i = 0; i < COUNT_OF(no_numbers); i++) {
    put(CGROUP "/a/memory.max", no_numbers[i]);
    put(CGROUP "/a/memory.current", no_numbers[i]);
    assert_cgroup(UNKNOWN, UNKNOWN, 150000000);
  }
  put_bytes(CGROUP "/a/memory.max", "1\0002\n", 4);
  assert_cgroup(UNKNOWN, UNKNOWN, 150000000);
  put(CGROUP "/a/memory.current", "max\n"); /* a word for limits alone */
  assert_cgroup(UNKNOWN, UNKNOWN, 150000000);
  put("/proc/self/status", "VmLck:\t12 MB\nCapEff:\t000000000000400g\n");
  budget = read_budget();
  assert_int_equal(budget.memlock_used, UNKNOWN);
  assert_int_equal(budget.memlock_exempt, -1);
  put("/proc/self/status", "VmLck:\nCapEff:\n");
  budget = read_budget();
  assert_int_equal(budget.memlock_used, UNKNOWN);
  assert_int_equal(budget.memlock_exempt, -1);
}

static void a_number_beyond_its_type_is_no_limit_as_a_limit_and_else_unknown(void **state) {
  hostcache_budget budget;
  (void)state;
  put_system();
  put("/proc/self/limits", "Max locked memory         18446744073709551614 16 bytes\n");
  put("/proc/self/status", "VmLck:\t 9007199254740992 kB\n"); /* 2^63 */
  put(CGROUP "/a/memory.max", "9223372036854775808\n");
  put(CGROUP "/a/memory.current", "9223372036854775808\n");
  put(CGROUP "/a/memory.stat",
      "inactive_file 9223372036854775807\nactive_file 9223372036854775807\n");
  put("/proc/meminfo",
      "MemAvailable: 99999999999999999999999999999999 kB\n"
      "HugePages_Free: 9223372036854775807\nHugepagesize: 2048 kB\n");
  budget = read_budget();
  assert_int_equal(budget.memlock_limit, UNLIMITED);
  assert_int_equal(budget.memlock_used, UNKNOWN);
  assert_int_equal(budget.cgroup_limit, UNLIMITED);
  assert_int_equal(budget.cgroup_used, UNKNOWN);
  assert_int_equal(budget.cgroup_reclaimable, UNKNOWN);
  assert_int_equal(budget.mem_available, UNKNOWN);
  assert_int_equal(budget.huge_free, UNKNOWN);
  assert_int_equal(budget.bytes, UNKNOWN);

  put("/proc/self/status", "VmLck:\t 9007199254740991 kB\n");
  put("/proc/meminfo", "HugePages_Free: 9007199254740991\nHugepagesize: 1 kB\n");
  put(CGROUP "/a/memory.max", "9223372036854775806\n");
  put(CGROUP "/a/memory.current", "9223372036854775807\n");
  put(CGROUP "/a/memory.stat", "inactive_file 9223372036854775806\nactive_file 1\n");
  budget = read_budget();
  assert_int_equal(budget.memlock_used, (INT64_MAX >> 10) << 10);
  assert_int_equal(budget.huge_free, (INT64_MAX >> 10) << 10);
  assert_int_equal(budget.cgroup_limit, INT64_MAX - 1);
  assert_int_equal(budget.cgroup_used, INT64_MAX);
  assert_int_equal(budget.cgroup_reclaimable, INT64_MAX);
  assert_int_equal(budget.bytes, INT64_MAX - 1);
}

static void of_two_figures_of_one_sum_one_alone_tells_nothing(void **state) {
  (void)state;
  put_system();
  put(CGROUP "/a/memory.stat", "inactive_file 100000000\n");
  assert_cgroup(1000000000, 600000000, UNKNOWN);
  put(CGROUP "/a/memory.stat", "active_file 50000000\n");
  assert_cgroup(1000000000, 600000000, UNKNOWN);
  put("/proc/meminfo", "HugePages_Free: 3\n");
  assert_int_equal(read_budget().huge_free, UNKNOWN);
  put("/proc/meminfo", "Hugepagesize: 2048 kB\n");
  assert_int_equal(read_budget().huge_free, UNKNOWN);
  put("/proc/meminfo", "HugePages_Free: 3\nHugepagesize: 0 kB\n"); /* which would be no size */
  assert_int_equal(read_budget().huge_free, UNKNOWN);
}

static void of_two_lines_of_one_key_the_first_counts(void **state) {
  (void)state;
  put_system();
  put("/proc/meminfo", "MemAvailable: 2048 kB\nMemAvailable: 1 kB\n");
  assert_int_equal(read_budget().mem_available, 2048 * 1024);
}

static void a_line_of_any_length_is_read_over(void **state) {
  char line[4096];
  (void)state;
  put_system();
  memset(line, 'x', sizeof line);
  /* Each part in which a long line is read begins with what looks like a figure. */
  memcpy(line + HOSTCACHE_LINE_BYTES - 1, "MemAvailable: 1 kB ", 19);
  memcpy(line + 2 * (HOSTCACHE_LINE_BYTES - 1), "MemAvailable: 1 kB ", 19);
  strcpy(line + sizeof line - 28, "\nMemAvailable: 2048 kB\n");
  put("/proc/meminfo", line);
  assert_int_equal(read_budget().mem_available, 2048 * 1024);
}

/* The kernel itself writes blanks into some files, and tabs into others. */
static void words_may_be_parted_by_tabs(void **state) {
  (void)state;
  put_system();
  put("/proc/self/uid_map", "0\t0\t4294967295\n");
  put("/proc/self/status", "VmLck:\t1024\tkB\nCapEff:\t0000000000004000\n");
  assert_int_equal(read_budget().memlock_exempt, 1);
  assert_int_equal(read_budget().memlock_used, 1024 * 1024);
}

static void assert_alone_tells_something(const char *name, const char *text) {
  hostcache_budget budget;
  put(name, text);
  assert_ok(pinned_budget(&budget));
  take_away(name);
  assert_result(pinned_budget(&budget), HOSTCACHE_ERR_UNSUPPORTED);
}

static void one_figure_alone_is_a_budget_that_is_known(void **state) {
  (void)state;
  assert_alone_tells_something("/proc/self/status", "VmLck:\t1024 kB\n");
  assert_alone_tells_something("/proc/self/status", "CapEff:\t0000000000000000\n");
  assert_alone_tells_something("/proc/self/limits", "Max locked memory  8388608 16777216 bytes\n");
  assert_alone_tells_something("/proc/meminfo", "MemAvailable: 2048 kB\n");
  put("/proc/self/cgroup", "0::/a\n");
  MOUNTINFO(MOUNTED);
  assert_alone_tells_something(CGROUP "/a/memory.max", "77\n");
  put(CGROUP "/a/memory.max", "?\n");
  assert_alone_tells_something(CGROUP "/a/memory.current", "77\n");
}

/* ---- what binds ------------------------------------------------------------------------------ */

static hostcache_budget concluded(int64_t memlock, int64_t cgroup, int64_t available) {
  hostcache_budget budget;
  memset(&budget, 0xff, sizeof budget); /* all unknown */
  budget.memlock_limit = memlock;
  budget.cgroup_limit = cgroup;
  budget.mem_available = available;
  hostcache_budget_conclude(&budget);
  return budget;
}

static void assert_concluded(hostcache_budget budget, int64_t bytes, hostcache_binding binding) {
  assert_int_equal(budget.bytes, bytes);
  assert_int_equal(budget.binding, binding);
}

static void the_least_of_what_is_known_binds(void **state) {
  (void)state;
  assert_concluded(concluded(1, 2, 3), 1, HOSTCACHE_BUDGET_MEMLOCK);
  assert_concluded(concluded(2, 1, 3), 1, HOSTCACHE_BUDGET_CGROUP);
  assert_concluded(concluded(2, 3, 1), 1, HOSTCACHE_BUDGET_AVAILABLE);
  assert_concluded(concluded(1, 1, 1), 1, HOSTCACHE_BUDGET_MEMLOCK);
  assert_concluded(concluded(2, 1, 1), 1, HOSTCACHE_BUDGET_CGROUP);
  assert_concluded(concluded(3, 0, 1), 0, HOSTCACHE_BUDGET_CGROUP);
  assert_concluded(concluded(UNKNOWN, 5, 7), 5, HOSTCACHE_BUDGET_CGROUP);
  assert_concluded(concluded(UNLIMITED, UNKNOWN, 7), 7, HOSTCACHE_BUDGET_AVAILABLE);
  assert_concluded(concluded(9, UNLIMITED, UNKNOWN), 9, HOSTCACHE_BUDGET_MEMLOCK);
  assert_concluded(concluded(UNLIMITED, UNLIMITED, UNKNOWN), UNKNOWN, HOSTCACHE_BUDGET_NOTHING);
  assert_concluded(concluded(UNKNOWN, UNKNOWN, UNKNOWN), UNKNOWN, HOSTCACHE_BUDGET_NOTHING);
}

static void what_is_left_is_never_negative_and_never_above_the_limit(void **state) {
  (void)state;
  assert_int_equal(hostcache_budget_left(100, 30, 10), 80);
  assert_int_equal(hostcache_budget_left(100, 130, 10), 0);
  assert_int_equal(hostcache_budget_left(100, 10, 30), 100);
  assert_int_equal(hostcache_budget_left(100, 30, UNKNOWN), 70);
  assert_int_equal(hostcache_budget_left(100, UNKNOWN, 30), 100);
  assert_int_equal(hostcache_budget_left(0, 0, 0), 0);
  assert_int_equal(hostcache_budget_left(INT64_MAX - 1, INT64_MAX, INT64_MAX), INT64_MAX - 1);
  assert_int_equal(hostcache_budget_left(UNLIMITED, 30, 10), UNLIMITED);
  assert_int_equal(hostcache_budget_left(UNKNOWN, 30, 10), UNKNOWN);
}

static void who_may_lock_without_limit_is_not_bound_by_it(void **state) {
  hostcache_budget budget;
  (void)state;
  put_system();
  put("/proc/self/status", "VmLck:\t    1024 kB\nCapEff:\t0123456789abcdef\n"); /* bit 14 is set */
  budget = read_budget();
  assert_int_equal(budget.memlock_exempt, 1);
  assert_int_equal(budget.memlock_limit, 8388608);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_CGROUP);
  assert_int_equal(budget.bytes, 1000000000 - 600000000 + 150000000);
  put("/proc/self/limits", "Max locked memory         unlimited  unlimited  bytes\n");
  assert_int_equal(read_budget().memlock_limit, UNLIMITED);
}

/* As in a container without privilege: the capability is there, and the kernel does not heed it. */
static void a_capability_in_another_user_namespace_does_not_count(void **state) {
  hostcache_budget budget;
  (void)state;
  put_system();
  put("/proc/self/status", "VmLck:\t    1024 kB\nCapEff:\tffffffffffffffff\n");
  put("/proc/self/uid_map", "         0       1000          1\n         1     100000      65536\n");
  budget = read_budget();
  assert_int_equal(budget.memlock_exempt, 0);
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_MEMLOCK);
  take_away("/proc/self/uid_map");
  budget = read_budget();
  assert_int_equal(budget.memlock_exempt, -1); /* nor does one that may be in another */
  assert_int_equal(budget.binding, HOSTCACHE_BUDGET_MEMLOCK);
}

static void a_binding_has_a_string_that_names_it(void **state) {
  (void)state;
  assert_non_null(
      strstr(hostcache_binding_string(HOSTCACHE_BUDGET_NOTHING), "HOSTCACHE_BUDGET_NOTHING"));
  assert_non_null(
      strstr(hostcache_binding_string(HOSTCACHE_BUDGET_MEMLOCK), "HOSTCACHE_BUDGET_MEMLOCK"));
  assert_non_null(
      strstr(hostcache_binding_string(HOSTCACHE_BUDGET_CGROUP), "HOSTCACHE_BUDGET_CGROUP"));
  assert_non_null(
      strstr(hostcache_binding_string(HOSTCACHE_BUDGET_AVAILABLE), "HOSTCACHE_BUDGET_AVAILABLE"));
  assert_non_null(hostcache_binding_string((hostcache_binding)77));
  assert_null(strstr(hostcache_binding_string((hostcache_binding)77), "HOSTCACHE_BUDGET"));
}

/* ---- cgroups --------------------------------------------------------------------------------- */

#define STAT_0 "inactive_file 0\nactive_file 0\n"

static void of_nested_cgroups_the_one_with_the_least_left_counts(void **state) {
  (void)state;
  put_system();
  put("/proc/self/cgroup", "0::/a/b/c\n");
  put_cgroup("/a", "1000\n", "100\n", STAT_0);
  put_cgroup("/a/b", "900\n", "50\n", STAT_0);
  put_cgroup("/a/b/c", "max\n", "40\n", "inactive_file 3\nactive_file 4\n");
  assert_cgroup(900, 50, 0); /* 850 left */
  put(CGROUP "/a/memory.current", "300\n");
  assert_cgroup(1000, 300, 0); /* 700: the higher limit, of which others use more */
  put(CGROUP "/a/memory.stat", "inactive_file 100\nactive_file 60\n");
  assert_cgroup(900, 50, 0); /* 860 in the outer one */
  put(CGROUP "/a/memory.stat", "inactive_file 100\nactive_file 50\n");
  assert_cgroup(900, 50, 0); /* as much: the inner one */
  put(CGROUP "/a/b/c/memory.max", "60\n");
  assert_cgroup(60, 40, 7);
  assert_int_equal(read_budget().bytes, 27);
  assert_int_equal(read_budget().binding, HOSTCACHE_BUDGET_CGROUP);
  put(CGROUP "/a/b/memory.max", "10\n");
  assert_cgroup(10, 50, 0); /* lowered below what is used */
  assert_int_equal(read_budget().bytes, 0);
  put(CGROUP "/memory.max", "0\n"); /* where cgroups are mounted counts too */
  put(CGROUP "/memory.current", "0\n");
  put(CGROUP "/a/b/memory.max", "90\n");
  assert_int_equal(read_budget().cgroup_limit, 0);
}

static void the_limit_that_slows_a_process_down_is_one(void **state) {
  (void)state;
  put_system();
  put(CGROUP "/a/memory.high", "700000000\n");
  assert_cgroup(700000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "650000000\n");
  assert_cgroup(650000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "max\n");
  assert_cgroup(700000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "?\n"); /* one of the two is better than none */
  assert_cgroup(700000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "650000000\n");
  put(CGROUP "/a/memory.high", "?\n");
  assert_cgroup(650000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "max\n");
  take_away(CGROUP "/a/memory.high"); /* a kernel without it */
  assert_cgroup(UNLIMITED, 600000000, 150000000);
}

static void a_limit_of_which_the_use_is_unknown_is_not_forgotten_for_one_above_that_has_none(
    void **state) {
  (void)state;
  put_system();
  put("/proc/self/cgroup", "0::/a/b\n");
  put_cgroup("/a", "max\n", "5\n", STAT_0);
  put_cgroup("/a/b", "100\n", "?\n", "?\n");
  assert_cgroup(100, UNKNOWN, UNKNOWN);
}

static void no_limit_anywhere_is_told_from_none_that_is_known(void **state) {
  int opens;
  (void)state;
  put_system();
  put("/proc/self/cgroup", "0::/a/b\n");
  put_cgroup("/a", "max\n", "90\n", STAT_0);
  put_cgroup("/a/b", "max\n", "70\n", "inactive_file 3\nactive_file 4\n");
  assert_cgroup(UNLIMITED, 70, 7); /* the figures are those of the process' own */
  put(CGROUP "/a/memory.max", "?\n");
  assert_cgroup(UNKNOWN, 70, 7);
  put(CGROUP "/a/memory.high", "?\n");
  assert_cgroup(UNKNOWN, 70, 7);
  put(CGROUP "/a/b/memory.max", "100\n"); /* a limit is one, whatever is around it */
  assert_cgroup(100, 70, 7);
  put("/proc/self/cgroup", "0::/\n");
  assert_cgroup(UNLIMITED, UNKNOWN, UNKNOWN);
  for (opens = 0; opens < 2; opens++) { /* this is not the root of all, which has no such file */
    put(CGROUP "/memory.max", "1\n");
    make_unreadable(CGROUP "/memory.max", opens);
    assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
    make_readable(CGROUP "/memory.max");
  }
  assert_cgroup(UNLIMITED, UNKNOWN, UNKNOWN);
  put(CGROUP "/cgroup.controllers", "cpu memory_of_another_kind xmemory\n");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
}

static void a_cgroup_without_the_controller_leaves_it_to_those_above(void **state) {
  (void)state;
  put_system();
  put("/proc/self/cgroup", "0::/a/b\n");
  put(CGROUP "/a/b/cgroup.controllers", "cpu pids\n");
  assert_cgroup(1000000000, 600000000, 150000000);
  put(CGROUP "/a/memory.max", "max\n");
  assert_cgroup(UNLIMITED, 600000000, 150000000);
  put(CGROUP "/a/b/cgroup.controllers", "cpu memory pids\n"); /* and then no memory.max: why? */
  assert_cgroup(UNKNOWN, 600000000, 150000000);
  put_bytes(CGROUP "/a/b/cgroup.controllers", "cpu\0 pids\n", 10); /* no text that ends */
  assert_cgroup(UNKNOWN, 600000000, 150000000);
  put(CGROUP "/a/b/cgroup.controllers", "cpu pids\n");
  put("/proc/self/cgroup", "0::/a/gone (deleted)\n");
  assert_cgroup(UNKNOWN, 600000000, 150000000);
}

static void only_the_first_version_of_cgroups_tells_nothing(void **state) {
  (void)state;
  put_system();
  put("/proc/self/cgroup", "4:memory:/a\n1:name=systemd:/a\n");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
  put("/proc/self/cgroup", "0::/a\n4:memory:/b\n"); /* in whatever order */
  assert_cgroup(1000000000, 600000000, 150000000);
  put("/proc/self/cgroup", "4:memory:/a\n0::/a\n"); /* both, and memory is with the first */
  MOUNTINFO(
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  put(CGROUP "/unified/cgroup.controllers", "hugetlb\n");
  put(CGROUP "/unified/a/cgroup.controllers", "\n");
  put(CGROUP "/memory/a/memory.max", "5\n");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
}

static void cgroups_are_found_where_they_are_mounted(void **state) {
  (void)state;
  put_system();
  put("/cgroup two/a/memory.max", "77\n");
  MOUNTINFO("22 27 0:21 / /cgroup\\040two rw,relatime - cgroup2 none rw\n");
  assert_cgroup(77, UNKNOWN, UNKNOWN);
  MOUNTINFO("22 27 0:21 / /cgroup\\040two rw a:1 b:2 c:3 - cgroup2 none rw\n");
  assert_cgroup(77, UNKNOWN, UNKNOWN);
  MOUNTINFO(MOUNTED "22 27 0:21 / /cgroup\\040two rw,relatime - cgroup2 none rw\n");
  assert_cgroup(77, UNKNOWN, UNKNOWN); /* of several mounts all count */
  MOUNTINFO("22 27 0:21 / /cgroup\\040two rw,relatime - cgroup2x none rw\n");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
  MOUNTINFO("22 27 0:21 / /cgroup\\040two rw,relatime - cgroup2"); /* may be the same, cut off */
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
}

static void a_mount_may_show_a_part_of_the_tree_alone(void **state) {
  (void)state;
  put_system();
  put_cgroup("", "44\n", "0\n", STAT_0);
  put_cgroup("/inner", "55\n", "0\n", STAT_0);
  put("/proc/self/cgroup", "0::/docker/one\n");
  MOUNTINFO("22 27 0:21 /docker/one /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  assert_cgroup(44, 0, 0);
  put("/proc/self/cgroup", "0::/docker/one/inner\n");
  assert_cgroup(44, 0, 0);
  put(CGROUP "/memory.max", "66\n");
  assert_cgroup(55, 0, 0);
  put("/proc/self/cgroup", "0::/docker one/inner\n");
  MOUNTINFO("22 27 0:21 /docker\\040one /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  assert_cgroup(55, 0, 0);
  MOUNTINFO("22 27 0:21 /docker/one /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  put("/proc/self/cgroup", "0::/docker/one_more\n"); /* of which this mount shows nothing */
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
  put("/proc/self/cgroup", "0::/\n");
  MOUNTINFO("22 27 0:21 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
  put("/proc/self/cgroup", "0::/../other\n"); /* outside of the namespace of cgroups */
  MOUNTINFO(MOUNTED);
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
}

static void without_mountinfo_the_usual_places_are_looked_at(void **state) {
  (void)state;
  put_system();
  take_away("/proc/self/mountinfo");
  assert_cgroup(1000000000, 600000000, 150000000);
  take_away(CGROUP "/cgroup.controllers");
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
  put(CGROUP "/unified/cgroup.controllers", "memory\n");
  put(CGROUP "/unified/a/memory.max", "33\n");
  assert_cgroup(33, UNKNOWN, UNKNOWN);
}

static void a_backslash_that_begins_no_number_stands_for_itself(void **state) {
  static const char *const names[] = {"/!",   "/4",   "/0!",  "/08", "/00!",
                                      "/009", "/&00", "/0&0", "/00&"};
  char mount[128], file[128];
  size_t i;
  (void)state;
  put_system();
  for (i = 0; i < COUNT_OF(names); i++) {
    (void)snprintf(mount, sizeof mount, "22 27 0:21 / /\\%s rw - cgroup2 none rw\n", names[i] + 1);
    MOUNTINFO(mount);
    (void)snprintf(file, sizeof file, "/\\%s/a/memory.max", names[i] + 1);
    put(file, "77\n");
    assert_cgroup(77, UNKNOWN, UNKNOWN);
  }
}

static void three_digits_behind_a_backslash_are_a_byte(void **state) {
  static const char *const names[][2] = {
      {"a\\040b\\011", "a b\t"},  {"\\134040", "\\040"}, {"\\303\\244", "\303\244"},
      {"\\077\\170\\100", "?x@"}, {"\\377", "\377"},     {"\\400", "\\400"},
      {"\\080", "\\080"},         {"\\008", "\\008"},    {"a040", "a040"}};
  char name[16];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(names); i++) {
    strcpy(name, names[i][0]);
    hostcache_unescape(name);
    assert_string_equal(name, names[i][1]);
  }
}

/* What is one byte too long, and what just fits. */
static void nothing_is_written_behind_where_a_name_goes(void **state) {
  static struct {
    hostcache_path path;
    char after;
  } room;
  static char text[HOSTCACHE_PATH_BYTES + 1];
  char word[5] = {'-', '-', '-', '-', '-'};
  FILE *file;
  int end = ' ';
  (void)state;
  room.after = '-';
  memset(text, 'x', HOSTCACHE_PATH_BYTES);
  assert_false(hostcache_path_add(&room.path, text));
  assert_int_equal(room.path.length, 0);
  text[HOSTCACHE_PATH_BYTES - 1] = 0;
  text[HOSTCACHE_PATH_BYTES] = 'x';
  assert_true(hostcache_path_add(&room.path, text));
  assert_int_equal(room.path.length, HOSTCACHE_PATH_BYTES - 1);
  assert_int_equal(room.after, '-');

  put("/words", "abcde abcd abc\n");
  file = fopen(in_tree("/words"), "r");
  assert_non_null(file);
  hostcache_read_word(file, &end, word, 4);
  assert_string_equal(word, "");
  hostcache_read_word(file, &end, word, 4);
  assert_string_equal(word, "");
  hostcache_read_word(file, &end, word, 4);
  assert_string_equal(word, "abc");
  assert_int_equal(end, '\n');
  assert_int_equal(word[4], '-');
  assert_int_equal(fclose(file), 0);
}

static void a_name_that_is_too_long_is_unknown(void **state) {
  static char line[3 * HOSTCACHE_PATH_BYTES];
  const size_t before = strlen("0::");
  size_t length;
  (void)state;
  put_system();
  for (length = HOSTCACHE_PATH_BYTES - 64; length < HOSTCACHE_PATH_BYTES + 64; length++) {
    memset(line, 'x', sizeof line);
    memcpy(line, "0::/a/", 6);
    strcpy(line + before + length, "\n");
    put("/proc/self/cgroup", line);
    assert_int_equal(read_budget().memlock_limit, 8388608);
    /* Where the name is not too long, its folder is missing, and /a is found above it. */
    assert_cgroup(read_budget().cgroup_used == UNKNOWN ? UNKNOWN : 1000000000,
                  read_budget().cgroup_used == UNKNOWN ? UNKNOWN : 600000000,
                  read_budget().cgroup_used == UNKNOWN ? UNKNOWN : 150000000);
  }
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);

  memset(line, 'x', sizeof line); /* what a long line goes on with is no line */
  memcpy(line, "9:x:/", 5);
  memcpy(line + HOSTCACHE_PATH_BYTES - 1, "0::/a", 5);
  strcpy(line + HOSTCACHE_PATH_BYTES + 4, "\n");
  put("/proc/self/cgroup", line);
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);

  put_system();
  memset(line, 'x', sizeof line);
  memcpy(line, "1 1 0:1 / /", 11);
  strcpy(line + sizeof line - 100, " rw - cgroup2 none rw\n" MOUNTED);
  MOUNTINFO(line);
  put("/a/memory.max", "5\n"); /* not that of a mount without a name */
  assert_cgroup(1000000000, 600000000, 150000000);
  memcpy(line, "1 1 0:1 /x /", 12);
  MOUNTINFO(line);
  assert_cgroup(1000000000, 600000000, 150000000);
  memcpy(line, "1 1 0:1 /xx", 11); /* nor of one that shows nobody knows what */
  strcpy(line + sizeof line - 120, " /inner rw - cgroup2 none rw\n" MOUNTED);
  put("/inner/a/memory.max", "5\n");
  MOUNTINFO(line);
  assert_cgroup(1000000000, 600000000, 150000000);

  memset(line, '/', sizeof line); /* a root that leaves no room for a name */
  line[HOSTCACHE_PATH_BYTES - 4] = 0;
  budget_root = line;
  assert_result(pinned_budget(&(hostcache_budget){0}), HOSTCACHE_ERR_UNSUPPORTED);
  line[HOSTCACHE_PATH_BYTES - 4] = '/';
  line[HOSTCACHE_PATH_BYTES] = 0;
  assert_result(pinned_budget(&(hostcache_budget){0}), HOSTCACHE_ERR_UNSUPPORTED);
}

static void a_name_that_is_too_long_is_unknown_in_the_usual_places_too(void **state) {
  static char text[3 * HOSTCACHE_PATH_BYTES];
  const size_t top = strlen(tree.top);
  hostcache_budget whole;
  size_t length, at;
  (void)state;
  put_system();
  take_away("/proc/self/mountinfo");
  whole = read_budget();
  assert_int_equal(whole.cgroup_limit, 1000000000);
  for (length = HOSTCACHE_PATH_BYTES - 64; length < HOSTCACHE_PATH_BYTES; length++) {
    memcpy(text, tree.top, top); /* the same folder, by a long name */
    for (at = top; at < length; at++)
      text[at] = (at - top) % 2 == 0 || at + 1 == length ? '/' : '.';
    text[length] = 0;
    budget_root = text;
    assert_nothing_made_up(&whole);
  }
  budget_root = tree.top;
  memset(text, 'x', sizeof text);
  memcpy(text, "0::/", 4);
  strcpy(text + HOSTCACHE_PATH_BYTES - 8, "\n");
  put("/proc/self/cgroup", text);
  assert_cgroup(UNKNOWN, UNKNOWN, UNKNOWN);
}

/* ---- the real system ------------------------------------------------------------------------- */

static int64_t kernel_says(const char *path, const char *format) {
  char line[512];
  long long value = -1;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file))
    if (sscanf(line, format, &value) == 1) break;
  assert_int_equal(fclose(file), 0);
  return value;
}

static void the_figures_are_those_of_this_system(void **state) {
  hostcache_budget budget;
  struct rlimit limit;
  int64_t before, after;
  int attempt;
  (void)state;
  budget_root = "";
  budget = read_budget();
  assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  assert_int_equal(budget.memlock_limit,
                   limit.rlim_cur == RLIM_INFINITY ? UNLIMITED : (int64_t)limit.rlim_cur);
  assert_int_equal(budget.memlock_used, 1024 * kernel_says("/proc/self/status", "VmLck: %lld"));
  assert_int_equal(budget.huge_free, 1024 * kernel_says("/proc/meminfo", "HugePages_Free: %lld") *
                                         kernel_says("/proc/meminfo", "Hugepagesize: %lld"));
  for (attempt = 0;; attempt++) { /* it changes all the time, mostly by little */
    before = 1024 * kernel_says("/proc/meminfo", "MemAvailable: %lld");
    budget = read_budget();
    after = 1024 * kernel_says("/proc/meminfo", "MemAvailable: %lld");
    if (budget.mem_available >= (before < after ? before : after) - (int64_t)(64 * MIB) &&
        budget.mem_available <= (before > after ? before : after) + (int64_t)(64 * MIB))
      break;
    assert_int_not_equal(attempt, 1000);
  }
  assert_true(budget.bytes >= 0 && budget.bytes <= budget.mem_available);
  assert_int_not_equal(budget.binding, HOSTCACHE_BUDGET_NOTHING);
}

static void a_budget_needs_a_place_to_go(void **state) {
  (void)state;
  budget_root = "";
  assert_result(pinned_budget(NULL), HOSTCACHE_ERR_ARGUMENT);
}

static size_t count_open_files(void) {
  size_t count = 0;
  DIR *folder = opendir("/proc/self/fd");
  assert_non_null(folder);
  while (readdir(folder) != NULL) count++;
  assert_int_equal(closedir(folder), 0);
  return count;
}

static void errno_stays_and_every_file_is_closed(void **state) {
  const size_t before = count_open_files();
  size_t i;
  (void)state;
  for (i = 0; i <= COUNT_OF(every_file); i++) {
    put_system();
    if (i < COUNT_OF(every_file)) make_unreadable(every_file[i], true);
    errno = 77;
    (void)read_budget();
    assert_int_equal(errno, 77);
    assert_can_be_cancelled();
    if (i < COUNT_OF(every_file)) make_readable(every_file[i]);
  }
  budget_root = "";
  errno = 77;
  (void)read_budget();
  assert_int_equal(errno, 77);
  assert_int_equal(count_open_files(), before);
}

/* ---- max_reserved_percent -------------------------------------------------------------------- */

static void available_is(int64_t kib) {
  char text[64];
  (void)snprintf(text, sizeof text, "MemAvailable: %lld kB\n", (long long)kib);
  put("/proc/meminfo", text);
}

/* What a cache with this config can reserve in pages. */
static size_t pages_within(pinned_rig *rig, hostcache_config config) {
  void *blocks[64];
  size_t count = 0, i;
  pinned_rig_configure(rig, config);
  for (;;) {
    hostcache_result result;
    assert_true(count < COUNT_OF(blocks));
    result = pinned_alloc(rig->cache, PAGE, &blocks[count]);
    if (result == HOSTCACHE_OK && ++count < COUNT_OF(blocks)) continue;
    if (result != HOSTCACHE_OK) assert_result(result, HOSTCACHE_ERR_LIMIT);
    break;
  }
  for (i = 0; i < count; i++) assert_ok(pinned_free(rig->cache, blocks[i]));
  assert_ok(pinned_empty_cache(rig->cache));
  return count;
}

static void the_cap_is_a_part_of_the_budget(void **state) {
  pinned_rig *rig = pinned_rig_open();
  hostcache_config config = pinned_rig_config(rig);
  (void)state;
  available_is(80);
  assert_int_equal(pages_within(rig, config), 64); /* no bound */
  config.max_reserved_percent = 100;
  assert_int_equal(pages_within(rig, config), 20);
  config.max_reserved_percent = 50;
  assert_int_equal(pages_within(rig, config), 10);
  config.max_reserved_percent = 54; /* 10.8 */
  assert_int_equal(pages_within(rig, config), 10);
  config.max_reserved_percent = 1;
  assert_int_equal(pages_within(rig, config), 0);
  config.max_reserved_percent = 50;
  config.max_reserved_bytes = 3 * PAGE; /* the lesser counts */
  assert_int_equal(pages_within(rig, config), 3);
  config.max_reserved_bytes = 30 * PAGE;
  assert_int_equal(pages_within(rig, config), 10);
  available_is(0);
  assert_int_equal(pages_within(rig, config), 0); /* and 0 does not stand for no bound */
  pinned_rig_close(rig);
}

static void the_part_of_a_budget_of_any_size_is_right(void **state) {
  static const struct {
    int64_t kib;
    uint32_t percent;
    size_t expected;
  } cases[] = {
#if SIZE_MAX > UINT32_MAX
    {INT64_MAX >> 10, 100, (size_t)INT64_MAX >> 10 << 10},
    {INT64_MAX >> 10, 99, 9131138316486227036u}, /* 99% of 9223372036854774784, rounded down */
#else
    {INT64_MAX >> 10, 99, SIZE_MAX},
#endif
    {1, 99, 1013},
    {100, 7, 7168}
  };
  pinned_rig *rig = pinned_rig_open();
  hostcache_config config = pinned_rig_config(rig);
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(cases); i++) {
    available_is(cases[i].kib);
    config.max_reserved_percent = cases[i].percent;
    pinned_rig_configure(rig, config);
    assert_int_equal(rig->cache->max_reserved, cases[i].expected);
  }
  pinned_rig_close(rig);
}

static void the_cap_is_of_the_budget_at_create_and_can_be_set_anew(void **state) {
  pinned_rig *rig = pinned_rig_open();
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  (void)state;
  available_is(80);
  config.max_reserved_percent = 50;
  pinned_rig_configure(rig, config);
  available_is(8000);
  assert_result(pinned_alloc(rig->cache, 11 * PAGE, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  assert_ok(pinned_alloc(rig->cache, 11 * PAGE, &ptr));
  assert_ok(pinned_free(rig->cache, ptr));
  pinned_rig_close(rig);
}

static void refuse(pinned_rig *rig, hostcache_config config, hostcache_result expected,
                   const char *why) {
  const uint64_t told = rig->heard.count;
  const long long live = atomic_load(&below.live);
  pinned *cache = rig->cache;
  assert_result(pinned_create(&cache, &config, &rig->device), expected);
  assert_null(cache);
  assert_int_equal(atomic_load(&below.live), live);
  assert_int_equal(rig->heard.count, told + (why != NULL));
  if (why == NULL) return;
  assert_int_equal(rig->heard.result, expected);
  assert_non_null(strstr(rig->heard.what, why));
}

static void a_part_that_cannot_be_is_refused(void **state) {
  pinned_rig *rig = pinned_rig_open();
  hostcache_config config = pinned_rig_config(rig);
  (void)state;
  available_is(80);
  config.max_reserved_percent = 101;
  refuse(rig, config, HOSTCACHE_ERR_ARGUMENT, NULL);
  config.max_reserved_percent = UINT32_MAX;
  refuse(rig, config, HOSTCACHE_ERR_ARGUMENT, NULL);
  config.max_reserved_percent = 50;
  config.reserve_segment_bytes = 10 * PAGE + 1;
  refuse(rig, config, HOSTCACHE_ERR_LIMIT, "reserve_segment_bytes");
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 0);
  config.reserve_segment_bytes = 10 * PAGE;
  pinned_rig_configure(rig, config);
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 10 * PAGE);
  pinned_rig_close(rig);
}

static void a_part_of_a_budget_that_is_unknown_is_refused(void **state) {
  pinned_rig *rig = pinned_rig_open();
  hostcache_config config = pinned_rig_config(rig);
  (void)state;
  config.max_reserved_percent = 50;
  refuse(rig, config, HOSTCACHE_ERR_UNSUPPORTED, "max_reserved_percent");
  config.max_reserved_bytes = 3 * PAGE; /* that is no budget */
  refuse(rig, config, HOSTCACHE_ERR_UNSUPPORTED, "max_reserved_percent");
  put("/proc/self/limits", "Max locked memory         unlimited  unlimited  bytes\n");
  refuse(rig, config, HOSTCACHE_ERR_UNSUPPORTED, "max_reserved_percent");
  config.on_error = NULL;
  refuse(rig, config, HOSTCACHE_ERR_UNSUPPORTED, NULL);
  pinned_rig_close(rig);
}

/* ---- a child that may lock little ------------------------------------------------------------ */

static int a_limited_process_is_bound_by_memlock(void) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_budget budget;
  sim_device device;
  pinned *cache;
  void *first, *second, *locked;
  MUST(pinned_budget(&budget) == HOSTCACHE_OK);
  MUST(budget.memlock_exempt == 0);
  MUST(budget.memlock_limit == 64 * (int64_t)KIB);
  MUST(budget.memlock_used == 0);
  MUST(budget.binding == HOSTCACHE_BUDGET_MEMLOCK);
  MUST(budget.bytes == 64 * (int64_t)KIB);

  sim_open(&device);
  config.segment_bytes = PAGE;
  config.max_reserved_percent = 50;
  MUST(pinned_create(&cache, &config, &device) == HOSTCACHE_OK);
  MUST(pinned_alloc(cache, 32 * KIB, &first) == HOSTCACHE_OK);
  MUST(pinned_alloc(cache, 1, &second) == HOSTCACHE_ERR_LIMIT);
  MUST(pinned_free(cache, first) == HOSTCACHE_OK);
  MUST(pinned_destroy(cache) == HOSTCACHE_OK);
  MUST(sim_close(&device, 0, 0) == 0);

  locked = mmap(NULL, 16 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MUST(locked != MAP_FAILED);
  MUST(mlock(locked, 16 * KIB) == 0);
  MUST(pinned_budget(&budget) == HOSTCACHE_OK);
  /* Sanitizers make mlock do nothing, and then the kernel counts nothing. */
  MUST(budget.memlock_used == 16 * (int64_t)KIB || budget.memlock_used == 0);
  MUST(budget.bytes == 64 * (int64_t)KIB - budget.memlock_used);
  return 0;
}

static void a_low_memlock_limit_binds_and_bounds_the_cap(void **state) {
  (void)state;
  budget_root = "";
  in_a_limited_child(a_limited_process_is_bound_by_memlock, 64 * KIB, 64 * KIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_tree, close_tree)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_figure_is_what_the_system_tells),
      TEST(an_empty_system_tells_nothing),
      TEST(huge_pages_are_a_figure_that_bounds_nothing),
      TEST(a_file_that_is_cut_off_anywhere_makes_nothing_up),
      TEST(files_that_are_missing_or_unreadable_make_nothing_up),
      TEST(a_number_that_is_none_is_unknown),
      TEST(a_number_beyond_its_type_is_no_limit_as_a_limit_and_else_unknown),
      TEST(of_two_figures_of_one_sum_one_alone_tells_nothing),
      TEST(of_two_lines_of_one_key_the_first_counts),
      TEST(a_line_of_any_length_is_read_over),
      TEST(words_may_be_parted_by_tabs),
      TEST(one_figure_alone_is_a_budget_that_is_known),
      TEST(the_least_of_what_is_known_binds),
      TEST(what_is_left_is_never_negative_and_never_above_the_limit),
      TEST(who_may_lock_without_limit_is_not_bound_by_it),
      TEST(a_capability_in_another_user_namespace_does_not_count),
      TEST(a_binding_has_a_string_that_names_it),
      TEST(of_nested_cgroups_the_one_with_the_least_left_counts),
      TEST(the_limit_that_slows_a_process_down_is_one),
      TEST(a_limit_of_which_the_use_is_unknown_is_not_forgotten_for_one_above_that_has_none),
      TEST(no_limit_anywhere_is_told_from_none_that_is_known),
      TEST(a_cgroup_without_the_controller_leaves_it_to_those_above),
      TEST(only_the_first_version_of_cgroups_tells_nothing),
      TEST(cgroups_are_found_where_they_are_mounted),
      TEST(a_mount_may_show_a_part_of_the_tree_alone),
      TEST(without_mountinfo_the_usual_places_are_looked_at),
      TEST(a_backslash_that_begins_no_number_stands_for_itself),
      TEST(three_digits_behind_a_backslash_are_a_byte),
      TEST(nothing_is_written_behind_where_a_name_goes),
      TEST(a_name_that_is_too_long_is_unknown),
      TEST(a_name_that_is_too_long_is_unknown_in_the_usual_places_too),
      TEST(the_figures_are_those_of_this_system),
      TEST(a_budget_needs_a_place_to_go),
      TEST(errno_stays_and_every_file_is_closed),
      TEST(the_cap_is_a_part_of_the_budget),
      TEST(the_part_of_a_budget_of_any_size_is_right),
      TEST(the_cap_is_of_the_budget_at_create_and_can_be_set_anew),
      TEST(a_part_that_cannot_be_is_refused),
      TEST(a_part_of_a_budget_that_is_unknown_is_refused),
      TEST(a_low_memlock_limit_binds_and_bounds_the_cap),
  };
  return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
