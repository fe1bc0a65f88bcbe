package table_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"

	"onevolume"
	"onevolume/cli/table"
)

type row struct{ id, name, size, stat string }

func columns() []table.Column[row] {
	return []table.Column[row]{
		{Name: "ID", Desc: "Identifier", Size: 4, Adjust: true, Cell: func(r *row) string { return r.id }},
		{Name: "NAME", Desc: "Name", Size: 8, Left: true, Expand: true, Cell: func(r *row) string { return r.name }},
		{Name: "SIZE", Desc: "Size", Size: 5, Cell: func(r *row) string { return r.size }},
		{Name: "STAT", Desc: "State", Size: 4, Left: true, Cell: func(r *row) string { return r.stat }},
		{Name: "NOTE", Desc: "More", Size: 6, Left: true, Cell: func(r *row) string { return "n" + r.id }},
	}
}

func rows() []row {
	return []row{
		{"10", "web data of the shop", "1.5T", "rdy"},
		{"9", "größe", "64G", "err"},
		{"2", "磁盘", "512M", "used"},
	}
}

func standard() []string { return []string{"ID", "NAME", "SIZE", "STAT"} }

func make1(o table.Options, file string, listconf string) (*table.Table[row], error) {
	f, err := table.ParseFile([]byte(file))
	if err != nil {
		return nil, err
	}
	return table.New(columns(), standard(), f, listconf, o)
}

// prints gives what a table looks like, with · for blanks at the ends of
// lines and escape sequences shown.
func prints(t *testing.T, o table.Options, file string, s table.Screen, list []row) string {
	t.Helper()
	tab, err := make1(o, file, "")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tab.Print(&b, s, list, true); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		trimmed := strings.TrimRight(l, " ")
		lines = append(lines, strings.ReplaceAll(trimmed+strings.Repeat("·", len(l)-len(trimmed)), "\x1b", "^"))
	}
	return strings.Join(lines, "\n")
}

