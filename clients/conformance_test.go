package clients

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	kolo "github.com/kolo/xmlrpc"

	"onevolume/opennebula/onetest"
)

// counterpart says what is sent here where oned was sent one of its own
// methods: another name, and what of the parameters is replaced by what.
type counterpart struct {
	method  string
	replace []string
}

const (
	text    = `<param><value><string>`
	endText = `</string></value></param>`
)

func param(xml string) string { return "<param><value>" + xml + "</value></param>" }

// counterparts are by oned's method. What is not here has none: oned's own
// objects, which the pass-through reaches.
var counterparts = map[string]counterpart{
	"one.system.version": {method: "one.volume.health"},
	"one.vm.info":        {method: "one.volume.info"},
	"one.image.info":     {method: "one.volume.info"},
	"one.host.info":      {method: "one.volume.info"},
	// A user may ask of himself by -1; alice's volume here is 1.
	"one.user.info":           {"one.volume.info", []string{param("<i4>-1</i4>"), param("<i4>1</i4>")}},
	"one.vm.action":           {"one.volume.delete", []string{text + "poweroff" + endText, ""}},
	"one.vmpool.info":         {method: "one.volumepool.info"},
	"one.vmpool.infoextended": {method: "one.volumepool.infoextended"},
	// The image's file becomes a logical unit, and there is no datastore.
	"one.image.allocate": {"one.volume.allocate", []string{
		"PATH=\"/etc/hostname\"", "IQN=\"iqn.2026-11.test:CASE\"\nPORTALS=\"10.0.0.1\"\nSIZE=64",
		"TYPE=\"OS\"\nSIZE=\"64\"", "",
		param("<i4>101</i4>") + param("<boolean>0</boolean>"), "",
		param("<i4>4242</i4>") + param("<boolean>0</boolean>"), ""}},
	"one.vm.nosuch": {method: "one.volume.nosuch"},
}

// words turns what oned says of its objects into what is said of volumes.
var words = strings.NewReplacer("virtual machine", "volume", "VM [", "VOLUME [", "HOST [", "VOLUME [", "USER [", "VOLUME [",
	"NAME is already taken by IMAGE 0", "NAME is already taken by VOLUME 0", "image", "volume")

// differs lists where onevolumed does not answer as oned did: how, and why it
// is better so. What is listed and no longer differs fails the test too.
var differs = map[string]struct{ how, why string }{
	"http_chunked_request": {"HTTP 200, not 411", "chunked requests are read"},
	"http_header_16k":      {"HTTP 200, not 408", "a header may have 16 kB"},
	"http_header_100k":     {"HTTP 431, not 408", "HTTP has a status for it (RFC 6585 §5)"},
	"http_neg_length":      {"HTTP 400, not 500", "oned takes it for an unsigned number"},
	"http_nohost":          {"HTTP 400, not 200", "HTTP/1.1 asks for Host (RFC 9112 §3.2)"},
	"http_nolength":        {"HTTP 400, not 411", "without a length a request has no body, which is empty"},

	"huge_declared_1GiB_plus1": {"HTTP 413, not 500", "HTTP has a status for it; the limit is 1 MiB, and is known before memory is taken"},

	"image_allocate_nods":           {"a success, not a refusal 1024", "a volume is in no datastore"},
	"image_allocate_alice_noauthds": {"a refusal 512, not a success", "a logical unit is registered by administrators and storage machines"},
	"system_capabilities":           {"a fault -506, not a map[string]interface {}", "it tells which library serves and in which version, and this is not that library"},

	"err_entity_small":    {"a fault -503, not a refusal 256", "entities are not expanded: oned expands them without a limit for whoever calls"},
	"xml_internal_entity": {"a fault -503, not a success", "likewise"},
}

