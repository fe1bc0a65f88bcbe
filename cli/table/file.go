package table

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"onevolume"
)

// File is a file of columns, as OpenNebula's tools have one each: by column
// its size and the like, the list of columns to show, and lists with names.
// Keys are Ruby's symbols (:size:); they are read without the colons, too.
type File struct {
	path    string
	columns map[string]layout
	list    []string
	conf    map[string][]string
}

// layout is what a file says of a column; nil for what it does not say.
type layout struct {
	desc   *string
	size   *int
	left   *bool
	adjust *bool
	expand *bool
	share  float64
}

// maxFile bounds what is read: no such file is larger.
const maxFile = 1 << 20

// ReadFile reads the first of the files that exists; a File that says nothing
// when none does.
func ReadFile(paths ...string) (File, error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return File{}, onevolume.Errorf(onevolume.Invalid, "columns: %w", err)
		}
		f, err := ParseFile(text)
		if err != nil {
			return File{}, onevolume.Errorf(onevolume.Invalid, "columns: %s: %w", path, err).WithHint("correct the file, or take it away")
		}
		f.path = path
		return f, nil
	}
	return File{}, nil
}

// ParseFile reads a file's text.
func ParseFile(text []byte) (File, error) {
	if len(text) > maxFile {
		return File{}, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return File{}, err
	}
	f := File{columns: map[string]layout{}, conf: map[string][]string{}}
	for key, node := range raw {
		var err error
		switch name := word(key); name {
		case "default":
			f.list, err = names(&node)
		case "default_conf":
			var lists map[string]yaml.Node
			if err = node.Decode(&lists); err != nil {
				break
			}
			for conf, list := range lists {
				if f.conf[word(conf)], err = names(&list); err != nil {
					break
				}
			}
		default:
			f.columns[strings.ToUpper(name)], err = parseLayout(&node)
		}
		if err != nil {
			return File{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return f, nil
}

// word is a key without the colon of a symbol.
func word(s string) string { return strings.Trim(s, ": ") }

func names(node *yaml.Node) ([]string, error) {
	var list []string
	if err := node.Decode(&list); err != nil {
		return nil, err
	}
	for i := range list {
		list[i] = word(list[i])
	}
	return list, nil
}

func parseLayout(node *yaml.Node) (layout, error) {
	var l layout
	var raw map[string]yaml.Node
	if err := node.Decode(&raw); err != nil {
		return l, err
	}
	for key, value := range raw {
		var err error
		switch word(key) {
		case "desc":
			err = value.Decode(&l.desc)
		case "size":
			if err = value.Decode(&l.size); err == nil && l.size != nil && (*l.size < 1 || *l.size > maxSize) {
				err = fmt.Errorf("%d is no size of a column", *l.size)
			}
		case "left":
			err = value.Decode(&l.left)
		case "adjust":
			err = value.Decode(&l.adjust)
		case "expand": // true, or a share of what is left over
			if value.ShortTag() == "!!bool" {
				err = value.Decode(&l.expand)
				break
			}
			yes := true
			l.expand = &yes
			if err = value.Decode(&l.share); err == nil && !(l.share > 0 && l.share <= 1) {
				err = fmt.Errorf("%v is no share of a line", l.share)
			}
		}
		if err != nil {
			return l, fmt.Errorf("%s: %w", key, err)
		}
	}
	return l, nil
}

// lay puts what the file says over a column.
func (f File) lay(c column) column {
	l := f.columns[c.name]
	put(&c.desc, l.desc)
	put(&c.size, l.size)
	put(&c.left, l.left)
	put(&c.adjust, l.adjust)
	put(&c.expand, l.expand)
	c.share = l.share
	return c
}

func put[V any](to, from *V) {
	if from != nil {
		*to = *from
	}
}

// choose says which columns are shown.
func (f File) choose(standard []string, conf, listconf string) ([]string, error) {
	if conf != "" {
		list, ok := f.conf[conf]
		if !ok {
			return nil, onevolume.Errorf(onevolume.Invalid, "option listconf: there is no list %q under :default_conf: in %s", conf, f.name())
		}
		return list, nil
	}
	if list, ok := f.conf[listconf]; ok {
		return list, nil
	}
	if len(f.list) > 0 {
		return f.list, nil
	}
	return standard, nil
}

func (f File) name() string {
	if f.path == "" {
		return "the file of columns, which does not exist"
	}
	return f.path
}
