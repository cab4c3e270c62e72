// SPDX-License-Identifier: MIT
/* Edit distance in the restricted Damerau-Levenshtein form, over words of NEAREST_LEN letters at most. */
#include "base/nearest.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { NEAREST_LEN = 80 };

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static unsigned int distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned int d[NEAREST_LEN + 1][NEAREST_LEN + 1];

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned int)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			unsigned int other = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + other);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[n][m];
}

const char *nearest_word(const char *typed, const char *const *words)
{
	size_t n = strlen(typed);
	const char *best = NULL;
	unsigned int least = n < 4 ? 1 : (unsigned int)n / 3 + 1; /* more wrong letters than that, and it is another word */

	if (n == 0 || n > NEAREST_LEN)
		return NULL;
	for (; *words; words++) {
		size_t m = strlen(*words);
		unsigned int d;

		if (m > NEAREST_LEN)
			continue;
		d = distance(typed, n, *words, m);
		if (d < least || (d == least && !best)) {
			least = d;
			best = *words;
		}
	}
	return best;
}