// The cases are those of OpenNebula's ShowTable (src/cli/cli_helper.rb, 7.4).
func TestPrint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		o    table.Options
		file string
		s    table.Screen
		want string
	}{
		{"cells are padded and cut, rows stripped, the header not", table.Options{}, "", table.Screen{}, `
  ID NAME      SIZE STAT
  10 web data  1.5T rdy
   9 größe      64G err
   2 磁盘      512M used`},
		{"a column that expands fills the terminal", table.Options{}, "", table.Screen{Width: 32}, `
  ID NAME              SIZE STAT
  10 web data of the   1.5T rdy
   9 größe              64G err
   2 磁盘              512M used`},
		{"unless that is forbidden", table.Options{NoExpand: true}, "", table.Screen{Width: 32}, `
  ID NAME      SIZE STAT
  10 web data  1.5T rdy
   9 größe      64G err
   2 磁盘      512M used`},
		{"a narrow terminal takes nothing away", table.Options{}, "", table.Screen{Width: 10}, `
  ID NAME      SIZE STAT
  10 web data  1.5T rdy
   9 größe      64G err
   2 磁盘      512M used`},
		{"all columns expand", table.Options{ExpandAll: true}, "", table.Screen{Width: 45}, `
      ID NAME                   SIZE STAT····
      10 web data of the        1.5T rdy
       9 größe                   64G err
       2 磁盘                   512M used`},
		{"shares, and the rest for the last", table.Options{Expand: []string{"size=0.25", "name=0.25"}, List: []string{"name", "size"}}, "", table.Screen{Width: 34}, `
NAME                          SIZE
web data of the shop          1.5T
größe                          64G
磁盘                          512M`},
		{"what is adjusted is not cut", table.Options{Adjust: []string{"name"}}, "", table.Screen{}, `
  ID NAME                  SIZE STAT
  10 web data of the shop  1.5T rdy
   9 größe                  64G err
   2 磁盘                  512M used`},
		{"a size is kept on a terminal", table.Options{Size: []string{"name=3"}}, "", table.Screen{Width: 80}, `
  ID NAM  SIZE STAT
  10 web  1.5T rdy
   9 grö   64G err
   2 磁   512M used`},
		{"columns in any case", table.Options{List: []string{"stat", "Id", "note"}}, "", table.Screen{}, `
STAT   ID NOTE··
rdy    10 n10
err     9 n9
used    2 n2`},
		{"no header", table.Options{NoHeader: true, List: []string{"id"}}, "", table.Screen{}, "\n  10\n   9\n   2"},
		{"CSV", table.Options{CSV: true}, "", table.Screen{Width: 80, Terminal: true}, "\nID,NAME,SIZE,STAT\n10,web data of the shop,1.5T,rdy\n9,größe,64G,err\n2,磁盘,512M,used"},
		{"CSV by semicolons without a header", table.Options{CSV: true, CSVDel: ";", NoHeader: true, List: []string{"size", "id"}}, "", table.Screen{}, "\n1.5T;10\n64G;9\n512M;2"},
		{"colours and a bold header on a terminal", table.Options{List: []string{"ID", "STAT"}}, "", table.Screen{Terminal: true}, `
^[1m^[4m  ID STAT^[0m
  10 ^[32mrdy ^[0m
   9 ^[31merr ^[0m
   2 used`},
		{"a file lays columns out", table.Options{}, ":ID:\n  :size: 6\n:NAME:\n  :size: 4\n  :left: false\n  :expand: false\n:GONE:\n  :size: 3\n:default:\n- :NAME\n- :ID\n- :GONE\n", table.Screen{Width: 80}, `
NAME     ID
web      10
größ      9
磁盘      2`},
		{"a share in the file", table.Options{}, ":NAME:\n  :expand: 0.4\n:SIZE:\n  :expand: 0.2\n:default:\n- :NAME\n- :SIZE\n", table.Screen{Width: 34}, `
NAME                          SIZE
web data of the               1.5T
größe                          64G
磁盘                          512M`},
		{"a named list", table.Options{Conf: "short"}, ":default_conf:\n  :short:\n  - :ID\n  - :STAT\n", table.Screen{}, "\n  ID STAT\n  10 rdy\n   9 err\n   2 used"},
	} {
		if got := "\n" + prints(t, c.o, c.file, c.s, rows()); got != c.want {
			t.Errorf("%s:%s\nwant:%s", c.name, got, c.want)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter   string
		operator string
		want     string
	}{
		{"STAT=rdy", "", "10"}, {"stat=rdy", "", "10"}, {"STAT!=rdy", "", "9 2"}, {"NAME~data", "", "10"}, {"NAME~x", "", ""},
		{"NAME=web data", "", ""}, {"NAME=web data of the shop", "", "10"}, // whole cells, not what has room
		{"ID>9", "", "10"}, {"ID>=9", "", "10 9"}, {"ID<9", "", "2"}, {"ID<=9", "", "9 2"}, // as numbers
		{"SIZE>=64G", "", "10 9"}, {"SIZE<1T", "", "9 2"}, // as sizes
		{"NAME>h", "", "10 2"}, // as text
		{"STAT=rdy,ID=10", "", "10"}, {"STAT=rdy,ID=9", "", ""}, {"STAT=rdy,ID=9", "OR", "10 9"}, {"STAT=rdy,ID=9", "or", "10 9"}, {"STAT=x,ID=y", "OR", ""},
		{"NOTE=n2", "", "2"}, // of a column that is not shown
		{"NAME=", "", ""}, {"NAME!=", "", "10 9 2"},
	} {
		got := strings.Fields(prints(t, table.Options{Filter: strings.Split(c.filter, ","), Operator: c.operator, List: []string{"id"}, NoHeader: true}, "", table.Screen{}, rows()))
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: %q, want %q", c.filter, c.operator, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    table.Options
		file string
		want string
	}{
		{table.Options{List: []string{"ID", "foo"}}, "", "Column FOO not defined."},
		{table.Options{Adjust: []string{"foo"}}, "", "Column FOO not defined."},
		{table.Options{Size: []string{"foo=3"}}, "", "Column FOO not defined."},
		{table.Options{Size: []string{"name"}}, "", `option size: "name" is not`},
		{table.Options{Size: []string{"name=0"}}, "", `option size: "name=0" is not`},
		{table.Options{Expand: []string{"foo"}}, "", "Column FOO not defined."},
		{table.Options{Expand: []string{"name=2"}}, "", `option expand: "name=2" is not`},
		{table.Options{Filter: []string{"foo=1"}}, "", "Column 'foo' not found"},
		{table.Options{Filter: []string{"name"}}, "", "Expression 'name' incorrect"},
		{table.Options{Operator: "XOR"}, "", `option operator: "XOR" is neither AND nor OR`},
		{table.Options{CSV: true, CSVDel: "::"}, "", `option csv_del: "::" is not one character`},
		{table.Options{Conf: "foo"}, ":default_conf:\n  :user:\n  - :ID", `option listconf: there is no list "foo"`},
		{table.Options{}, ":ID:\n  :size: wide", ":ID:"},
		{table.Options{}, ":ID:\n  :size: 0", "no size of a column"},
		{table.Options{}, ":NAME:\n  :expand: 7", "no share of a line"},
		{table.Options{}, ":ID: [", "yaml"},
	} {
		if _, err := make1(c.o, c.file, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v, %q: %v, want %q", c.o, c.file, err, c.want)
		}
	}
}

