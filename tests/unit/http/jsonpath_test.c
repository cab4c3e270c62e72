// SPDX-License-Identifier: MIT
/* JSONPath: what is selected, in which order, and what isn't well-formed, section by section of RFC 9535. */
#include "http/jsonpath.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/json_text.h"
#include "tap.h"

#define BOOKS                                                                                                          \
	"{\"id\":1,\"price\":8.95,\"by\":\"N\"},{\"id\":2,\"price\":12.5,\"by\":\"E\"},{\"id\":3,\"price\":8.99,\"by\":\"H\",\"isbn\":\"x-3\"}"
#define SHOP "{\"store\":{\"book\":[" BOOKS "],\"bike\":{\"price\":399}}}"
#define MIX "[0,1,1.0,-0.5,\"\",\"a\",\"ab\",\"\\u00e9\",true,false,null,[],[1],{},{\"a\":1}]"

static const struct {
	const char *path, *document, *selected;
} rows[] = {
	/* §2.2 and §2.3.1: root, names */
	{ "$", "1", "[1]" },
	{ "$", "{\"a\":null}", "[{\"a\":null}]" },
	{ "$.a", "{\"a\":1}", "[1]" },
	{ "$ .a", "{\"a\":1}", "[1]" },
	{ "$\n.a\t[ 'b' ]", "{\"a\":{\"b\":2}}", "[2]" },
	{ "$.a", "[1]", "[]" },
	{ "$.a", "{\"b\":1}", "[]" },
	{ "$['a']", "{\"a\":1}", "[1]" },
	{ "$[\"a b\"]", "{\"a b\":1}", "[1]" },
	{ "$[\"\"]", "{\"\":1}", "[1]" },
	{ "$['\\'']", "{\"'\":1}", "[1]" },
	{ "$[\"\\\"\"]", "{\"\\\"\":1}", "[1]" },
	{ "$['\\\\']", "{\"\\\\\":1}", "[1]" },
	{ "$['\\/']", "{\"/\":1}", "[1]" },
	{ "$['\\n\\t\\r\\b\\f']", "{\"\\n\\t\\r\\b\\f\":1}", "[1]" },
	{ "$['\\u00e9']", "{\"\\u00e9\":1}", "[1]" },
	{ "$['\\uD83D\\uDE00']", "{\"\\ud83d\\ude00\":1}", "[1]" },
	{ "$.\xc3\xa9_1", "{\"\\u00e9_1\":1}", "[1]" },
	/* §2.3.2: wildcards */
	{ "$.*", "{\"a\":1,\"b\":[2]}", "[1,[2]]" },
	{ "$[*]", "[1,[2]]", "[1,[2]]" },
	{ "$[*]", "1", "[]" },
	{ "$[*,*]", "[1,2]", "[1,2,1,2]" },
	/* §2.3.3: indexes */
	{ "$[0]", "[1,2]", "[1]" },
	{ "$[-1]", "[1,2]", "[2]" },
	{ "$[-3]", "[1,2]", "[]" },
	{ "$[2]", "[1,2]", "[]" },
	{ "$[0]", "{\"0\":1}", "[]" },
	{ "$[0,0,-1]", "[1,2]", "[1,1,2]" },
	/* §2.3.4: slices */
	{ "$[1:3]", "[0,1,2,3,4,5,6]", "[1,2]" },
	{ "$[5:]", "[0,1,2,3,4,5,6]", "[5,6]" },
	{ "$[1:5:2]", "[0,1,2,3,4,5,6]", "[1,3]" },
	{ "$[5:1:-2]", "[0,1,2,3,4,5,6]", "[5,3]" },
	{ "$[::-1]", "[0,1,2]", "[2,1,0]" },
	{ "$[:]", "[0,1,2]", "[0,1,2]" },
	{ "$[::]", "[0,1,2]", "[0,1,2]" },
	{ "$[ 1 : 2 : 1 ]", "[0,1,2]", "[1]" },
	{ "$[::0]", "[0,1,2]", "[]" },
	{ "$[-2:]", "[0,1,2]", "[1,2]" },
	{ "$[:-2]", "[0,1,2]", "[0]" },
	{ "$[-9:9]", "[0,1,2]", "[0,1,2]" },
	{ "$[9:-9:-1]", "[0,1,2]", "[2,1,0]" },
	{ "$[0:9007199254740991:9007199254740991]", "[0,1]", "[0]" },
	{ "$[1:2]", "{\"a\":1}", "[]" },
	{ "$[:2,2]", "[0,1,2]", "[0,1,2]" },
	/* §2.5.2: descendants */
	{ "$..price", SHOP, "[8.95,12.5,8.99,399]" },
	{ "$..*", "{\"a\":[1,{\"b\":2}]}", "[[1,{\"b\":2}],1,{\"b\":2},2]" },
	{ "$..[0]", "[[1,[2]],3]", "[[1,[2]],1,2]" },
	{ "$..[*,0]", "[[1]]", "[[1],[1],1,1]" },
	{ "$.a..b", "{\"a\":{\"b\":{\"b\":1}},\"b\":2}", "[{\"b\":1},1]" },
	{ "$..['a','b']", "{\"a\":1,\"c\":{\"b\":2}}", "[1,2]" },
	{ "$.store.book[*].by", SHOP, "[\"N\",\"E\",\"H\"]" },
	{ "$.store.book[-1:].id", SHOP, "[3]" },
	/* §2.3.5: filters */
	{ "$.store.book[?@.isbn].id", SHOP, "[3]" },
	{ "$.store.book[?!@.isbn].id", SHOP, "[1,2]" },
	{ "$.store.book[?@.price<10].id", SHOP, "[1,3]" },
	{ "$..book[?@.price<10 && @.isbn].id", SHOP, "[3]" },
	{ "$..book[?@.by=='N' || @.by==\"E\"].id", SHOP, "[1,2]" },
	{ "$..book[?(@.by=='N' || @.by=='E') && @.price>10].id", SHOP, "[2]" },
	{ "$..book[?@.by=='N' || @.by=='E' && @.price<10].id", SHOP, "[1]" },
	{ "$..book[?!(@.price<10)].id", SHOP, "[2]" },
	{ "$..book[?@.price<$.store.bike.price].id", SHOP, "[1,2,3]" },
	{ "$[?@.a]", "{\"x\":{\"a\":null},\"y\":{\"b\":1}}", "[{\"a\":null}]" },
	{ "$[?@[?@>1]]", "[[1],[1,2]]", "[[1,2]]" },
	{ "$[?@.*]", "[[],[1],{},1]", "[[1]]" },
	{ "$[?@==1]", MIX, "[1,1.0]" },
	{ "$[?@==1.0e0]", MIX, "[1,1.0]" },
	{ "$[?@==-0]", MIX, "[0]" },
	{ "$[?@=='a']", MIX, "[\"a\"]" },
	{ "$[?@==true]", MIX, "[true]" },
	{ "$[?@==null]", MIX, "[null]" },
	{ "$[?@!=@]", MIX, "[]" },
	{ "$[?@<1]", MIX, "[0,-0.5]" },
	{ "$[?@<=1]", MIX, "[0,1,1.0,-0.5]" },
	{ "$[?@>'a']", MIX, "[\"ab\",\"\xc3\xa9\"]" },
	{ "$[?@>='ab']", MIX, "[\"ab\",\"\xc3\xa9\"]" },
	{ "$[?@<=true]", MIX, "[true]" },
	{ "$[?@<true]", MIX, "[]" },
	{ "$[?@==$[11]]", MIX, "[[]]" },
	{ "$[?@.a==@.b]", "[{\"a\":1,\"b\":1.0},{\"a\":1},{},{\"a\":[1,{\"c\":2}],\"b\":[1.0,{\"c\":2}]}]",
	  "[{\"a\":1,\"b\":1.0},{},{\"a\":[1,{\"c\":2}],\"b\":[1.0,{\"c\":2}]}]" },
	{ "$[?@.x<=@.y]", "[{\"z\":1}]", "[{\"z\":1}]" },
	{ "$[?@.x<@.y]", "[{\"z\":1}]", "[]" },
	{ "$[?1==1]", "[5]", "[5]" },
	{ "$[ ? @ == 5 , 0 ]", "[5]", "[5,5]" },
	/* §2.4: functions */
	{ "$[?length(@)==2]", MIX, "[\"ab\"]" },
	{ "$[?length(@)==1]", MIX, "[\"a\",\"\xc3\xa9\",[1],{\"a\":1}]" },
	{ "$[?length(@)==length(1)]", "[1,[1]]", "[1]" },
	{ "$[?count(@.*)==2]", "[[1,2],[1],{\"a\":1,\"b\":2}]", "[[1,2],{\"a\":1,\"b\":2}]" },
	{ "$[?count(@..*)>2]", "[[1,[2]],[1]]", "[[1,[2]]]" },
	{ "$[?match(@,'a.')]", "[\"ab\",\"xab\",\"abx\",1]", "[\"ab\"]" },
	{ "$[?match(@,'a|ab')]", "[\"ab\",\"a\",\"abc\"]", "[\"ab\",\"a\"]" },
	{ "$[?match(@,'a.c')]", "[\"a\\nc\",\"a\\rc\",\"a\\u2028c\",\"abc\"]", "[\"a\xe2\x80\xa8"
	  "c\",\"abc\"]" },
	{ "$[?search(@,'b+')]", "[\"abbc\",\"ac\"]", "[\"abbc\"]" },
	{ "$[?!search(@.a,'b')]", "[{\"a\":\"b\"},{\"a\":\"c\"},{}]", "[{\"a\":\"c\"},{}]" },
	{ "$[?search(@.t,@.p)]", "[{\"t\":\"abc\",\"p\":\"^a\"},{\"t\":\"abc\",\"p\":\"^b\"},{\"t\":\"abc\",\"p\":\"[\"}]",
	  "[{\"t\":\"abc\",\"p\":\"^a\"}]" },
	{ "$[?value(@..a)==1]", "[{\"a\":1},{\"a\":1,\"b\":{\"a\":1}}]", "[{\"a\":1}]" },
	{ "$[?length(value(@.*))==2]", "[[\"ab\"],[\"ab\",\"cd\"]]", "[[\"ab\"]]" },
	{ "$[?typeof(@)=='number']", MIX, "[0,1,1.0,-0.5]" },
	{ "$[?typeof(@)=='bool']", MIX, "[true,false]" },
	{ "$[?typeof(@)=='null']", MIX, "[null]" },
	{ "$[?typeof(@)=='object']", MIX, "[{},{\"a\":1}]" },
	{ "$[?typeof(@)=='array']", MIX, "[[],[1]]" },
	{ "$[?typeof(@.*)=='number']", "[[1,2],[1,\"a\"],[]]", "[[1,2]]" },
	{ "$[?typeof(@.*)==typeof(@.x)]", "[[1,2],[1,\"a\"],[]]", "[[1,\"a\"],[]]" },
};

