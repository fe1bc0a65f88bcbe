// Package document prints the XML documents of the daemon in the formats that
// OpenNebula's own tools offer: XML, JSON and YAML. As with them every value
// is a string, elements keep their order, and names are those of the XML.
package document

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Element is an element of a document: one that holds others, or one with a
// text.
type Element struct {
	Name     string
	Children []*Element
	Text     string // without the mark-up of Raw
	Raw      string // the text as it stands in the document, CDATA and all
}

// maxDepth bounds how deep elements stand in each other; the daemon's are 5.
const maxDepth = 64

// Parse reads a document. Attributes, comments and the like, which OpenNebula's
// documents do not have, are left out.
func Parse(text string) (*Element, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var open []*Element // from the root down
	var begins []int64  // where the content of each begins
	var root *Element
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil && len(open) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, fmt.Errorf("XML document: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &Element{Name: t.Name.Local}
			if len(open) == maxDepth || len(open) == 0 && root != nil {
				return nil, fmt.Errorf("XML document: %s: no such element is expected here", e.Name)
			}
			if len(open) == 0 {
				root = e
			} else {
				parent := open[len(open)-1]
				parent.Children = append(parent.Children, e)
			}
			open, begins = append(open, e), append(begins, d.InputOffset())
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(t)
			}
		case xml.EndElement:
			last := len(open) - 1
			e, begin := open[last], begins[last]
			open, begins = open[:last], begins[:last]
			switch {
			case len(e.Children) > 0:
				e.Text = "" // blanks between its elements
			case at > begin:
				e.Raw = text[begin:at]
			}
		}
	}
}

// container says whether an element without content would hold others.
func (e *Element) container() bool {
	return len(e.Children) > 0 || e.Name == "TEMPLATE" || strings.HasSuffix(e.Name, "_POOL")
}

// member is a name of an object, and the elements that have it.
type member struct {
	name string
	list bool
	all  []*Element
}

// members are an element's children by name, in the order of the first of
// each. Those of a pool are a list however many there are, as OpenNebula's
// schemas have it.
func (e *Element) members() []member {
	var list []member
	index := map[string]int{}
	for _, c := range e.Children {
		i, known := index[c.Name]
		if !known {
			i = len(list)
			index[c.Name] = i
			list = append(list, member{name: c.Name})
		}
		list[i].all = append(list[i].all, c)
	}
	for i := range list {
		list[i].list = len(list[i].all) > 1 || e.Name == list[i].name+"_POOL"
	}
	if what, pool := strings.CutSuffix(e.Name, "_POOL"); pool && len(list) == 0 {
		list = append(list, member{name: what, list: true})
	}
	return list
}

// Join adds the objects of another page of a pool, but for those that have an
// ID which the pool holds already: they moved while the pages were read.
func (e *Element) Join(page *Element) {
	seen := map[string]bool{}
	for _, c := range e.Children {
		seen[c.id()] = true
	}
	for _, c := range page.Children {
		if id := c.id(); id == "" || !seen[id] {
			e.Children = append(e.Children, c)
		}
	}
}

// id is the text of an object's ID.
func (e *Element) id() string {
	for _, c := range e.Children {
		if c.Name == "ID" {
			return c.Text
		}
	}
	return ""
}