// ONE_LISTCONF serves all of OpenNebula's tools, and most have no such list.
func TestListConf(t *testing.T) {
	t.Parallel()
	const file = ":default_conf:\n  :user:\n  - :NAME\n"
	for listconf, want := range map[string]string{"user": "NAME", "other": "ID", "": "ID"} {
		tab, err := make1(table.Options{}, file, listconf)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := tab.Print(&b, table.Screen{}, nil, true); err != nil || !strings.HasPrefix(strings.TrimSpace(b.String()), want) {
			t.Errorf("%s: %v %q", listconf, err, b.String())
		}
	}
}

// A column that grows so far and no further, and one that has the rest of the
// line, show where they were cut.
func TestMostAndRest(t *testing.T) {
	t.Parallel()
	cols := []table.Column[row]{
		{Name: "NAME", Size: 4, Left: true, Adjust: true, Most: 8, Cell: func(r *row) string { return r.name }},
		{Name: "STAT", Size: 4, Left: true, Adjust: true, Rest: true, Cell: func(r *row) string { return strings.Repeat(r.stat, 9) }},
	}
	for width, want := range map[int]string{
		0:  "NAME     STAT                                \nweb dat… rdyrdyrdyrdyrdyrdyrdyrdyrdy\ngröße    errerrerrerrerrerrerrerrerr\n磁盘     usedusedusedusedusedusedusedusedused\n",
		30: "NAME     STAT                 \nweb dat… rdyrdyrdyrdyrdyrdyrd…\ngröße    errerrerrerrerrerrer…\n磁盘     usedusedusedusedused…\n",
	} {
		tab, err := table.New(cols, []string{"NAME", "STAT"}, table.File{}, "", table.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := tab.Print(&b, table.Screen{Width: width}, rows(), true); err != nil || b.String() != want {
			t.Errorf("at %d: %v\n%q\nwant\n%q", width, err, b.String(), want)
		}
	}
}

// Later pages keep the layout of the first, but that a column grows.
func TestPages(t *testing.T) {
	t.Parallel()
	tab, err := make1(table.Options{}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for i, list := range [][]row{rows()[:1], {{"123456", "n", "1G", "rdy"}}} {
		if err := tab.Print(&b, table.Screen{Width: 32}, list, i == 0); err != nil {
			t.Fatal(err)
		}
	}
	const want = "  ID NAME              SIZE STAT\n  10 web data of the   1.5T rdy\n123456 n                   1G rdy\n"
	if b.String() != want {
		t.Errorf("%q\nwant %q", b.String(), want)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	if _, err := table.ReadFile(t.TempDir()+"/none", ""); err != nil {
		t.Error(err)
	}
	if _, err := table.ReadFile(t.TempDir()); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("a folder: %v", err)
	}
}

// A line is never longer than its columns, and cells stand in straight
// columns, whatever is in them.
func TestStraight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-zäé磁盘́ ]{0,12}x`).Draw(t, "name")
		width := rapid.IntRange(0, 60).Draw(t, "width")
		tab, err := make1(table.Options{List: []string{"name", "id"}, NoHeader: true}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := tab.Print(&b, table.Screen{Width: width}, []row{{"1", name, "", ""}}, true); err != nil {
			t.Fatal(err)
		}
		if got, want := uniseg.StringWidth(strings.TrimSuffix(b.String(), "\n")), max(8+1+4, width); got != want {
			t.Fatalf("%q takes %d, want %d", b.String(), got, want)
		}
	})
}

func FuzzParseFile(f *testing.F) {
	f.Add(":ID:\n  :size: 4\n:default:\n- :ID\n")
	f.Add(":default_conf:\n  :user:\n  - :ID\n:NAME:\n  :expand: 0.5\n  :left: true\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := table.ParseFile([]byte(text))
		if err != nil {
			return
		}
		if _, err := table.New(columns(), standard(), file, "", table.Options{}); err != nil {
			t.Errorf("a file that could be read: %v", err)
		}
	})
}
