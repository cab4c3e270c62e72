// SPDX-License-Identifier: MIT
/* The files are those that a cluster's container gets (kube/bundle.h), as a tar archive (POSIX.1-1988, ustar) for `docker import`. The image is named
 * after their contents, so it is imported once for each agent, and an older agent's isn't used. */
#include "cli/docker_image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/fd.h"
#include "kube/bundle.h"
#include "kube/sha1.h"

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], rest[247];
};

static_assert(sizeof(struct tar_header) == 512, "a block");

static void make_header(const char *name, size_t size, struct tar_header *ret)
{
	struct tar_header h = { .mode = "0000755", .uid = "0000000", .gid = "0000000", .mtime = "00000000000", .type = '0',
				.magic = "ustar", .version = { '0', '0' } };
	unsigned int sum = 0;

	snprintf(h.name, sizeof(h.name), "%s", name);
	snprintf(h.size, sizeof(h.size), "%011zo", size);
	memset(h.checksum, ' ', sizeof(h.checksum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const unsigned char *)&h)[i];
	snprintf(h.checksum, sizeof(h.checksum), "%06o", sum);
	*ret = h;
}

static int write_archive(const struct bundle *b, int out)
{
	static const char end[2 * sizeof(struct tar_header)];

	for (size_t i = 0; i < b->n; i++) {
		const struct bundle_file *f = &b->files[i];
		off_t at = (off_t)(f->at * BUNDLE_BLOCK), to = at + (off_t)(f->blocks * BUNDLE_BLOCK);
		struct tar_header h;

		make_header(f->name, f->blocks * BUNDLE_BLOCK, &h);
		if (fd_write_all(out, &h, sizeof(h)) < 0)
			return -1;
		while (at < to)
			if (sendfile(out, b->fd, &at, (size_t)(to - at)) <= 0)
				return -1;
	}
	return fd_write_all(out, end, sizeof(end));
}

static int name_it(const struct bundle *b, char ret[DOCKER_IMAGE_MAX], struct error *err)
{
	size_t len = b->blocks * BUNDLE_BLOCK;
	void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, b->fd, 0);
	unsigned char digest[SHA1_LEN];
	int n = snprintf(ret, DOCKER_IMAGE_MAX, "mirrord-hold:");

	if (bytes == MAP_FAILED)
		return error_set(err, errno, "read the agent");
	sha1(bytes, len, digest);
	munmap(bytes, len);
	for (size_t i = 0; i < sizeof(digest); i++)
		n += snprintf(ret + n, (size_t)(DOCKER_IMAGE_MAX - n), "%02x", digest[i]);
	return 0;
}

static int import(const struct engine_cli *e, const struct bundle *b, const char *name, struct error *err)
{
	const char *const words[] = { "import", "-", name, NULL };
	struct sigaction ignored = { .sa_handler = SIG_IGN }, before;
	char said[ENGINE_SAYS_MAX];
	struct engine_call c;

	if (engine_cli_start(e, words, false, &c, err) < 0)
		return -1;
	sigaction(SIGPIPE, &ignored, &before); /* it may end before it has read all */
	write_archive(b, c.in);
	sigaction(SIGPIPE, &before, NULL);
	fd_closep(&c.in);
	engine_cli_hear(&c, NULL, said);
	if (engine_cli_end(&c) == 0)
		return 0;
	said[strcspn(said, "\n")] = '\0';
	error_set(err, 0, "%s import: %s", e->argv[0], said[0] ? said : "it did not start");
	return error_hint(err, "`%s info` shows whether it works for you; it is root's, mostly: sudo mirrord container …", e->argv[0]);
}

int docker_image_bring(const struct engine_cli *e, char ret[DOCKER_IMAGE_MAX], struct error *err)
{
	const char *const words[] = { "image", "inspect", "--format", "there", ret, NULL };
	char said[ENGINE_SAYS_MAX];
	struct bundle b;
	int r;

	if (bundle_make(&b, err) < 0)
		return -1;
	r = name_it(&b, ret, err);
	if (r == 0) {
		r = engine_cli_ask(e, words, said, err);
		if (r > 0)
			r = import(e, &b, ret, err);
	}
	bundle_fini(&b);
	return r;
}
