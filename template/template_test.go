package template

import (
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func single(key, value string) Attribute { return Attribute{Key: key, Value: value} }

func TestParse(t *testing.T) {
	for text, want := range map[string]Template{
		"":                                     {},
		"# nothing\n \n":                       {},
		`NAME = "disk 1"`:                      {single("NAME", "disk 1")},
		"name=disk1":                           {single("NAME", "disk1")},
		"A=1 B = 2\nA=3":                       {single("A", "1"), single("B", "2"), single("A", "3")},
		"A=\nB=x":                              {single("A", ""), single("B", "x")},
		`A=""`:                                 {single("A", "")},
		"A=x # why\nB=y#z":                     {single("A", "x"), single("B", "y")},
		`A="x # no"`:                           {single("A", "x # no")},
		`A="a \"b\" c:\\d \n"`:                 {single("A", `a "b" c:\d \n`)},
		"A=\"two\nlines\"":                     {single("A", "two\nlines")},
		"IQN=iqn.2026-11.org.example:disk1":    {single("IQN", "iqn.2026-11.org.example:disk1")},
		`V = [ A="x", b=y ]`:                   {{Key: "V", Vector: []Pair{{"A", "x"}, {"B", "y"}}}},
		"V=[\n  A=\"x, ]\", # c\n  B=\n]\nC=1": {{Key: "V", Vector: []Pair{{"A", "x, ]"}, {"B", ""}}}, single("C", "1")},
		"V=[]V=[ ]":                            {{Key: "V", Vector: []Pair{}}, {Key: "V", Vector: []Pair{}}},
		" <TEMPLATE>\n <name>x</name><V><A><![CDATA[<1>]]></A> <B>&lt;2&gt;</B></V>\n</TEMPLATE> ": {
			single("NAME", "x"), {Key: "V", Vector: []Pair{{"A", "<1>"}, {"B", "<2>"}}}},
		"<TEMPLATE/>":                         {},
		"<TEMPLATE><A/><A> x </A></TEMPLATE>": {single("A", ""), single("A", " x ")},
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %#v, %v; want %#v", text, got, err, want)
		}
	}
}