// TestConformance sends what was sent to oned, with the names of our methods,
// and asks for the status, the fault or the refusal that was recorded, down to
// its text, or for a success with the same type of value.
func TestConformance(t *testing.T) {
	world := onetest.Small()
	world.Users[0].Password = "onetest-pw-1"
	endpoint := startDaemon(t, world, "")
	prepare(t, endpoint)
	files, err := filepath.Glob("testdata/captures/*.http.txt")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".http.txt")
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, want := capture(t, path)
			for _, method := range regexp.MustCompile(`one\.[a-z]+\.[a-z]+`).FindAllString(string(request.body), -1) {
				ours, ok := counterparts[method]
				if !ok {
					t.Logf("%s is about oned's own objects", method)
					return
				}
				request.become(method, ours, name)
				want.answer.Text = say(want.answer.Text, method, ours.method).(string)
				want.answer.Value = say(want.answer.Value, method, ours.method)
			}
			got := send(t, endpoint, request)
			how := difference(want, got)
			d := differs[name]
			switch {
			case d.how != "" && how == "":
				t.Error("it does not differ any more: take it off the list")
			case how != d.how:
				t.Errorf("%s\noned:       %v\nonevolumed: %v", how, want, got)
			}
		})
	}
	for name := range differs {
		if !seen[name] {
			t.Errorf("the list of differences has %s, which was not recorded", name)
		}
	}
}

// prepare makes the world that was there when oned was recorded: an object of
// oneadmin's named as the first image, and one that alice may use.
func prepare(t *testing.T, endpoint string) {
	t.Helper()
	const session = "oneadmin:onetest-pw-1"
	for _, c := range [][]any{
		{"one.volume.allocate", session, "NAME=\"img-a\"\nIQN=\"iqn.2026-11.test:a\"\nPORTALS=\"10.0.0.1\"\nSIZE=64\n"},
		{"one.volume.allocate", session, "NAME=\"img-b\"\nIQN=\"iqn.2026-11.test:b\"\nPORTALS=\"10.0.0.1\"\nSIZE=64\n"},
		{"one.volume.chmod", session, 1, -1, -1, -1, 1, -1, -1, 1, -1, -1},
	} {
		call, err := kolo.EncodeMethodCall(c[0].(string), c[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		a, err := koloAnswer(post(t, endpoint, call))
		if list, _ := a.Value.([]any); err != nil || len(list) == 0 || list[0] != true {
			t.Fatalf("%v: %v, %v", c, a, err)
		}
	}
}

// request is what was sent, as bytes.
type request struct {
	head string // with the empty line
	body []byte
}

// become has the request ask for ours what it asked of oned.
func (r *request) become(method string, c counterpart, name string) {
	before := len(r.body)
	text := strings.ReplaceAll(string(r.body), method, c.method)
	for i := 0; i < len(c.replace); i += 2 {
		text = strings.ReplaceAll(text, c.replace[i], c.replace[i+1])
	}
	text = strings.ReplaceAll(text, "CASE", strings.ReplaceAll(name, "_", "-"))
	if strings.Contains(r.head, "chunked") {
		size, rest, _ := strings.Cut(text, "\r\n")
		n, _ := strconv.ParseInt(size, 16, 32)
		text = strconv.FormatInt(n+int64(len(text)-before), 16) + "\r\n" + rest
	}
	r.body = []byte(text)
	r.head = strings.Replace(r.head, fmt.Sprintf("Content-Length: %d\r\n", before), fmt.Sprintf("Content-Length: %d\r\n", len(text)), 1)
}

// reply is what counts of an answer: its status, and what is in it.
type reply struct {
	status int
	kind   string // the media type
	page   string // what a page of HTML says
	answer answer
}

func (r reply) String() string {
	text := fmt.Sprint(r.answer.Value)
	if r.answer.Fault != nil {
		text = fmt.Sprint("fault ", *r.answer.Fault, " ", r.answer.Text)
	}
	return fmt.Sprintf("HTTP %d %s %s %.200s", r.status, r.kind, r.page, text)
}

// capture reads what was sent to oned, and what it answered.
func capture(t *testing.T, path string) (*request, reply) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sent, got, ok := bytes.Cut(file, []byte("\n\n=== RESPONSE ===\n"))
	head, body, ok2 := bytes.Cut(bytes.TrimPrefix(sent, []byte("=== REQUEST ===\n")), []byte("\r\n\r\n"))
	if !ok || !ok2 {
		t.Fatalf("%s is no capture", path)
	}
	r, err := readReply(bufio.NewReader(bytes.NewReader(got)), string(head))
	if err != nil {
		t.Fatal(err)
	}
	return &request{string(head) + "\r\n\r\n", body}, r
}

// send sends a request as it is, on a connection of its own.
func send(t *testing.T, endpoint string, r *request) reply {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for try := 1; ; try++ {
		got, err := sendOnce(u.Host, r)
		if err == nil {
			return got
		}
		// A server that has read enough closes while the rest comes, and the
		// kernel may then drop the answer before it is read.
		if !errors.Is(err, syscall.ECONNRESET) || try == 5 {
			t.Fatal(err)
		}
	}
}

func sendOnce(host string, r *request) (reply, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	go func() { _, _ = io.WriteString(conn, r.head+string(r.body)) }()
	return readReply(bufio.NewReader(conn), r.head)
}

// readReply reads an answer; where it goes on to the end of the connection
// that of a recording may have a note behind it.
func readReply(in *bufio.Reader, head string) (reply, error) {
	method, _, _ := strings.Cut(strings.TrimSpace(head), " ")
	asked := &http.Request{Method: method}
	response, err := http.ReadResponse(in, asked)
	if err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(in, asked)
	}
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return reply{}, err
	}
	r := reply{status: response.StatusCode}
	r.kind, _, _ = strings.Cut(response.Header.Get("Content-Type"), ";")
	if r.kind == "text/xml" {
		r.answer, err = koloAnswer(body)
		return r, err
	}
	if page := regexp.MustCompile(`<H1>(Error [0-9]+)</H1>`).FindSubmatch(body); page != nil {
		r.page = string(page[1])
	}
	return r, nil
}

