package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	kolo "github.com/kolo/xmlrpc"

	"onevolume/opennebula/onetest"
)

// programs are what calls, by what it is written in. PHP's extension does not
// know i8, in oned's refusals either, and reads null.
var programs = map[string]struct {
	command func(t *testing.T) []string
	noI8    bool
}{
	"Python xmlrpc.client": {command: script("python3", "programs/python.py")},
	"Ruby xmlrpc":          {command: script("ruby", "programs/ruby.rb")},
	"PHP xmlrpc":           {command: script("php", "programs/php.php"), noI8: true},
	"Perl RPC::XML":        {command: script("perl", "programs/perl.pl")},
	"xmlrpc-c":             {command: compiled},
}

func script(words ...string) func(*testing.T) []string {
	return func(*testing.T) []string { return words }
}

// compiled builds the client in C.
func compiled(t *testing.T) []string {
	path := filepath.Join(t.TempDir(), "xmlrpc-c")
	out, err := exec.CommandContext(t.Context(), "gcc", "-Wall", "-Wextra", "-Werror", "-o", path, "programs/xmlrpc-c.c",
		"-lxmlrpc_client", "-lxmlrpc", "-lxmlrpc_util").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v (scripts/deps installs what it needs)\n%s", err, out)
	}
	return []string{path}
}

// sessions are those of onetest.Small, and one of nobody.
var sessions = map[string]string{"oneadmin": "oneadmin:opennebula", "alice": "alice:alicepw", "nobody": "nobody:nothing"}

// line is a line of calls.txt.
type line struct {
	text   string
	method string
	params []any
	kind   string // = ~ ! fault is has
	want   string
}

// answer is what a client says of a call.
type answer struct {
	Value any    `json:"value"`
	Fault *int   `json:"fault"`
	Text  string `json:"text"`
}

func calls(t *testing.T) []line {
	t.Helper()
	text, err := os.ReadFile("calls.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []line
	for s := range strings.Lines(string(text)) {
		s = strings.TrimSuffix(s, "\n")
		if s == "" || s[0] == '#' {
			continue
		}
		words := strings.SplitN(s, " ", 3)
		l := line{text: s, method: words[1], params: []any{}}
		if words[0] != "-" {
			l.params = append(l.params, sessions[words[0]])
		}
		in := json.NewDecoder(strings.NewReader(words[2]))
		var params []any
		if err := in.Decode(&params); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		l.params = append(l.params, whole(params).([]any)...)
		l.kind, l.want, _ = strings.Cut(strings.TrimSpace(words[2][in.InputOffset():]), " ")
		list = append(list, l)
	}
	return list
}

// whole makes integers of the numbers that JSON knows.
func whole(v any) any {
	switch v := v.(type) {
	case float64:
		return int(v)
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = whole(v[name])
		}
	}
	return v
}

// check says what of an answer is not as the line wants it, or nothing.
func (l line) check(a answer) string {
	if l.kind == "fault" {
		code, text, _ := strings.Cut(l.want, " ")
		if a.Fault == nil || fmt.Sprint(*a.Fault) != code || !strings.Contains(a.Text, text) {
			return "is no such fault"
		}
		return ""
	}
	if a.Fault != nil {
		return "is a fault"
	}
	whole, err := json.Marshal(a.Value)
	if err != nil {
		return err.Error()
	}
	list, _ := a.Value.([]any)
	switch {
	case l.kind == "is" && !equal(a.Value, l.want):
		return "is not that"
	case l.kind == "has" && !strings.Contains(string(whole), l.want):
		return "has it not"
	case l.kind == "is", l.kind == "has":
		return ""
	case l.kind == "!":
		code, text, _ := strings.Cut(l.want, " ")
		if len(list) != 5 || list[0] != false || fmt.Sprint(list[2]) != code || fmt.Sprint(list[4]) != "-1" {
			return "is no such refusal"
		}
		message, _ := list[1].(string)
		if !strings.HasPrefix(message, "["+l.method+"] ") || !strings.Contains(message, text) {
			return "has another message"
		}
		return ""
	case len(list) != 3 || list[0] != true || fmt.Sprint(list[2]) != "0":
		return "is no success"
	case l.kind == "=" && !equal(list[1], l.want):
		return "has another value"
	case l.kind == "~" && !strings.Contains(fmt.Sprint(list[1]), l.want):
		return "has it not in its value"
	case l.kind != "=" && l.kind != "~":
		return "cannot be judged by " + strconv.Quote(l.kind)
	}
	return ""
}

func equal(v any, text string) bool {
	var want any
	return json.Unmarshal([]byte(text), &want) == nil && reflect.DeepEqual(v, want)
}

// varying is what two runs of the same calls may say differently: times.
var varying = regexp.MustCompile(`<(REGTIME|MODTIME|TIME|LEASE|STARTED|ENDED)>[0-9]+<`)

// same is an answer as it can be compared with that of another run.
func (a answer) same(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(a); err != nil {
		t.Fatal(err)
	}
	return varying.ReplaceAllString(b.String(), "<$1><")
}

