// SPDX-License-Identifier: MIT
/* What connections and datagrams have in common. */
#include "forward/local.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* "*" takes both families where there are both. */
static int bind_to(struct forward_rule *rule, int type)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(&rule->listen, &sa);
	const int both = ip_equal(&rule->listen.ip, &IP_ANY6), on = 1, off = 0;
	_cleanup_fd_ int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &off : &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -1;
	len = sizeof(sa);
	if (!rule->listen.port && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
		rule->listen.port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&sa)->sin6_port :
								     ((struct sockaddr_in *)(void *)&sa)->sin_port);
	return fd_steal(&fd);
}

int local_bind(struct forward_rule *rule, int type, struct error *err)
{
	char text[ENDPOINT_TEXT];
	int fd = bind_to(rule, type);

	if (fd < 0 && errno == EAFNOSUPPORT && ip_equal(&rule->listen.ip, &IP_ANY6)) {
		rule->listen.ip = IP_ANY4; /* all that a kernel without IPv6 has */
		fd = bind_to(rule, type);
	}
	if (fd >= 0)
		return fd;
	error_set(err, errno, "listen on %s", endpoint_format(&rule->listen, text));
	if (errno == EADDRINUSE)
		error_hint(err, "`ss -lntup` says who has it; another port of this machine stands first in -L: 18080:%s:%u", rule->host, rule->port);
	else if (errno == EACCES)
		error_hint(err, "ports below 1024 are root's; another port of this machine stands first in -L: 18080:%s:%u", rule->host, rule->port);
	return -1;
}

void local_complain(const struct forward_rule *rule, const char *why)
{
	static struct log_limit limit;

	if (log_limit_pass(&limit, LOG_LEVEL_ERROR))
		log_tell(0, "mirrord: %s:%u%s from the target: %s\n", rule->host, rule->port, rule->protocol == IPPROTO_UDP ? " (UDP)" : "", why);
}
