// Package template is OpenNebula's template: an ordered list of attributes,
// each a value or a vector of pairs, written as text (KEY = "value",
// VEC = [ A = "x", B = "y" ]) or as XML. Keys are upper case and may be
// repeated.
package template

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of what Parse reads.
const (
	maxText       = 256 << 10 // bytes
	maxAttributes = 4096      // attributes and pairs together
)

// Template is a list of attributes in the order of the text.
type Template []Attribute

// Attribute is a key with a value or, when Vector is not nil, with pairs.
type Attribute struct {
	Key    string
	Value  string
	Vector []Pair
}

// Pair is one entry of a vector.
type Pair struct{ Key, Value string }

// Error is a text that is no template.
type Error struct {
	Line, Column int // from 1; the column counts characters
	Msg          string
}

func (e *Error) Error() string {
	return fmt.Sprintf("template: line %d, column %d: %s", e.Line, e.Column, e.Msg)
}

// Get is the value of the first attribute of that key which is no vector.
func (t Template) Get(key string) (string, bool) {
	for _, a := range t {
		if a.Vector == nil && a.Key == key {
			return a.Value, true
		}
	}
	return "", false
}

// Vectors are the vectors of that key.
func (t Template) Vectors(key string) []Attribute {
	var list []Attribute
	for _, a := range t {
		if a.Vector != nil && a.Key == key {
			list = append(list, a)
		}
	}
	return list
}

// Get is the value of the vector's first pair of that key.
func (a Attribute) Get(key string) (string, bool) {
	for _, p := range a.Vector {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Without is the template without the attributes of that key.
func (t Template) Without(key string) Template {
	return slices.DeleteFunc(slices.Clone(t), func(a Attribute) bool { return a.Key == key })
}

// With is the template with one attribute of that key, at its end.
func (t Template) With(key, value string) Template {
	return append(t.Without(key), Attribute{Key: key, Value: value})
}

// Append is oned's update of the kind "append": the attributes of more
// replace all of the same key. An empty vector in more only removes.
func (t Template) Append(more Template) Template {
	out := slices.Clone(t)
	for _, a := range more {
		out = out.Without(a.Key)
	}
	for _, a := range more {
		if a.Vector == nil || len(a.Vector) > 0 {
			out = append(out, a)
		}
	}
	return out
}

// Options reads a template in which each key must be one of keys, with a
// value, and at most once: what a method takes as its options.
func Options(text string, keys ...string) (map[string]string, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return t.Options(keys...)
}

// Options gives the attributes by their keys, as the function of this name.
func (t Template) Options(keys ...string) (map[string]string, error) {
	options := make(map[string]string, len(t))
	for _, a := range t {
		_, twice := options[a.Key]
		switch {
		case !slices.Contains(keys, a.Key):
			return nil, fmt.Errorf("template: attribute %s is not known here; there are %s", a.Key, strings.Join(keys, ", "))
		case a.Vector != nil:
			return nil, fmt.Errorf("template: attribute %s must be a value, not a vector", a.Key)
		case twice:
			return nil, fmt.Errorf("template: attribute %s is given twice", a.Key)
		}
		options[a.Key] = a.Value
	}
	return options, nil
}
