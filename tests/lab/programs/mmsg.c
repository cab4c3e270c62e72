// SPDX-License-Identifier: MIT
/* mmsg ADDRESS PORT COUNT: sends COUNT datagrams with one sendmmsg() and takes the answers with recvmmsg(). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { MAX = 64, SIZE = 100 };

static struct mmsghdr msgs[MAX];
static struct iovec iov[MAX];
static char data[MAX][SIZE];

static void prepare(unsigned int n, void *name, socklen_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		iov[i] = (struct iovec){ data[i], SIZE - i };
		memset(&msgs[i], 0, sizeof(msgs[i]));
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = name, .msg_namelen = len };
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct timeval patience = { 2, 0 };
	unsigned int n, got = 0, right = 0;
	int v6, s;

	if (argc != 4)
		return 2;
	v6 = strchr(argv[1], ':') != NULL;
	n = (unsigned int)atoi(argv[3]) % (MAX + 1);
	four.sin_port = six.sin6_port = htons((unsigned short)atoi(argv[2]));
	inet_pton(v6 ? AF_INET6 : AF_INET, argv[1], v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
	s = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (unsigned int i = 0; i < n; i++)
		memset(data[i], 'a' + (int)(i % 26), SIZE);
	prepare(n, v6 ? (void *)&six : (void *)&four, v6 ? sizeof(six) : sizeof(four));
	printf("sendmmsg: %d\n", sendmmsg(s, msgs, n, 0));
	memset(data, 0, sizeof(data));
	while (got < n) {
		prepare(n, NULL, 0);
		for (unsigned int i = 0; i < n; i++)
			iov[i] = (struct iovec){ data[i], SIZE };
		int more = recvmmsg(s, msgs, n - got, MSG_WAITFORONE, NULL);
		if (more <= 0)
			break;
		for (int i = 0; i < more; i++) {
			unsigned int len = msgs[i].msg_len, which = SIZE - len;
			right += which < n && data[i][0] == 'a' + (char)(which % 26) && data[i][len - 1] == data[i][0];
		}
		got += (unsigned int)more;
	}
	printf("recvmmsg: %u, right: %u\n", got, right);
	return 0;
}