// say turns what oned said of its object into what is to be said of a volume.
func say(v any, method, ours string) any {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "<") { // a document is compared by its type alone
			return words.Replace(strings.ReplaceAll(v, method, ours))
		}
	case []any:
		for i := range v {
			v[i] = say(v[i], method, ours)
		}
	}
	return v
}

// loose are texts in which oned repeats what its XML parser says, or says more
// than is known here: how they begin is enough.
var loose = regexp.MustCompile(`^(Call XML not a proper XML-RPC call\.  Call is not valid XML\.|\[one\.volume\.allocate\] Parse error).*`)

// difference says how an answer is not what oned's was, or nothing.
func difference(oned, ours reply) string {
	if ours.status != oned.status {
		return fmt.Sprintf("HTTP %d, not %d", ours.status, oned.status)
	}
	if ours.kind != oned.kind && ours.status != http.StatusBadRequest {
		return fmt.Sprintf("%q, not %q", ours.kind, oned.kind)
	}
	was, is := shape(oned.answer), shape(ours.answer)
	if was != is {
		return is + ", not " + was
	}
	a, b := loose.ReplaceAllString(said(oned.answer), "$1"), loose.ReplaceAllString(said(ours.answer), "$1")
	if a != b {
		return fmt.Sprintf("%q, not %q", b, a)
	}
	return ""
}

// shape is what an answer is, in words, with its code.
func shape(a answer) string {
	list, _ := a.Value.([]any)
	switch {
	case a.Fault != nil:
		return fmt.Sprintf("a fault %d", *a.Fault)
	case len(list) == 3 && list[0] == true && fmt.Sprint(list[2]) == "0":
		return "a success"
	case len(list) == 5 && list[0] == false:
		return fmt.Sprintf("a refusal %v", list[2])
	case a.Value == nil:
		return "nothing"
	}
	return fmt.Sprintf("a %T", a.Value)
}

// said is an answer's text: the whole of an error, the type of a success.
func said(a answer) string {
	list, _ := a.Value.([]any)
	switch {
	case a.Fault != nil:
		return a.Text
	case len(list) == 5:
		return fmt.Sprintf("%v, object %v, %v", list[1], list[3], list[4])
	case len(list) == 3:
		return fmt.Sprintf("%T", list[1])
	}
	return ""
}