// TestClients: each client makes all calls on an inventory of its own, and
// understands the answers as this project's own codec for clients does.
func TestClients(t *testing.T) {
	list := calls(t)
	reference := koloAnswers(t, list)
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			got := run(t, p.command(t), list)
			for i, l := range list {
				if p.noI8 {
					got[i].Value = withI8(got[i].Value)
				}
				if why := l.check(got[i]); why != "" {
					t.Errorf("%s\nthe answer %s: %s", l.text, why, got[i].same(t))
				} else if got[i].same(t) != reference[i].same(t) {
					t.Errorf("%s\n%s understands %s\nkolo's       %s", l.text, name, got[i].same(t), reference[i].same(t))
				}
			}
		})
	}
}

// withI8 puts in what a client without i8 reads null for: the last number of
// a refusal.
func withI8(v any) any {
	list, _ := v.([]any)
	if len(list) == 5 && list[0] == false && list[4] == nil {
		list[4] = float64(-1)
	}
	for i := range list {
		list[i] = withI8(list[i])
	}
	return v
}

// run has a program make all calls.
func run(t *testing.T, command []string, list []line) []answer {
	t.Helper()
	var in, words bytes.Buffer
	for _, l := range list {
		call, err := json.Marshal([]any{l.method, l.params})
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(call, '\n'))
	}
	c := exec.CommandContext(t.Context(), command[0], append(slices.Clone(command[1:]), startDaemon(t, onetest.Small(), ""))...)
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "http_proxy=", "HTTP_PROXY=")
	c.Stdin, c.Stderr = &in, &words
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v (scripts/deps installs it)\n%s%s", command[0], err, out, words.String())
	}
	var answers []answer
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		answers = append(answers, a)
	}
	if len(answers) != len(list) || words.Len() > 0 {
		t.Fatalf("%d answers to %d calls\n%s%s", len(answers), len(list), out, words.String())
	}
	return answers
}

// koloAnswers makes all calls by the codec that Go programs call oned with.
func koloAnswers(t *testing.T, list []line) []answer {
	t.Helper()
	endpoint := startDaemon(t, onetest.Small(), "")
	var answers []answer
	for _, l := range list {
		call, err := kolo.EncodeMethodCall(l.method, l.params...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := koloAnswer(post(t, endpoint, call))
		if err != nil {
			t.Fatalf("%s: %v", l.text, err)
		}
		if why := l.check(a); why != "" {
			t.Errorf("%s\nthe answer %s: %s", l.text, why, a.same(t))
		}
		answers = append(answers, a)
	}
	return answers
}

// koloAnswer reads an answer and brings it into the form that JSON has.
func koloAnswer(body []byte) (a answer, err error) {
	response := kolo.Response(body)
	if err := response.Err(); err != nil {
		var fault kolo.FaultError
		if !errors.As(err, &fault) {
			return a, err
		}
		return answer{Fault: &fault.Code, Text: fault.String}, nil
	}
	if err := response.Unmarshal(&a.Value); err != nil {
		return a, err
	}
	text, err := json.Marshal(a.Value)
	if err == nil {
		err = json.Unmarshal(text, &a.Value)
	}
	return a, err
}

func post(t *testing.T, endpoint string, body []byte) []byte {
	t.Helper()
	r, err := http.Post(endpoint, "text/xml", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refuses are the methods that cannot succeed here: a server is not shut down
// from afar, no array makes volumes, and no host is dead.
var refuses = map[string]bool{"system.shutdown": true,
	"one.volume.arraycheck": true, "one.volume.arraychoose": true, "one.volume.clone": true, "one.volume.fence": true, "one.volume.grant": true, "one.volume.revoke": true,
	"one.volume.snapshotcreate": true, "one.volume.snapshotdelete": true, "one.volume.snapshotrevert": true}

// TestEveryMethodIsCalled: a method that the daemon serves and that calls.txt
// leaves out is a gap, and so is one that is never refused there.
func TestEveryMethodIsCalled(t *testing.T) {
	endpoint := startDaemon(t, onetest.Small(), "pass_through: false\n") // oned's own are in the list else
	call, err := kolo.EncodeMethodCall("system.listMethods")
	if err != nil {
		t.Fatal(err)
	}
	a, err := koloAnswer(post(t, endpoint, call))
	if err != nil {
		t.Fatal(err)
	}
	methods, _ := a.Value.([]any)
	if len(methods) < 20 {
		t.Fatalf("system.listMethods says %v", a)
	}
	succeeds, fails := map[string]bool{}, map[string]bool{}
	for _, l := range calls(t) {
		if l.kind == "!" || l.kind == "fault" {
			fails[l.method] = true
		} else {
			succeeds[l.method] = true
		}
	}
	for _, m := range methods {
		name := m.(string)
		if !succeeds[name] && !refuses[name] {
			t.Errorf("no client calls %s with success", name)
		}
		if !fails[name] && name != "system.listMethods" {
			t.Errorf("no client is refused %s", name)
		}
	}
}
