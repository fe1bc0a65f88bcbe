package document_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"onevolume/cli/document"
)

const pool = `<VOLUME_POOL><VOLUME><ID>2</ID><NAME>a&amp;b</NAME><REASON><![CDATA[]]></REASON><TEMPLATE><NOTE><![CDATA[1 < 2 & "x"]]></NOTE></TEMPLATE></VOLUME></VOLUME_POOL>`

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, xml, json, yaml string }{
		{pool, `
<VOLUME_POOL>
  <VOLUME>
    <ID>2</ID>
    <NAME>a&amp;b</NAME>
    <REASON><![CDATA[]]></REASON>
    <TEMPLATE>
      <NOTE><![CDATA[1 < 2 & "x"]]></NOTE>
    </TEMPLATE>
  </VOLUME>
</VOLUME_POOL>`, `
{
  "VOLUME_POOL": {
    "VOLUME": [
      {
        "ID": "2",
        "NAME": "a&b",
        "REASON": "",
        "TEMPLATE": {
          "NOTE": "1 < 2 & \"x\""
        }
      }
    ]
  }
}`, `
---
VOLUME_POOL:
    VOLUME:
        - ID: "2"
          NAME: "a&b"
          REASON: ""
          TEMPLATE:
            NOTE: "1 < 2 & \"x\""`},
		{"<VOLUME_POOL></VOLUME_POOL>", "\n<VOLUME_POOL/>", "\n{\n  \"VOLUME_POOL\": {\n    \"VOLUME\": []\n  }\n}", "\n---\nVOLUME_POOL:\n    VOLUME: []"},
		{"<VOLUME><TEMPLATE></TEMPLATE><A>yes</A><A>no</A><B>x\ny</B></VOLUME>",
			"\n<VOLUME>\n  <TEMPLATE/>\n  <A>yes</A>\n  <A>no</A>\n  <B>x\ny</B>\n</VOLUME>",
			"\n{\n  \"VOLUME\": {\n    \"TEMPLATE\": {},\n    \"A\": [\n      \"yes\",\n      \"no\"\n    ],\n    \"B\": \"x\\ny\"\n  }\n}",
			"\n---\nVOLUME:\n    TEMPLATE: {}\n    A:\n        - \"yes\"\n        - \"no\"\n    B: |-\n        x\n        y"},
	} {
		e, err := document.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{c.xml, c.json, c.yaml} {
			var b bytes.Buffer
			if err := []func(*document.Element) error{
				func(e *document.Element) error { return e.XML(&b) },
				func(e *document.Element) error { return e.JSON(&b) },
				func(e *document.Element) error { return e.YAML(&b) },
			}[i](e); err != nil {
				t.Fatal(err)
			}
			if got := "\n" + strings.TrimSuffix(b.String(), "\n"); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "<A>", "<A></B>", "<A/><B/>", "<A>" + strings.Repeat("<B>", 70) + strings.Repeat("</B>", 70) + "</A>"} {
		if e, err := document.Parse(text); err == nil {
			t.Errorf("%.40q became %+v", text, e)
		}
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	a, err := document.Parse("<P_POOL><P><ID>3</ID></P><P><ID>2</ID></P></P_POOL>")
	if err != nil {
		t.Fatal(err)
	}
	b, err := document.Parse("<P_POOL><P><ID>2</ID></P><P><ID>1</ID></P></P_POOL>")
	if err != nil {
		t.Fatal(err)
	}
	a.Join(b)
	var out bytes.Buffer
	if err := a.JSON(&out); err != nil || strings.Join(strings.Fields(out.String()), "") != `{"P_POOL":{"P":[{"ID":"3"},{"ID":"2"},{"ID":"1"}]}}` {
		t.Errorf("%v %s", err, &out)
	}
}

// Whatever can be read is printed as what others can read, and means the same.
func FuzzFormats(f *testing.F) {
	f.Add(pool)
	f.Add("<A><B>  x </B><C/><B>0x1f</B></A>")
	f.Add("<A>~</A>")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := document.Parse(text)
		if err != nil {
			return
		}
		var x, j, y bytes.Buffer
		if err := e.JSON(&j); err != nil || !json.Valid(j.Bytes()) {
			t.Fatalf("JSON: %v %s", err, &j)
		}
		if err := e.YAML(&y); err != nil {
			t.Fatalf("YAML: %v", err)
		}
		var any map[string]yaml.Node
		if err := yaml.Unmarshal(y.Bytes(), &any); err != nil {
			t.Fatalf("YAML: %v\n%s", err, &y)
		}
		if err := e.XML(&x); err != nil {
			t.Fatal(err)
		}
		again, err := document.Parse(x.String())
		if err != nil {
			t.Fatalf("XML: %v\n%s", err, &x)
		}
		var j2 bytes.Buffer
		if err := again.JSON(&j2); err != nil || j2.String() != j.String() {
			t.Fatalf("%v\n%s\n%s", err, &j, &j2)
		}
		if err := xml.Unmarshal(x.Bytes(), new(struct{})); err != nil {
			t.Fatal(err)
		}
	})
}

// A value that no document of the daemon's stands behind has the same forms.
func TestOf(t *testing.T) {
	t.Parallel()
	e := document.Of("CHECKUP", map[string]any{"TIME": "1", "NOTE": "a < b\n& c", "EMPTY": "", "NONE": []any{}, "REPAIR": []string{"one", "two"},
		"FINDING": []any{map[string]any{"HOST": "h1"}, map[string]any{"HOST": "h2"}}})
	var b bytes.Buffer
	if err := e.XML(&b); err != nil {
		t.Fatal(err)
	}
	const want = `<CHECKUP>
  <EMPTY/>
  <FINDING>
    <HOST>h1</HOST>
  </FINDING>
  <FINDING>
    <HOST>h2</HOST>
  </FINDING>
  <NOTE>a &lt; b&#xA;&amp; c</NOTE>
  <REPAIR>one</REPAIR>
  <REPAIR>two</REPAIR>
  <TIME>1</TIME>
</CHECKUP>
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	if back, err := document.Parse(b.String()); err != nil || len(back.Children) != 7 || back.Children[3].Text != "a < b\n& c" {
		t.Errorf("it does not read as it was written: %+v, %v", back, err)
	}
}
