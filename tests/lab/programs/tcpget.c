// SPDX-License-Identifier: MIT
/* tcpget ADDRESS PORT: connects and copies what comes to stdout; the exit status is the errno of a failure. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	char data[1000];
	ssize_t n;
	int v6, s;

	if (argc != 3)
		return 2;
	v6 = strchr(argv[1], ':') != NULL;
	four.sin_port = six.sin6_port = htons((unsigned short)atoi(argv[2]));
	inet_pton(v6 ? AF_INET6 : AF_INET, argv[1], v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	s = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	if (connect(s, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, v6 ? sizeof(six) : sizeof(four)) < 0)
		return errno;
	while ((n = read(s, data, sizeof(data))) > 0)
		if (write(STDOUT_FILENO, data, (size_t)n) != n)
			return errno;
	return n < 0 ? errno : 0;
}