static const struct {
	const char *path, *error;
} refused[] = {
	{ "", "offset 0: a JSONPath begins with $" },
	{ "a", "offset 0: a JSONPath begins with $" },
	{ " $", "offset 0: a JSONPath begins with $" },
	{ "$ ", "offset 1: the path should end here, or go on with . or [" },
	{ "$.", "offset 2: a name must stand here, or *" },
	{ "$. a", "offset 2: a name must stand here, or *" },
	{ "$.1", "offset 2: a name must stand here, or *" },
	{ "$.a-b", "offset 3: the path should end here, or go on with . or [" },
	{ "$..", "offset 3: a name must stand here, or *" },
	{ "$...a", "offset 3: a name must stand here, or *" },
	{ "$a", "offset 1: the path should end here, or go on with . or [" },
	{ "$[]", "offset 2: a name in quotes, a number, a slice, * or ? must stand here" },
	{ "$[0", "offset 3: ] or a comma must stand here" },
	{ "$[0,]", "offset 4: a name in quotes, a number, a slice, * or ? must stand here" },
	{ "$[01]", "offset 2: an integer must stand here, without leading zeros" },
	{ "$[-0]", "offset 2: an integer must stand here, without leading zeros" },
	{ "$[-]", "offset 2: an integer must stand here, without leading zeros" },
	{ "$[1.0]", "offset 3: ] or a comma must stand here" },
	{ "$[9007199254740992]", "offset 2: the number is beyond 2^53 - 1" },
	{ "$[a]", "offset 2: a name in quotes, a number, a slice, * or ? must stand here" },
	{ "$['a]", "offset 2: the string has no end" },
	{ "$['\\\"']", "offset 3: no such escape" },
	{ "$[\"\\'\"]", "offset 3: no such escape" },
	{ "$['\\x']", "offset 3: no such escape" },
	{ "$['\\ud83d']", "offset 3: no such escape" },
	{ "$['\\ude00']", "offset 3: no such escape" },
	{ "$['\n']", "offset 3: a control character in a string must be escaped" },
	{ "$[?]", "offset 3: @, $, a value or a function must stand here" },
	{ "$[?@.a==]", "offset 8: @, $, a value or a function must stand here" },
	{ "$[?true]", "offset 3: a value alone is no test: compare it with something" },
	{ "$[?1]", "offset 3: a value alone is no test: compare it with something" },
	{ "$[?@.*==1]", "offset 3: only values are compared, and paths to one node" },
	{ "$[?1==@..a]", "offset 6: only values are compared, and paths to one node" },
	{ "$[?@==01]", "offset 6: this is no number" },
	{ "$[?@==1.]", "offset 6: this is no number" },
	{ "$[?@==.5]", "offset 6: @, $, a value or a function must stand here" },
	{ "$[?@=1]", "offset 4: ] or a comma must stand here" },
	{ "$[?!@==1]", "offset 5: ] or a comma must stand here" },
	{ "$[?(@.a]", "offset 7: ) must stand here" },
	{ "$[?@.a && ]", "offset 10: @, $, a value or a function must stand here" },
	{ "$[?True==@]", "offset 3: @, $, a value or a function must stand here" },
	{ "$[?nope(@)]", "offset 3: no function nope()" },
	{ "$[?length (@)==1]", "offset 3: @, $, a value or a function must stand here" },
	{ "$[?length(@)]", "offset 3: a value alone is no test: compare it with something" },
	{ "$[?length(@.*)==1]", "offset 10: argument 1 of length() must be a value, or a path to one node" },
	{ "$[?count(1)==1]", "offset 9: argument 1 of count() must be a path" },
	{ "$[?count()==1]", "offset 9: @, $, a value or a function must stand here" },
	{ "$[?count(@,@)==1]", "offset 10: count() should end here: 1 argument" },
	{ "$[?match(@)]", "offset 10: match() takes 2 arguments" },
	{ "$[?match(@,'a')==true]", "offset 3: only values are compared, and paths to one node" },
	{ "$[?length(match(@,'a'))==1]", "offset 10: argument 1 of length() must be a value, or a path to one node" },
	{ "$[?match(@,'a(')]", "offset 11: regular expression: offset 2: missing closing parenthesis" },
};

