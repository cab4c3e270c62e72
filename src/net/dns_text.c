// SPDX-License-Identifier: MIT
/* DNS names and codes as text. */
#include "net/dns.h"

#include <stdio.h>

static char *put_byte(char *at, uint8_t c)
{
	if (c <= ' ' || c > '~')
		return at + sprintf(at, "\\%03u", c);
	if (c == '.' || c == '\\')
		*at++ = '\\';
	*at++ = (char)c;
	return at;
}

const char *dns_name_format(const struct dns_name *name, char buf[DNS_NAME_TEXT])
{
	char *at = buf;

	for (size_t i = 0; i + 1 < name->len; i += name->wire[i] + 1u) {
		if (i)
			*at++ = '.';
		for (size_t k = 1; k <= name->wire[i]; k++)
			at = put_byte(at, name->wire[i + k]);
	}
	if (at == buf)
		*at++ = '.';
	*at = 0;
	return buf;
}

/* The types that real resolvers ask for or get (IANA's registry has more). */
const char *dns_type_format(uint16_t type, char buf[DNS_WORD_TEXT])
{
	static const char *const names[] = {
		[1] = "A",	[2] = "NS",	 [5] = "CNAME",	  [6] = "SOA",	  [12] = "PTR",	    [13] = "HINFO",
		[15] = "MX",	[16] = "TXT",	 [17] = "RP",	  [18] = "AFSDB", [24] = "SIG",	    [25] = "KEY",
		[28] = "AAAA",	[29] = "LOC",	 [33] = "SRV",	  [35] = "NAPTR", [36] = "KX",	    [37] = "CERT",
		[39] = "DNAME", [41] = "OPT",	 [42] = "APL",	  [43] = "DS",	  [44] = "SSHFP",   [45] = "IPSECKEY",
		[46] = "RRSIG", [47] = "NSEC",	 [48] = "DNSKEY", [49] = "DHCID", [50] = "NSEC3",   [51] = "NSEC3PARAM",
		[52] = "TLSA",	[53] = "SMIMEA", [55] = "HIP",	  [59] = "CDS",	  [60] = "CDNSKEY", [61] = "OPENPGPKEY",
		[62] = "CSYNC", [63] = "ZONEMD", [64] = "SVCB",	  [65] = "HTTPS", [99] = "SPF",	    [249] = "TKEY",
		[250] = "TSIG", [251] = "IXFR",	 [252] = "AXFR",  [255] = "ANY",  [256] = "URI",    [257] = "CAA",
	};

	if (type < sizeof(names) / sizeof(names[0]) && names[type])
		return names[type];
	snprintf(buf, DNS_WORD_TEXT, "TYPE%u", type);
	return buf;
}

const char *dns_rcode_format(uint16_t rcode, char buf[DNS_WORD_TEXT])
{
	static const char *const names[] = {
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",		"REFUSED",	    "YXDOMAIN",
		"YXRRSET", "NXRRSET", "NOTAUTH",  "NOTZONE",  [16] = "BADVERS", [23] = "BADCOOKIE",
	};

	if (rcode < sizeof(names) / sizeof(names[0]) && names[rcode])
		return names[rcode];
	snprintf(buf, DNS_WORD_TEXT, "RCODE%u", rcode);
	return buf;
}
