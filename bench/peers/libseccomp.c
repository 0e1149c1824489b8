/* Builds a filter with libseccomp, as runc and crun do, from rules on standard input; see xtask/src/bench/libseccomp.rs.
 *
 *   default ACTION            the action of what no rule names
 *   arch NAME                 one more architecture than the machine's own (libseccomp's names)
 *   rule ACTION NAME [INDEX OPERATOR VALUE MASK]...
 *
 * `libseccomp TIMES FILE` does it so often, prints the fewest and the median nanoseconds and the number of instructions, and writes the
 * instructions to FILE. Numbers are read by strtoull(3) with base 0. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RULES 2048
#define ARGUMENTS 6

struct rule {
	uint32_t action;
	char name[64];
	unsigned count;
	struct scmp_arg_cmp arguments[ARGUMENTS];
};

static uint32_t fallback;
static uint32_t architectures[16];
static unsigned architecture_count;
static struct rule rules[RULES];
static unsigned rule_count;

static void fail(const char *what)
{
	fprintf(stderr, "libseccomp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(int result, const char *what)
{
	if (result < 0) {
		errno = -result;
		fail(what);
	}
}

static uint64_t number(const char *word)
{
	char *end = NULL;
	uint64_t value;
	errno = 0;
	value = word ? strtoull(word, &end, 0) : 0;
	if (!word || errno || *end)
		fail("a number is wrong");
	return value;
}

static void read_rule(char *line)
{
	struct rule *rule = &rules[rule_count];
	char *save = NULL;
	char *word;
	if (rule_count++ == RULES)
		fail("too many rules");
	rule->action = number(strtok_r(line, " ", &save));
	word = strtok_r(NULL, " ", &save);
	if (!word || strlen(word) >= sizeof(rule->name))
		fail("a rule names no call");
	strcpy(rule->name, word);
	while ((word = strtok_r(NULL, " ", &save))) {
		struct scmp_arg_cmp *argument = &rule->arguments[rule->count];
		if (rule->count++ == ARGUMENTS)
			fail("too many arguments");
		argument->arg = number(word);
		argument->op = number(strtok_r(NULL, " ", &save));
		argument->datum_a = number(strtok_r(NULL, " ", &save));
		argument->datum_b = number(strtok_r(NULL, " ", &save));
	}
}

static void read_all(void)
{
	char line[512];
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "default ", 8))
			fallback = number(line + 8);
		else if (!strncmp(line, "rule ", 5))
			read_rule(line + 5);
		else if (!strncmp(line, "arch ", 5) && architecture_count < 16)
			architectures[architecture_count++] = seccomp_arch_resolve_name(line + 5);
		else
			fail("a line is wrong");
	}
}

/* The whole work of a runtime: the context, every rule, and the program into `file`. */
static void build(int file)
{
	scmp_filter_ctx context = seccomp_init(fallback);
	if (!context)
		fail("seccomp_init");
	for (unsigned index = 0; index < architecture_count; index++) {
		int result = seccomp_arch_add(context, architectures[index]);
		if (result != -EEXIST)
			check(result, "seccomp_arch_add");
	}
	check(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "binary tree");
	for (unsigned index = 0; index < rule_count; index++) {
		struct rule *rule = &rules[index];
		int call = seccomp_syscall_resolve_name(rule->name);
		/* As in runc: what libseccomp does not know, and what is the default anyhow, is left out. */
		if (call == __NR_SCMP_ERROR || rule->action == fallback)
			continue;
		check(seccomp_rule_add_array(context, rule->action, call, rule->count, rule->arguments), rule->name);
	}
	check(seccomp_export_bpf(context, file), "seccomp_export_bpf");
	seccomp_release(context);
}

static int compare(const void *left, const void *right)
{
	uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;
	return one < other ? -1 : one > other;
}

int main(int count, char **words)
{
	uint64_t *took;
	size_t times;
	int file;
	if (count != 3)
		fail("two words are needed: TIMES FILE");
	times = number(words[1]);
	took = times ? calloc(times, sizeof(*took)) : NULL;
	file = open(words[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (!took || file < 0)
		fail(words[2]);
	read_all();
	for (size_t index = 0; index < times; index++) {
		struct timespec start, end;
		int memory = memfd_create("filter", MFD_CLOEXEC);
		int last = index + 1 == times;
		if (memory < 0)
			fail("memfd_create");
		clock_gettime(CLOCK_MONOTONIC, &start);
		build(last ? file : memory);
		clock_gettime(CLOCK_MONOTONIC, &end);
		close(memory);
		took[index] = (end.tv_sec - start.tv_sec) * UINT64_C(1000000000) + end.tv_nsec - start.tv_nsec;
	}
	qsort(took, times, sizeof(*took), compare);
	printf("min %" PRIu64 " median %" PRIu64 " instructions %ld\n", took[0], took[times / 2],
	       (long)(lseek(file, 0, SEEK_END) / 8));
	return 0;
}
