package cli

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"onevolume"
	"onevolume/cli/table"
)

// The file that is installed says of every column what the program does
// without it, and no more.
func TestShippedColumns(t *testing.T) {
	text, err := os.ReadFile("../packaging/onevolume.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type layout struct {
		Desc   string `yaml:":desc"`
		Size   int    `yaml:":size"`
		Left   bool   `yaml:":left"`
		Adjust bool   `yaml:":adjust"`
		Expand bool   `yaml:":expand"`
	}
	shipped, want := map[string]layout{}, map[string]layout{}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	for name, node := range raw {
		if strings.HasPrefix(name, ":default") {
			continue
		}
		var l layout
		if err := node.Decode(&l); err != nil {
			t.Fatal(err)
		}
		shipped[name] = l
	}
	for _, c := range volumeColumns(false) {
		want[":"+c.Name] = layout{c.Desc, c.Size, c.Left, c.Adjust, c.Expand}
	}
	if !reflect.DeepEqual(shipped, want) {
		t.Errorf("packaging/onevolume.yaml says\n%v\nand the program\n%v", shipped, want)
	}

	file, err := table.ParseFile(text)
	if err != nil {
		t.Fatal(err)
	}
	head := func(f table.File) string {
		tab, err := table.New(volumeColumns(false), standardColumns(), f, "", table.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := tab.Print(&b, table.Screen{}, []onevolume.Volume(nil), true); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if got, want := head(file), head(table.File{}); got != want {
		t.Errorf("with the file %q, without %q", got, want)
	}
	for _, conf := range []string{"user", "iscsi"} {
		if _, err := table.New(volumeColumns(false), standardColumns(), file, "", table.Options{Conf: conf}); err != nil {
			t.Error(err)
		}
	}
}
