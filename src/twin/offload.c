// SPDX-License-Identifier: MIT
/* tx-udp-segmentation off, by the ethtool ioctl: a feature's place in the bit set is looked up by its name, as ethtool(8) does. */
#include "twin/offload.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

static int ask(int sock, const char *link, void *command)
{
	struct ifreq ifr = { .ifr_data = command };

	strncpy(ifr.ifr_name, link, sizeof(ifr.ifr_name) - 1);
	return ioctl(sock, SIOCETHTOOL, &ifr);
}

static unsigned int count_features(int sock, const char *link)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t count;
	} set = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << ETH_SS_FEATURES } };

	return ask(sock, link, &set) < 0 ? 0 : set.info.data[0];
}

/* The bit of feature @name, or -1 when the kernel doesn't have it. */
static int find_feature(int sock, const char *link, const char *name, unsigned int n)
{
	struct ethtool_gstrings *names = calloc(1, sizeof(*names) + (size_t)n * ETH_GSTRING_LEN);
	int found = -1;

	if (!names)
		return -1;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = n;
	if (ask(sock, link, names) == 0)
		for (unsigned int i = 0; i < n && found < 0; i++)
			if (strncmp((char *)names->data + (size_t)i * ETH_GSTRING_LEN, name, ETH_GSTRING_LEN) == 0)
				found = (int)i;
	free(names);
	return found;
}

int link_segmentation_off(const char *link, struct error *err)
{
	_cleanup_fd_ int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned int n = sock < 0 ? 0 : count_features(sock, link);
	int bit = n ? find_feature(sock, link, "tx-udp-segmentation", n) : -1;
	struct {
		struct ethtool_sfeatures head;
		struct ethtool_set_features_block blocks[8];
	} set = { .head = { .cmd = ETHTOOL_SFEATURES, .size = (n + 31) / 32 } };

	if (bit < 0 || set.head.size > 8)
		return 0;
	set.blocks[bit / 32].valid = 1U << bit % 32;
	if (ask(sock, link, &set) < 0)
		return error_set(err, errno, "switch UDP segmentation off on %s", link);
	return 0;
}
