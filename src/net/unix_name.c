// SPDX-License-Identifier: MIT
/* Names of Unix sockets. */
#include "net/unix_name.h"

#include <string.h>

void unix_name_set(struct unix_name *n, const void *bytes, size_t len)
{
	n->len = 0;
	if (!len || len > UNIX_NAME_MAX || (*(const char *)bytes && memchr(bytes, 0, len)))
		return;
	n->len = (uint8_t)len;
	memcpy(n->bytes, bytes, len);
}

void unix_name_from_sockaddr(struct unix_name *n, const struct sockaddr_un *sa, size_t len)
{
	size_t most = len <= offsetof(struct sockaddr_un, sun_path) || len > sizeof(*sa) ? 0 : len - offsetof(struct sockaddr_un, sun_path);

	n->len = 0;
	if (most && sa->sun_family == AF_UNIX)
		unix_name_set(n, sa->sun_path, sa->sun_path[0] ? strnlen(sa->sun_path, most) : most);
}

socklen_t unix_name_to_sockaddr(const struct unix_name *n, struct sockaddr_un *ret)
{
	size_t len = offsetof(struct sockaddr_un, sun_path) + n->len;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, n->bytes, n->len);
	return (socklen_t)(len + (!unix_name_is_abstract(n) && len < sizeof(*ret)));
}

void unix_name_format(const struct unix_name *n, char ret[UNIX_NAME_MAX + 1])
{
	for (size_t i = 0; i < n->len; i++)
		ret[i] = n->bytes[i] >= ' ' && n->bytes[i] <= '~' ? n->bytes[i] : '?';
	if (unix_name_is_abstract(n))
		ret[0] = '@';
	ret[n->len] = '\0';
}
