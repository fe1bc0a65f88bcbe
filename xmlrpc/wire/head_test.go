package wire

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadHead(t *testing.T) {
	long := strings.Repeat(" ", headSize)
	for body, want := range map[string]string{
		`<methodCall><methodName>a.b</methodName><params><param><value><string>u:p</string></value></param></params></methodCall>`: "a.b u:p",
		`<methodCall><methodName>a</methodName><params><param><value>u:p&amp;&#65;&#x42;</value></param>`:                          "a u:p&AB",
		"\ufeff<?xml version='1.0'?>\r\n<!-- <methodName> --> <methodCall xmlns='>'>\n<methodName>a</methodName></methodCall>":     "a ",
		`<methodCall><methodName><![CDATA[a<b]]><!-- x -->c</methodName><params/></methodCall>`:                                    "a<bc ",
		`<methodCall ><methodName >a</methodName ><params><param><value><int>5</int></value></param></params>`:                     "a ",
		`<methodCall><methodName>a</methodName><params><param><value><string></string></value>`:                                    "a ",
		`<methodCall><methodName>a</methodName><params><param><value>` + long:                                                      "a ",
		`<methodCall><methodName>a</methodName>`:                                                                                   "a ",
		`<methodCall><methodName></methodName><params></params></methodCall>`:                                                      " ",
		`<methodCall><methodName>a</methodNam`:                                                                                     "unclear",
		`<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>&a;</methodName></methodCall>`:                                      "unclear",
		`<methodCall><methodName>&a;</methodName></methodCall>`:                                                                    "unclear",
		`<methodCall><methodName>&#0;</methodName></methodCall>`:                                                                   "unclear",
		`<methodCall><methodName><b>a</b></methodName></methodCall>`:                                                               "unclear",
		`<methodCallX><methodName>a</methodName>`:                                                                                  "unclear",
		`<methodCall/><methodName>a</methodName>`:                                                                                  "unclear",
		`<methodCall>` + long + `<methodName>a</methodName>`:                                                                       "unclear",
		`hello`: "unclear", ``: "unclear", `<`: "unclear", `<!`: "unclear",
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(body), "bytes": iotest.OneByteReader(strings.NewReader(body))} {
			in := bufio.NewReaderSize(r, headSize)
			h, ok, err := readHead(in)
			got := h.Method + " " + h.Session
			if !ok {
				got = "unclear"
			}
			if got != want || err != nil {
				t.Errorf("%s, %.80s: %q, %v; want %q", name, body, got, err, want)
			}
			if rest, _ := io.ReadAll(in); string(rest) != body {
				t.Errorf("%s, %.80s: something of the body was taken", name, body)
			}
		}
	}
	broken := bufio.NewReaderSize(io.MultiReader(strings.NewReader("<methodCall>"), iotest.ErrReader(io.ErrUnexpectedEOF)), headSize)
	if _, _, err := readHead(broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that breaks off: %v", err)
	}
}

// FuzzHead: what the head says is what the whole body says, when that is a
// call.
func FuzzHead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.request.xml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, ok, err := readHead(bufio.NewReaderSize(bytes.NewReader(body), headSize))
		if err != nil {
			t.Fatal(err)
		}
		call, err := ReadCall(bytes.NewReader(body), Limits{})
		if !ok || err != nil || declared(body) {
			return
		}
		if h.Method != call.Method {
			t.Errorf("the head has method %q, the call %q", h.Method, call.Method)
		}
		if h.Session != "" && h.Session != call.Session() {
			t.Errorf("the head has session %q, the call %q", h.Session, call.Session())
		}
	})
}

// declared says whether the body declares an encoding: the head knows none.
func declared(body []byte) bool {
	tok, err := xml.NewDecoder(bytes.NewReader(bytes.ToLower(bytes.TrimPrefix(body, []byte("\ufeff"))))).RawToken()
	p, ok := tok.(xml.ProcInst)
	return err != nil || ok && bytes.Contains(p.Inst, []byte("encoding"))
}
