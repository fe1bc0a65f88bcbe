package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/kolo/xmlrpc"
)

// captured are the requests that were sent to oned, as seeds.
func captured(f *testing.F) [][]byte {
	f.Helper()
	paths, err := filepath.Glob("testdata/*.request.xml")
	if err != nil || len(paths) == 0 {
		f.Fatalf("%d requests, %v", len(paths), err)
	}
	var list [][]byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// asked are calls, and what is nearly one.
var asked = []string{
	"<methodCall><methodName>m</methodName></methodCall>",
	"<methodCall><methodName>m</methodName><params/></methodCall>\n",
	"<?xml version=\"1.0\"?>\r\n<methodCall>\r\n<methodName>a.b</methodName>\r\n<params>\r\n<param><value><i4>-1</i4></value></param>\r\n</params>\r\n</methodCall>\r\n",
	"<methodCall><methodName>m</methodName><params><param><value> a &lt;&amp;&gt;&quot;&apos; é </value></param><param><value>\n<boolean>1</boolean> </value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>a]]>b</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>a\r\nb</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>&#65;&x;&</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>&#65;&#x1F4BE;&#xD;&#0;</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>&#34;&#xA;&#xD;&#x0d;&#9;&#xFFFD;</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>\xff\ufffe\x01</value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value>x<int>1</int></value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value><int> 1</int></value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName><params><param><value><double>1e400</double></value></param></params></methodCall>",
	"<methodCall><methodName>m</methodName></methodCall><x/>",
	" <methodCall> <methodName>m</methodName> <params> <param> <value> <string>s</string> </value> </param> </params> </methodCall> ",
}

// FuzzScan: what the scanner takes, the parser takes too and reads alike.
func FuzzScan(f *testing.F) {
	for _, b := range captured(f) {
		f.Add(b)
	}
	for _, s := range asked {
		f.Add([]byte(s))
	}
	limits := Limits{Body: 1 << 12, Elements: 60}.orDefault()
	f.Fuzz(func(t *testing.T, body []byte) {
		quick, ok := scanCall(body, limits)
		if !ok {
			return
		}
		call, err := ReadCall(bytes.NewReader(body), limits)
		if err != nil || !reflect.DeepEqual(quick, call) {
			t.Errorf("%q: the scanner reads %q %#v, the parser %q %#v, %v", body, quick.Method, quick.Params, call.Method, call.Params, err)
		}
	})
}

// TestScanIsUsed: what real clients send is what the scanner takes.
func TestScanIsUsed(t *testing.T) {
	limits := Limits{}.orDefault()
	kolo, err := xmlrpc.EncodeMethodCall("one.volume.update", "alice:pw", 17, "A = \"é <&>\"\n", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{asked[0], asked[2], asked[3], string(kolo)} {
		if _, ok := scanCall([]byte(body), limits); !ok {
			t.Errorf("not taken: %s", body)
		}
	}
	for _, body := range []string{asked[4], asked[6], asked[7], asked[9], asked[10], asked[13]} {
		if _, ok := scanCall([]byte(body), limits); ok {
			t.Errorf("taken: %s", body)
		}
	}
}

// kolo reads the answer that has this in its only value.
func kolo(value string) (v any, err error) {
	return decode([]byte(prolog + "<params>\r\n<param><value>" + value + "</value></param>\r\n</params>\r\n</methodResponse>\r\n"))
}

// FuzzKolo compares with kolo's codec, which Go's clients of oned use: a value
// that is written here is read there, and what is written there is read here.
func FuzzKolo(f *testing.F) {
	for _, s := range []string{"", "text", " a <&> \"b\" 'c' \r\n\t]]> é \u2028 \U0001F4BE", "\x00\x1b\xff\ufffe", "&lt;", "<value>"} {
		f.Add(s, 5, true)
	}
	f.Add("x", -1<<31, false)
	f.Add("x", 1<<31-1, false)
	f.Fuzz(func(t *testing.T, s string, n int, b bool) {
		n = int(int32(n))
		valid := strings.Map(func(r rune) rune {
			if !inXML(r) {
				return '\uFFFD'
			}
			return r
		}, strings.ToValidUTF8(s, "\uFFFD"))
		value := []any{s, n, b, int64(-1), []any{}, map[string]any{"name": s, "other": []any{n}}}
		var out bytes.Buffer
		if err := WriteValue(&out, value); err != nil {
			t.Fatal(err)
		}
		v, err := decode(out.Bytes())
		// A run of bytes that are no UTF-8 becomes one U+FFFD or several.
		if list, ok := v.([]any); err != nil || !ok || len(list) != len(value) || squeeze(list[0]) != squeeze(valid) ||
			list[1] != n || list[2] != b || list[3] != -1 || squeeze(list[5].(map[string]any)["name"]) != squeeze(valid) {
			t.Errorf("written %q, read by kolo %q, %v", value, v, err)
		}

		body, err := encode("m", []any{valid, n, b, []any{valid, n}, map[string]any{"name": valid}})
		if err != nil {
			t.Fatal(err)
		}
		call, err := ParseCall(body, Limits{})
		// A parser makes one newline of each end of a line, unless it is
		// escaped, as kolo does.
		want := []any{valid, n, b, []any{valid, n}, map[string]any{"name": valid}}
		if err != nil || !reflect.DeepEqual(call.Params, want) {
			t.Errorf("written by kolo %q, read %q, %v", want, call.Params, err)
		}
	})
}

// squeeze leaves one of each run of U+FFFD.
func squeeze(v any) string {
	s, _ := v.(string)
	for strings.Contains(s, "\uFFFD\uFFFD") {
		s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
	}
	return s
}

// FuzzKoloReads: the XML of a value that is read here is read there too, with
// the same result.
func FuzzKoloReads(f *testing.F) {
	for _, s := range []string{"<i4>5</i4>", "<int>-7</int>", "text", "<string>a&lt;b</string>", "<boolean>1</boolean>", "<double>1.5</double>",
		"<array><data><value><string>a</string></value><value><int>1</int></value></data></array>",
		"<struct><member><name>a</name><value><i4>1</i4></value></member></struct>", "<base64>aGFs</base64>", "<nil/>",
		"<dateTime.iso8601>20261120T17:38:28</dateTime.iso8601>", "<string><![CDATA[<x>]]></string>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		call, err := ParseCall([]byte("<methodCall><methodName>m</methodName><params><param><value>"+value+"</value></param></params></methodCall>"), Limits{Depth: 8})
		if err != nil || len(call.Params) != 1 || !common(call.Params[0]) || !plain(value) {
			return
		}
		v, err := kolo(value)
		if err != nil || !reflect.DeepEqual(v, normal(call.Params[0])) {
			t.Errorf("%q is read %#v, by kolo %#v, %v", value, call.Params[0], v, err)
		}
	})
}

// common says whether a value has only types that both codecs read alike: kolo
// has no nil and no i8, keeps base64 as it came, and takes only one form of time.
func common(v any) bool {
	switch v := v.(type) {
	case int, bool, string:
		return true
	case []any:
		for _, e := range v {
			if !common(e) {
				return false
			}
		}
		return true
	}
	return false
}

// plain leaves out what kolo is known to read otherwise: blanks around tags,
// comments, attributes, and values without a type.
func plain(xml string) bool {
	return !strings.ContainsAny(xml, " \t\r\n!?=") && !strings.Contains(xml, "/>") && !untyped.MatchString("<value>"+xml+"<")
}

var untyped = regexp.MustCompile("<value>([^<]|</)")
