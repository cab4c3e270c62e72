// SPDX-License-Identifier: MIT
/* What /proc tells everybody about a process. Internal to the target library. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct process {
	char name[64]; /* comm */
	char state; /* as in proc(5): 'R', 'S', 'Z'… */
	bool kernel; /* a kernel thread */
	int leader; /* the process that it is a thread of; itself for a process */
	uid_t uid; /* real */
};

/* Returns 0, or an errno: ESRCH when there is no such process, EPERM when it is hidden from us (hidepid, proc(5)). */
int process_read(int pid, struct process *ret);
