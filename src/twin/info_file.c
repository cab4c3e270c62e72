// SPDX-License-Identifier: MIT
/* A target's description in a memfd. */
#include "twin/info_file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

enum { INFO_MEMFD_MAX = 16 << 20 };

int target_info_memfd(const struct target_info *info, struct error *err)
{
	_cleanup_fd_ int fd = memfd_create("mirrord-target", MFD_CLOEXEC);
	size_t len;
	uint8_t *data = target_info_encode(info, &len);
	int rc = fd >= 0 && data ? fd_write_all(fd, data, len) : -1;

	if (rc < 0)
		error_set(err, errno, "hand over the target's description");
	free(data);
	return rc < 0 ? -1 : fd_steal(&fd);
}

int target_info_from_fd(int fd, struct target_info *ret, struct error *err)
{
	size_t len;
	char *data;
	int rc;

	if (lseek(fd, 0, SEEK_SET) < 0 || !(data = fd_read_all(fd, INFO_MEMFD_MAX, &len)))
		return error_set(err, errno, "read the target's description");
	rc = target_info_decode((uint8_t *)data, len, ret, err);
	free(data);
	return rc;
}
