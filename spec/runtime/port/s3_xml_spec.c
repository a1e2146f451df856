/* What s3_xml.h promises. */
#include "base/err.h"
#include "port/s3_xml.h"
#include "spec/spec.h"

static char seen[4096];

static void note(void *arg, const s3_xml_t *at) {
    size_t len = strlen(seen);
    (void)arg;
    for (size_t i = 0; i < at->depth; i++)
        len += (size_t)snprintf(seen + len, sizeof seen - len, "/%.*s", (int)at->path[i].len,
                                at->path[i].at);
    snprintf(seen + len, sizeof seen - len, "=%.*s;", (int)at->text.len, at->text.at);
}

static const char *read_it(slice_t text) {
    *seen = 0;
    return s3_xml_read(text, note, NULL) == ERR_OK ? seen : "refused";
}
static const char *reading(const char *text) {
    return read_it(slice_of(text));
}
#define READS(text, want)                                                                          \
    do {                                                                                           \
        const char *got = reading(text);                                                           \
        CHECK_TEXT(got, strlen(got), want);                                                        \
    } while (0)

SPEC("tells each element at its end, with its path and text") {
    READS("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <P><N>1</N>\r\n\t<E>x</E></P>\n"
          " <P><N>2</N></P><M/><T a='1' b = \"2\" />\n</R>\n",
          "/R/P/N=1;/R/P/E=x;/R/P=;/R/P/N=2;/R/P=;/R/M=;/R/T=;/R=;");
}

SPEC("resolves the five entities and numbers, keeps blanks of a text") {
    READS("<E>&quot;a&amp;b&quot; &lt;&gt;&apos;&#65;&#x42;&#xe4;&#x20AC;&#x1F600;&#xA; </E>",
          "/E=\"a&b\" <>'AB\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n ;");
}

SPEC("takes blanks before the answer, which a long call sends, and prefixes of names") {
    READS(" \n\n <?xml version='1.0'?>\n \n<s3:R><s3:E>1</s3:E></s3:R>", "/R/E=1;/R=;");
}

SPEC("refuses what is no such text") {
    static const char *const bad[] = {"",
                                      " ",
                                      "text",
                                      "<",
                                      "<R",
                                      "<R>",
                                      "<R></S>",
                                      "<R></R",
                                      "<R/><R/>",
                                      "<R></R>x",
                                      "</R>",
                                      "<R>a<E/></R>",
                                      "<R><E/>a</R>",
                                      "<R a></R>",
                                      "<R a=1></R>",
                                      "<R a=\"1></R>",
                                      "<Ra=\"1\"/>x",
                                      "<R a=\"<\"/>",
                                      "<R a='1'b='2'/>",
                                      "<1/>",
                                      "<R:/>",
                                      "<a:R></b:R>",
                                      "<R>&</R>",
                                      "<R>&amp</R>",
                                      "<R>&other;</R>",
                                      "<R>&#;</R>",
                                      "<R>&#x;</R>",
                                      "<R>&#xg;</R>",
                                      "<R>&#xd800;</R>",
                                      "<R>&#x110000;</R>",
                                      "<R>&#99999999999999;</R>",
                                      "<R>&#0;</R>",
                                      "<R>&#27;</R>",
                                      "<R>&#1A;</R>",
                                      "<!DOCTYPE R><R/>",
                                      "<R><!-- x --></R>",
                                      "<R><![CDATA[x]]></R>",
                                      "<R><?x?></R>",
                                      "<?xml ?",
                                      "<?xml <R/>?>",
                                      "<R>\xff</R>",
                                      "<R>\xc3</R>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (strcmp(reading(bad[i]), "refused") != 0)
            printf("taken: %s\n", bad[i]);
        CHECK_TEXT(reading(bad[i]), strlen(reading(bad[i])), "refused");
    }
    CHECK_TEXT(read_it((slice_t){"<R>a\0b</R>", 10}), 7, "refused");
}

SPEC("goes eight deep and no deeper") {
    READS("<a><b><c><d><e><f><g><h>x</h></g></f></e></d></c></b></a>",
          "/a/b/c/d/e/f/g/h=x;/a/b/c/d/e/f/g=;/a/b/c/d/e/f=;/a/b/c/d/e=;/a/b/c/d=;/a/b/c=;/a/b=;"
          "/a=;");
    READS("<a><b><c><d><e><f><g><h><i/></h></g></f></e></d></c></b></a>", "refused");
}

static void match(void *arg, const s3_xml_t *at) {
    *(int *)arg += s3_xml_is(at, "R/P/N") ? 1 : s3_xml_is(at, "R/P") ? 10 : 0;
    *(int *)arg += s3_xml_is(at, "R") ? 100 : s3_xml_is(at, "") || s3_xml_is(at, "R/") ? 1000 : 0;
}

SPEC("compares a path as a whole") {
    int n = 0;
    CHECK_INT(s3_xml_read(SLICE("<R><P><N/><NN/></P><P><M/></P><PN/></R>"), match, &n), ERR_OK);
    CHECK_INT(n, 121);
}

SPEC_MAIN
