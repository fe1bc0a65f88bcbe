package ssh

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxInclude bounds Include in Include, as in OpenSSH (READCONF_MAX_DEPTH).
const maxInclude = 16

// settings are the values of ssh_config(5) for one host, by keyword in lower
// case. It is read here, and not by a library, because a file that has any
// Match besides "all" and "host" must still be read: every Red Hat system
// ships one ("Match final all").
type settings struct {
	host, user, home string // what Host and Match compare with
	values           map[string][]string
	final            bool // the second pass, for "Match final"
}

// readSettings reads the files for one host. What an earlier file says wins.
// Files that are missing say nothing.
func readSettings(host, user, home string, files ...string) (*settings, error) {
	s := &settings{host: host, user: user, home: home, values: map[string][]string{}}
	for _, s.final = range []bool{false, true} {
		for _, f := range files {
			if err := s.file(f, true, 0); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// first is the value of a keyword, or "".
func (s *settings) first(keyword string) string {
	if v := s.values[keyword]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// yes says whether a switch is on.
func (s *settings) yes(keyword string) bool {
	v := strings.ToLower(s.first(keyword))
	return v == "yes" || v == "true"
}

// file reads one file. on says whether what surrounds its Include applies to
// the host.
func (s *settings) file(name string, on bool, depth int) error {
	if depth > maxInclude {
		return fmt.Errorf("%s: Include goes deeper than %d files", name, maxInclude)
	}
	body, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	here := on
	for i, line := range strings.Split(string(body), "\n") {
		words, err := splitLine(line)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", name, i+1, err)
		}
		if len(words) == 0 {
			continue
		}
		args := words[1:]
		switch keyword := strings.ToLower(words[0]); keyword {
		case "host":
			here = on && matches(args, s.host)
		case "match":
			here = on && s.match(args)
		case "include":
			if err := s.include(filepath.Dir(name), args, here, depth); err != nil {
				return err
			}
		default:
			if here {
				s.set(keyword, args)
			}
		}
	}
	return nil
}

// include reads the files that the patterns name. A relative one is looked
// for beside the file that includes it: ~/.ssh or /etc/ssh.
func (s *settings) include(dir string, patterns []string, on bool, depth int) error {
	for _, p := range patterns {
		if rest, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(s.home, rest)
		} else if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		names, err := filepath.Glob(p)
		if err != nil {
			return fmt.Errorf("include %s: %w", p, err)
		}
		for _, name := range names {
			if err := s.file(name, on, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// set keeps a value unless one is there. IdentityFile adds up instead.
func (s *settings) set(keyword string, args []string) {
	if len(args) == 0 {
		return
	}
	old, there := s.values[keyword]
	switch {
	case !there:
		s.values[keyword] = args
	case keyword == "identityfile" && !s.final:
		s.values[keyword] = append(old, args...)
	}
}

// match says whether all the criteria of a Match line hold. One that is not
// known, as exec, does not.
func (s *settings) match(args []string) bool {
	for i := 0; i < len(args); i++ {
		criterion := strings.ToLower(args[i])
		criterion, negated := strings.CutPrefix(criterion, "!")
		var holds bool
		switch criterion {
		case "all":
			holds = true
		case "final":
			holds = s.final
		case "canonical":
			holds = false // names are never made canonical here
		default:
			if i++; i >= len(args) {
				return false
			}
			list := strings.Split(args[i], ",")
			switch criterion {
			case "host":
				name := s.host
				if v := s.first("hostname"); v != "" {
					name = v
				}
				holds = matches(list, name)
			case "originalhost":
				holds = matches(list, s.host)
			case "localuser":
				holds = matches(list, s.user)
			case "user":
				name := s.user
				if v := s.first("user"); v != "" {
					name = v
				}
				holds = matches(list, name)
			default:
				return false
			}
		}
		if holds == negated {
			return false
		}
	}
	return len(args) > 0
}

// matches compares a name with a list of patterns. One with "!" that matches
// undoes all the others.
func matches(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		// Only * and ? are special in ssh_config.
		p = strings.NewReplacer(`\`, `\\`, "[", `\[`).Replace(strings.ToLower(p))
		if ok, _ := path.Match(p, strings.ToLower(name)); ok {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// splitLine gives the words of a line: a keyword, which "=" may follow, and
// arguments, which may stand in double quotes. A word that begins with "#"
// begins a comment.
func splitLine(line string) ([]string, error) {
	var words []string
	rest := strings.TrimLeft(line, " \t\r\f")
	for rest != "" && rest[0] != '#' {
		var word string
		if rest[0] == '"' {
			end := strings.IndexByte(rest[1:], '"')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			word, rest = rest[1:end+1], rest[end+2:]
		} else {
			stops := " \t\r\f"
			if len(words) == 0 {
				stops += "="
			}
			end := strings.IndexAny(rest, stops)
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		words = append(words, word)
		rest = strings.TrimLeft(rest, " \t\r\f")
		if len(words) == 1 {
			rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), " \t\r\f")
		}
	}
	return words, nil
}
