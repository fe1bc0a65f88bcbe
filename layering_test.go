package onevolume_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// layer is what a package may import besides the standard library: packages
// of ours (by folder) and outside modules. What is not listed fails the test,
// and so does a folder that is not listed.
type layer struct {
	ours    []string
	outside []string
}

// layers runs from the domain, which knows nothing, to the programs. Siblings
// never import each other.
var layers = map[string]layer{
	".":                           {},
	"follow":                      {ours: []string{"."}},
	"saga":                        {ours: []string{"."}},
	"command":                     {},
	"template":                    {ours: []string{"."}},
	"config":                      {ours: []string{"."}, outside: []string{"go.yaml.in/yaml/v3"}},
	"xmlrpc/wire":                 {outside: []string{"github.com/kolo/xmlrpc"}},
	"xmlrpc/passthrough":          {ours: []string{"xmlrpc/wire"}},
	"listen":                      {ours: []string{"xmlrpc/wire"}},
	"hypervisor":                  {ours: []string{".", "command"}},
	"array":                       {ours: []string{"."}},
	"array/linux":                 {ours: []string{".", "array", "command"}},
	"array/lio":                   {ours: []string{".", "array", "array/linux", "command"}},
	"array/tgt":                   {ours: []string{".", "array", "array/linux", "command"}},
	"array/openfiler":             {ours: []string{".", "array", "array/linux", "command", "openfiler"}},
	"array/openfiler/standin":     {ours: []string{".", "array"}},
	"array/arraytest":             {ours: []string{".", "array", "command"}},
	"provision":                   {ours: []string{".", "array", "saga"}},
	"array/linux/linuxtest":       {ours: []string{"array/linux", "command", "command/commandtest"}},
	"iscsi":                       {ours: []string{".", "command"}},
	"packaging/openfiler":         {},
	"packaging/opennebula":        {},
	"openfiler":                   {ours: []string{".", "command", "template"}},
	"blockdev":                    {ours: []string{".", "command", "iscsi"}},
	"command/local":               {ours: []string{"command"}},
	"command/ssh":                 {ours: []string{"command"}, outside: []string{"golang.org/x/crypto"}},
	"hypervisor/virsh":            {ours: []string{".", "command", "hypervisor"}},
	"hypervisor/xen":              {ours: []string{".", "command", "hypervisor"}},
	"hypervisor/all":              {ours: []string{".", "hypervisor", "hypervisor/virsh", "hypervisor/xen"}},
	"store":                       {ours: []string{"."}, outside: []string{"modernc.org/sqlite", "github.com/go-sql-driver/mysql"}},
	"opennebula":                  {ours: []string{".", "template", "xmlrpc/wire"}},
	"opennebula/events":           {outside: []string{"github.com/go-zeromq/zmq4"}},
	"publish":                     {ours: []string{"."}, outside: []string{"go.uber.org/zap"}},
	"inventory":                   {ours: []string{".", "template"}},
	"xmlrpc":                      {ours: []string{".", "template", "xmlrpc/wire"}},
	"workflow":                    {ours: []string{".", "command", "hypervisor", "iscsi", "saga"}},
	"doctor":                      {ours: []string{".", "command", "hypervisor", "iscsi"}},
	"metrics":                     {ours: []string{"."}, outside: []string{"github.com/prometheus/client_golang"}},
	"daemon":                      {ours: []string{".", "array", "doctor", "provision", "workflow"}, outside: []string{"go.uber.org/zap"}},
	"daemon/follower":             {ours: []string{".", "follow"}, outside: []string{"go.uber.org/zap"}},
	"daemon/labels":               {ours: []string{"."}, outside: []string{"go.uber.org/zap"}},
	"cli/table":                   {ours: []string{"."}, outside: []string{"go.yaml.in/yaml/v3", "github.com/rivo/uniseg"}},
	"cli/document":                {outside: []string{"go.yaml.in/yaml/v3"}},
	"cli":                         {ours: []string{".", "cli/document", "cli/table", "doctor", "hypervisor", "workflow"}, outside: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/schollz/progressbar/v3"}},
	"assemble":                    {ours: []string{"*"}, outside: []string{"go.uber.org/zap", "golang.org/x/sys", "golang.org/x/term"}},
	"cmd/onevolume":               {ours: []string{"assemble", "cli"}},
	"cmd/onevolumed":              {ours: []string{".", "assemble"}},
	"packaging/manpages":          {ours: []string{".", "cli"}, outside: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}},
	"lab":                         {},
	"bench/load":                  {ours: []string{".", "store", "xmlrpc/wire"}, outside: []string{"github.com/kolo/xmlrpc"}},
	"e2e":                         {},
	"clients":                     {},
	"command/commandtest":         {ours: []string{"command"}},
	"command/ssh/sshtest":         {ours: []string{"command"}, outside: []string{"golang.org/x/crypto"}},
	"iscsi/iscsitest":             {ours: []string{".", "blockdev", "command", "command/commandtest", "iscsi"}},
	"hypervisor/hypervisortest":   {ours: []string{".", "command", "command/commandtest", "hypervisor"}},
	"openfiler/openfilertest":     {},
	"store/storetest":             {ours: []string{".", "store"}, outside: []string{"github.com/go-sql-driver/mysql"}},
	"opennebula/onetest":          {ours: []string{".", "template", "xmlrpc/wire"}, outside: []string{"github.com/go-zeromq/zmq4", "go.yaml.in/yaml/v3"}},
	"opennebula/onetest/onetestd": {ours: []string{"opennebula/onetest"}},
}

// TestLayers parses the imports itself: a test that asks the go command is
// cached and goes on saying ok.
func TestLayers(t *testing.T) {
	seen := map[string]bool{}
	eachFile(t, func(dir, path string, file *ast.File) {
		l, known := layers[dir]
		if !known {
			if !seen[dir] {
				t.Errorf("folder %s is in no layer: list it in layers", dir)
			}
			seen[dir] = true
			return
		}
		seen[dir] = true
		if strings.HasSuffix(path, "_test.go") {
			return // tests put layers together
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := l.refuses(name); why != "" {
				t.Errorf("%s imports %s: %s", path, name, why)
			}
		}
	})
	for dir := range layers {
		if !seen[dir] {
			t.Errorf("layers lists %s, which has no Go file", dir)
		}
	}
}

func (l layer) refuses(name string) string {
	if name == "onevolume" || strings.HasPrefix(name, "onevolume/") {
		dir := strings.TrimPrefix(strings.TrimPrefix(name, "onevolume"), "/")
		if dir == "" {
			dir = "."
		}
		if slices.Contains(l.ours, dir) || slices.Contains(l.ours, "*") {
			return ""
		}
		return "the layer does not allow it"
	}
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	for _, module := range l.outside {
		if name == module || strings.HasPrefix(name, module+"/") {
			return ""
		}
	}
	return "the layer does not list this outside module"
}

// TestPackageComments asks that every package says what it is for, once.
func TestPackageComments(t *testing.T) {
	docs, dirs := map[string]int{}, map[string]bool{}
	eachFile(t, func(dir, path string, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		dirs[dir] = true
		if file.Doc != nil && len(strings.Fields(file.Doc.Text())) >= 8 {
			docs[dir]++
		}
	})
	names := make([]string, 0, len(dirs))
	for dir := range dirs {
		names = append(names, dir)
	}
	sort.Strings(names)
	for _, dir := range names {
		if docs[dir] != 1 {
			t.Errorf("package %s has %d package comments, want one that says what it is for", dir, docs[dir])
		}
	}
}

func eachFile(t *testing.T, visit func(dir, path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(path)), path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
