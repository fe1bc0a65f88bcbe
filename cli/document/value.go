package document

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// Of makes a document of what JSON would be made of: maps from names to
// texts, lists and maps again. A list is so many elements of its name, a map's
// names are in order. It panics on anything else, which is an error of the
// program.
func Of(name string, value any) *Element {
	e := &Element{Name: name}
	switch v := value.(type) {
	case string:
		e.Text = v
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(v)) // a builder takes everything
		e.Raw = b.String()
	case map[string]any:
		names := make([]string, 0, len(v))
		for n := range v {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			e.Children = append(e.Children, elements(n, v[n])...)
		}
	default:
		panic(fmt.Sprintf("document: %T has no form in XML", value))
	}
	return e
}

func elements(name string, value any) []*Element {
	var list []*Element
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			list = append(list, Of(name, one))
		}
	case []string:
		for _, one := range v {
			list = append(list, Of(name, one))
		}
	default:
		list = append(list, Of(name, value))
	}
	return list
}