static bool collect(void *arg, json_t *node)
{
	json_array_append(arg, node);
	return true;
}

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error err = { 0 };
		struct jsonpath *p = jsonpath_compile(span_of(rows[i].path), &err);
		json_t *document = json_read(span_of(rows[i].document)), *found = json_array();
		char *text = NULL;
		size_t len;

		if (p && jsonpath_select(p, document, collect, found) == 0)
			text = json_text(found, &len);
		tap_str(text ? text : err.text, rows[i].selected, "%s of %s", rows[i].path, rows[i].document);
		free(text);
		json_decref(document);
		json_decref(found);
		jsonpath_free(p);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		struct error err = { 0 };

		tap_ok(!jsonpath_compile(span_of(refused[i].path), &err), "no JSONPath: %s", refused[i].path);
		tap_str(err.text, refused[i].error, "why not: %s", refused[i].path);
	}
}

static bool count(void *arg, json_t *node)
{
	++*(size_t *)arg;
	return true;
}

/* Work that grows with a power of the document's size comes to an end. */
static void test_limits(void)
{
	static const char *const paths[] = { "$..[?count($..*)>0]", "$..[?@..[?count($..*)>1]]", "$[*][?match(@,@)]",
					     "$[?length($[0][0])>1]", "$[?$[0][0]==$[1][0]]", "$[?$[0][0]<$[1][0]]", "$[?$==$]" };
	static char deep[3000], text[10000];
	json_t *document = json_array(), *nested;
	struct error err = { 0 };
	struct jsonpath *p;
	size_t n = 0;

	memset(text, 'a', sizeof(text) - 1);
	for (int i = 0; i < 2000; i++)
		json_array_append_new(document, json_pack("[s]", i < 2 ? text : "(a+)+$"));
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		p = jsonpath_compile(span_of(paths[i]), &err);
		tap_int(jsonpath_select(p, document, count, &n), -1, "%s of 2000 arrays is given up", paths[i]);
		jsonpath_free(p);
	}
	json_decref(document);
	memset(deep, '[', 1400);
	memset(deep + 1400, ']', 1400);
	nested = json_read(span_of(deep));
	p = jsonpath_compile(span_of("$..*"), &err);
	n = 0;
	tap_int(jsonpath_select(p, nested, count, &n), 0, "a document that is 1400 deep");
	tap_int(n, 1399, "all of it");
	jsonpath_free(p);
	json_decref(nested);
	memset(deep, '(', 200);
	memcpy(deep, "$[?", 3);
	deep[200] = '\0';
	tap_ok(!jsonpath_compile(span_of(deep), &err), "200 parentheses are too many");
	tap_ok(strstr(err.text, "nested too deep") != NULL, "and that is said");
}

int main(void)
{
	test_rows();
	test_limits();
	return tap_done();
}
