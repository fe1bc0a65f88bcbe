package wire

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// apiError is a stub's refusal; refusals is what Describe makes of it.
type apiError struct {
	message    string
	code, objt int
}

func (e apiError) Error() string { return e.message }

func describe(err error) (string, int, int) {
	if e, ok := errors.AsType[apiError](err); ok {
		return e.message, e.code, e.objt
	}
	return err.Error(), codeInternal, -1
}

type user struct{}

// authenticate knows the two users of the captures.
func authenticate(ctx context.Context, session string) (context.Context, error) {
	switch session {
	case "oneadmin:onetest-pw-1", "alice:alicepw":
		name, _, _ := strings.Cut(session, ":")
		return context.WithValue(ctx, user{}, name), nil
	}
	return nil, apiError{authFailed, codeAuth, -1}
}

// onedLike serves the captured methods with what the capture answers, so
// that only this package's own work is compared.
func onedLike(t *testing.T) *Server {
	s := &Server{Authenticate: authenticate, Describe: describe, Panicked: func(m string, v any, _ []byte) { t.Errorf("%s panicked: %v", m, v) }}
	refused := func(right, object string) error {
		return apiError{"User [2] : Not authorized to perform " + right + " " + object + " [0].", 0x0200, -1}
	}
	s.Add(
		Method{Name: "one.system.version", Params: []Kind{Session}, Func: func(context.Context, Call) (any, error) { return "7.4.0", nil }},
		Method{Name: "one.vm.info", Help: "Returns Virtual Machine information", Params: []Kind{Session, Int, Bool}, Optional: 1,
			Func: func(ctx context.Context, call Call) (any, error) {
				switch id := call.Int(1, 0); {
				case id == 9999:
					return nil, apiError{"Error getting virtual machine [9999].", 0x0400, 9999}
				case id == -1:
					return nil, apiError{"Error getting virtual machine Pool.", 0x0400, -1}
				case id == 0 && ctx.Value(user{}) == "alice":
					return nil, refused("USE", "VM")
				case id == 1:
					return recorded(t, "vm_info_alice_own"), nil
				}
				return recorded(t, "vm_info"), nil
			}},
		Method{Name: "one.vm.action", Params: []Kind{Session, String, Int}, Func: func(context.Context, Call) (any, error) { return nil, refused("MANAGE", "VM") }},
		Method{Name: "one.user.info", Params: []Kind{Session, Int, Bool}, Optional: 1, Func: func(context.Context, Call) (any, error) { return nil, refused("USE", "USER") }},
		Method{Name: "one.user.login", Params: []Kind{Session, String, String, Int, Int}, Func: func(context.Context, Call) (any, error) { return nil, refused("MANAGE", "USER") }},
	)
	return s
}

// recorded is the value in a captured answer.
func recorded(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name + ".response.xml")
	if err != nil {
		t.Fatal(err)
	}
	v, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	return v.([]any)[1].(string)
}

func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body)))
	return w
}

// read gives a captured request and its answer.
func read(t *testing.T, name string) ([]byte, string) {
	t.Helper()
	request, err := os.ReadFile("testdata/" + name + ".request.xml")
	if err != nil {
		t.Fatal(err)
	}
	response, err := os.ReadFile("testdata/" + name + ".response.xml")
	if err != nil {
		t.Fatal(err)
	}
	return request, string(response)
}

// TestGolden feeds what was sent to oned to the server and compares the bytes.
func TestGolden(t *testing.T) {
	requests, err := filepath.Glob("testdata/*.request.xml")
	if err != nil || len(requests) < 40 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	// Here oned says more of the parser's own, or is laxer than we want.
	begins := map[string]string{
		"err_badutf8":              "Call XML not a proper XML-RPC call.  Call is not valid XML.",
		"err_malformed_xml_trunc":  "Call XML not a proper XML-RPC call.  Call is not valid XML.",
		"err_malformed_xml_notags": "Call XML not a proper XML-RPC call.  Call is not valid XML.",
		"http_ce_gzip":             "Call XML not a proper XML-RPC call.  Call is not valid XML.",
		// oned expands entities before it knows the caller.
		"err_entity_small":    "Call XML not a proper XML-RPC call.  Call is not valid XML.",
		"xml_internal_entity": "Call XML not a proper XML-RPC call.  Call is not valid XML.",
	}
	for _, path := range requests {
		name := strings.TrimSuffix(filepath.Base(path), ".request.xml")
		t.Run(name, func(t *testing.T) {
			request, want := read(t, name)
			w := post(onedLike(t), request)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/xml; charset=utf-8" {
				t.Errorf("HTTP %d, %q", w.Code, w.Header().Get("Content-Type"))
			}
			if begin, ok := begins[name]; ok {
				_, err := decode(w.Body.Bytes())
				if f, ok := errors.AsType[*Fault](err); !ok || f.Code != FaultParse || !strings.HasPrefix(f.Message, begin) {
					t.Errorf("answer %v, want a fault that begins %q", err, begin)
				}
				return
			}
			if got := w.Body.String(); got != want {
				t.Errorf("answer\n%s\noned's\n%s", got, want)
			}
		})
	}
}
