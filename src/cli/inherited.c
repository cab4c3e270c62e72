// SPDX-License-Identifier: MIT
/* What the program inherits. */
#include "cli/inherited.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"

#define STACK_ENOUGH ((rlim_t)8 << 20)

static const __rlimit_resource_t resources[INHERITED_LIMITS] = { [INHERITED_FILES] = RLIMIT_NOFILE, [INHERITED_STACK] = RLIMIT_STACK };

/* open() takes the lowest number that is free. A chroot may lack /dev/null. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
			(void)!open("/", O_PATH | O_CLOEXEC);
}

/* The children of this process have it, too. */
static void raise_stack_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur >= STACK_ENOUGH)
		return;
	limit.rlim_cur = limit.rlim_max < STACK_ENOUGH ? limit.rlim_max : STACK_ENOUGH;
	setrlimit(RLIMIT_STACK, &limit);
}

void inherited_set_aside(struct inherited *ret)
{
	*ret = (struct inherited){ .parent = getppid() };
	fill_standard_descriptors();
	for (int i = 0; i < INHERITED_LIMITS; i++)
		ret->raised[i] = getrlimit(resources[i], &ret->limits[i]) == 0;
	fd_raise_limit();
	raise_stack_limit();
	prctl(PR_GET_PDEATHSIG, &ret->death_signal);
}

/* A change of credentials, as entering a user namespace is one, clears the death signal; it may have been due in between. */
static void restore_death_signal(const struct inherited *i)
{
	if (!i->death_signal)
		return;
	prctl(PR_SET_PDEATHSIG, i->death_signal);
	if (getppid() != i->parent)
		raise(i->death_signal);
}

void inherited_give_back(const struct inherited *i)
{
	for (int n = 0; n < INHERITED_LIMITS; n++)
		if (i->raised[n])
			setrlimit(resources[n], &i->limits[n]);
	restore_death_signal(i);
}
