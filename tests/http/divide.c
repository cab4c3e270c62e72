// SPDX-License-Identifier: MIT
/* divide -- reads { u32 length (this machine's order), bytes }… from standard input, and prints for each how src/http/h1_*.c divide it into
 * requests. For comparisons with other parsers. */
#include <stdio.h>

#include "../unit/http/h1_divide.h"

int main(void)
{
	static struct divider d;
	static uint8_t data[1 << 20];
	uint32_t len;

	while (fread(&len, sizeof(len), 1, stdin) == 1 && len <= sizeof(data) && fread(data, 1, len, stdin) == len) {
		divide_begin(&d);
		divide(&d, data, len);
		printf("%s\n", divide_end(&d));
	}
	return 0;
}
