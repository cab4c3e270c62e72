// SPDX-License-Identifier: MIT
/* What the program inherits. */
#include "cli/inherited.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"

/* open() takes the lowest number that is free. A chroot may lack /dev/null. */
static void fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
			(void)!open("/", O_PATH | O_CLOEXEC);
}

void inherited_set_aside(struct inherited *ret)
{
	*ret = (struct inherited){ .parent = getppid() };
	fill_standard_descriptors();
	ret->files_raised = getrlimit(RLIMIT_NOFILE, &ret->files) == 0;
	fd_raise_limit();
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
	if (i->files_raised)
		setrlimit(RLIMIT_NOFILE, &i->files);
	restore_death_signal(i);
}
