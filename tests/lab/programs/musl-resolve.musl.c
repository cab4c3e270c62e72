// SPDX-License-Identifier: MIT
/* musl-resolve NAME [PORT]: prints NAME's addresses; with a PORT connects to the first and prints one line from it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char text[INET6_ADDRSTRLEN], line[500];
	ssize_t n;
	int s, rc;

	if (argc < 2)
		return 2;
	rc = getaddrinfo(argv[1], argc > 2 ? argv[2] : "80", &hints, &found);
	if (rc != 0) {
		printf("%s\n", gai_strerror(rc));
		return 1;
	}
	if (argc == 2) {
		for (struct addrinfo *a = found; a; a = a->ai_next) {
			getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
			printf("%s\n", text);
		}
		return 0;
	}
	s = socket(found->ai_family, SOCK_STREAM, 0);
	if (connect(s, found->ai_addr, found->ai_addrlen) < 0) {
		printf("connect: %s\n", strerror(errno));
		return 1;
	}
	n = read(s, line, sizeof(line));
	return n > 0 && write(STDOUT_FILENO, line, (size_t)n) == n ? 0 : 1;
}