func TestParseSaysWhere(t *testing.T) {
	for text, want := range map[string]Error{
		"A":                      {1, 2, "the end where the = of A should be"},
		"A=1\n ä=2":              {2, 2, "'ä' where an attribute's name should be"},
		"A=1\nB c":               {2, 3, "'c' where the = of B should be"},
		"A=x=y":                  {1, 4, "'=' in a value that is not in quotes"},
		"A=x,y":                  {1, 4, "',' where an attribute's name should be"},
		"A=ü\"b":                 {1, 4, "'\"' in a value that is not in quotes"},
		"A=1\n  B=\"open\nx":     {2, 5, "a quote that is not closed"},
		"V=[A=1":                 {1, 3, "a [ that is not closed"},
		"V=[A=1 B=2]":            {1, 8, "'B' where a comma or ] should be"},
		"V=[A=[B=1]]":            {1, 6, "'[' in a value that is not in quotes"},
		"V=[,]":                  {1, 4, "',' where an attribute's name should be"},
		"1A=x":                   {1, 1, "'1' where an attribute's name should be"},
		"A=\x00":                 {1, 3, "a character that cannot be in a template"},
		"A=\xff":                 {1, 3, "a character that cannot be in a template"},
		"<X/>":                   {1, 5, "<X> where a single <TEMPLATE> should be"},
		"<TEMPLATE/><TEMPLATE/>": {1, 23, "<TEMPLATE> where a single <TEMPLATE> should be"},
		"<TEMPLATE/>x":           {1, 13, "text outside of <TEMPLATE>"},
	} {
		_, err := Parse(text)
		if e, ok := errors.AsType[*Error](err); !ok || *e != want {
			t.Errorf("%q: %v, want %v", text, err, &want)
		}
	}
	for _, text := range []string{"<TEMPLATE>", "<TEMPLATE><A><B><C/></B></A></TEMPLATE>", "<TEMPLATE>&e;</TEMPLATE>", "<!-- -->", "<TEMPLATE><V>x<A/></V></TEMPLATE>",
		strings.Repeat("x", maxText+1), strings.Repeat("A=1\n", maxAttributes+1), "V=[" + strings.Repeat("A=1,", maxAttributes+1) + "]",
		"<TEMPLATE>" + strings.Repeat("<A/>", maxAttributes+1) + "</TEMPLATE>"} {
		_, err := Parse(text)
		if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Column < 1 {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func TestWrite(t *testing.T) {
	tpl := Template{single("NAME", `a "b" \`), {Key: "V", Vector: []Pair{{"A", "x"}, {"B", "]]>"}}}, {Key: "E", Vector: []Pair{}}}
	if got, want := tpl.String(), "NAME=\"a \\\"b\\\" \\\\\"\nV=[\n  A=\"x\",\n  B=\"]]>\" ]\nE=[ ]\n"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if got, want := tpl.XML(), `<TEMPLATE><NAME><![CDATA[a "b" \]]></NAME><V><A><![CDATA[x]]></A><B><![CDATA[]]]]><![CDATA[>]]></B></V></TEMPLATE>`; got != want {
		t.Errorf("XML %q, want %q", got, want)
	}
}

func TestQuestions(t *testing.T) {
	tpl, err := Parse(`A=1 V=[X=1] V=[X=2,Y=3] B=2`)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := tpl.Get("A"); !ok || v != "1" {
		t.Error("A")
	}
	if _, ok := tpl.Get("V"); ok {
		t.Error("a vector has a value")
	}
	vs := tpl.Vectors("V")
	if len(vs) != 2 {
		t.Fatalf("%v", vs)
	}
	if y, ok := vs[1].Get("Y"); !ok || y != "3" {
		t.Error("Y")
	}
	if got := tpl.With("A", "9").String(); got != "V=[\n  X=\"1\" ]\nV=[\n  X=\"2\",\n  Y=\"3\" ]\nB=\"2\"\nA=\"9\"\n" {
		t.Errorf("%q", got)
	}
	more, _ := Parse("V=[Z=1] V=[Z=2] B=[]")
	if got := tpl.Append(more).String(); got != "A=\"1\"\nV=[\n  Z=\"1\" ]\nV=[\n  Z=\"2\" ]\n" {
		t.Errorf("%q", got)
	}
}

func TestOptions(t *testing.T) {
	got, err := Options("size=1 B=2", "SIZE", "B", "C")
	if err != nil || !reflect.DeepEqual(got, map[string]string{"SIZE": "1", "B": "2"}) {
		t.Errorf("%v, %v", got, err)
	}
	for text, want := range map[string]string{"D=1": "attribute D is not known here; there are A, B", "A=1 A=1": "twice", "A=[]": "not a vector", "A": "line 1"} {
		if _, err := Options(text, "A", "B"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestInDocument: a template in one of oned's documents is read leniently.
func TestInDocument(t *testing.T) {
	var doc struct {
		ID       int
		Template Template `xml:"USER_TEMPLATE"`
		Last     string   `xml:"LAST"`
	}
	text := `<VM><ID>1</ID><USER_TEMPLATE><A><![CDATA[1]]></A><V><B><C>x</C></B></V></USER_TEMPLATE><LAST>y</LAST></VM>`
	if err := xml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := doc.Template.Get("A"); v != "1" || doc.Last != "y" || len(doc.Template) != 2 {
		t.Errorf("%+v", doc)
	}
}

// FuzzParse: nothing crashes the parser, and what it reads is read again
// from what is written, as text and as XML.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "A=1", "A = \"x\\\"y\\\\\"\n# c\nV=[ A=1, B=\"2\" ]", "<TEMPLATE><A><![CDATA[x]]></A><V><B>1</B></V></TEMPLATE>", "V=[]", "A=\"]]>\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := Parse(text)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Column < 1 {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := Parse(tpl.String())
		if err != nil || !reflect.DeepEqual(tpl, again) {
			t.Errorf("%q is written as %q and read as %#v, %v", text, tpl.String(), again, err)
		}
		if strings.Contains(text, "\r") || strings.Contains(text, "&#") {
			return // XML makes newlines of carriage returns
		}
		again, err = Parse(tpl.XML())
		if err != nil || again.XML() != tpl.XML() {
			t.Errorf("%q is written as %q and read as %#v, %v", text, tpl.XML(), again, err)
		}
	})
}
