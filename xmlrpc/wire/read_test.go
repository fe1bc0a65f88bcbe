package wire

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadValues(t *testing.T) {
	for _, c := range []struct {
		xml  string
		want any
	}{
		{"<int>-5</int>", -5},
		{"<i4>2147483647</i4>", 2147483647},
		{"<i8>9223372036854775807</i8>", int64(9223372036854775807)},
		{" plain\ntext ", " plain\ntext "},
		{"", ""},
		{"<string/>", ""},
		{"<string>a &lt;&amp;&#65; b</string>", "a <&A b"},
		{"<string>a<![CDATA[<b>]]>c<!-- d -->e</string>", "a<b>ce"},
		{" <boolean>1</boolean> ", true},
		{"<double>-1.5</double>", -1.5},
		{"<base64>aGFs\nbG8=</base64>", []byte("hallo")},
		{"<dateTime.iso8601>20261120T17:38:28</dateTime.iso8601>", time.Date(2026, 11, 20, 17, 38, 28, 0, time.UTC)},
		{"<nil/>", nil},
		{"<array><data/></array>", []any{}},
		{"<array><data><value>a</value><value><int>1</int></value></data></array>", []any{"a", 1}},
		{"<struct/>", map[string]any{}},
		{"<struct><member><name>a</name><value><int>1</int></value></member></struct>", map[string]any{"a": 1}},
	} {
		body := "<methodCall><methodName>m</methodName><params><param><value>" + c.xml + "</value></param></params></methodCall>"
		call, err := ReadCall(strings.NewReader(body), Limits{})
		if err != nil {
			t.Errorf("%s: %v", c.xml, err)
			continue
		}
		if want := (Call{Method: "m", Params: []any{c.want}}); !reflect.DeepEqual(call, want) {
			t.Errorf("%s is %#v, want %#v", c.xml, call.Params, want.Params)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	value := func(s string) string {
		return "<methodCall><methodName>m</methodName><params><param><value>" + s + "</value></param></params></methodCall>"
	}
	for body, want := range map[string]int{
		value("<int>2147483648</int>"):                                          FaultParse,
		value("<int>-2147483649</int>"):                                         FaultParse,
		value("<i8>9223372036854775808</i8>"):                                   FaultParse,
		value("<int>1_0</int>"):                                                 FaultParse,
		value("<int/>"):                                                         FaultParse,
		value("<int>+</int>"):                                                   FaultParse,
		value("<double>nan</double>"):                                           FaultParse,
		value("<double>0x1p-2</double>"):                                        FaultParse,
		value("<boolean>true</boolean>"):                                        FaultParse,
		value("<base64>?</base64>"):                                             FaultParse,
		value("<what>1</what>"):                                                 FaultParse,
		value("<int>1</int><int>2</int>"):                                       FaultParse,
		value("text<int>1</int>"):                                               FaultParse,
		value("<string>&e;</string>"):                                           FaultParse,
		value("<string>\x00</string>"):                                          FaultParse,
		value("<string>\xff</string>"):                                          FaultParse,
		value("<array><value>1</value></array>"):                                FaultParse,
		"<methodCall><methodName>m</methodName></methodCall><x/>":               FaultParse,
		"<methodCall><methodName>m</methodName></methodCall>x":                  FaultParse,
		"x<methodCall><methodName>m</methodName></methodCall>":                  FaultParse,
		"<methodCall><methodName>m</methodName><params/><params/></methodCall>": FaultParse,
		"</methodCall>":                                                         FaultParse,
		" ":                                                                     FaultParse,
		`<?xml version="1.0" encoding="EBCDIC"?><methodCall/>`:                  FaultParse,
		value(strings.Repeat("<array><data><value>", 65) + strings.Repeat("</value></data></array>", 65)): FaultTooLarge,
		value(strings.Repeat("<array><data><value>", 200)):                                                FaultTooLarge,
		value("<array><data>" + strings.Repeat("<value/>", 50_000) + "</data></array>"):                   FaultTooLarge,
		value(strings.Repeat("x", 1<<20)):                                                                 FaultTooLarge,
	} {
		_, err := ReadCall(strings.NewReader(body), Limits{})
		if f, ok := errors.AsType[*Fault](err); !ok || f.Code != want || len(f.Message) > 400 {
			t.Errorf("%.80q: %v, want fault %d", body, err, want)
		}
	}
}

func TestReadLatin1(t *testing.T) {
	body := "<?xml version='1.0' encoding='ISO-8859-1'?><methodCall><methodName>m</methodName><params><param><value>\xe9" +
		strings.Repeat("\xe4", 2000) + "</value></param></params></methodCall>"
	call, err := ReadCall(strings.NewReader(body), Limits{})
	if err != nil || call.Text(0) != "é"+strings.Repeat("ä", 2000) {
		t.Errorf("%q, %v", call.Text(0), err)
	}
}

// TestReadExactlyTheLimit: a body as large as the limit is read.
func TestReadExactlyTheLimit(t *testing.T) {
	body := "<methodCall><methodName>m</methodName></methodCall>"
	if _, err := ReadCall(strings.NewReader(body), Limits{Body: int64(len(body))}); err != nil {
		t.Error(err)
	}
	if _, err := ReadCall(strings.NewReader(body+" "), Limits{Body: int64(len(body))}); err == nil {
		t.Error("one byte too many was read")
	}
}

func TestCallHidesItsParameters(t *testing.T) {
	call := Call{Method: "one.vm.info", Params: []any{"alice:secret", 1}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, call); strings.Contains(s, "secret") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
}

// FuzzReadCall: no body may crash the reader, and what it reads can be
// written and read again.
func FuzzReadCall(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.request.xml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range seeds {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		call, err := ReadCall(bytes.NewReader(body), Limits{Body: 1 << 16, Elements: 2000})
		if err != nil {
			if f, ok := errors.AsType[*Fault](err); ok && len(f.Message) > 400 {
				t.Errorf("a long fault: %q", f.Message)
			}
			return
		}
		var b bytes.Buffer
		if err := WriteValue(&b, call.Params); err != nil {
			return // an infinite double
		}
		inner := b.String()
		inner = inner[strings.Index(inner, "<value>"):strings.LastIndex(inner, "</param>")]
		again, err := ReadCall(strings.NewReader("<methodCall><methodName>m</methodName><params><param>"+inner+"</param></params></methodCall>"), Limits{Depth: 65})
		if err != nil {
			t.Fatalf("%q cannot be read again: %v", inner, err)
		}
		want := call.Params
		if want == nil {
			want = []any{}
		}
		if got := again.Params[0]; !same(got, want) {
			t.Errorf("read %#v, read again %#v", want, got)
		}
	})
}

// same compares values, times to the second and by instant.
func same(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if !same(x[k], y[k]) {
				return false
			}
		}
		return true
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Unix() == y.Unix()
	}
	return reflect.DeepEqual(a, b)
}
