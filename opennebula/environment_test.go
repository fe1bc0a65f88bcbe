package opennebula

import (
	"os"
	"path/filepath"
	"testing"

	"onevolume"
)

// place is an environment of files and variables.
func place(t *testing.T, env, files map[string]string) Environment {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Environment{Shared: filepath.Join(root, "shared"), Getenv: func(name string) string {
		switch {
		case name == "HOME" && env["HOME"] == "none":
			return ""
		case name == "HOME":
			return filepath.Join(root, "home")
		case name == "ONE_AUTH" && env[name] != "":
			return filepath.Join(root, env[name])
		}
		return env[name]
	}}
}

func TestSession(t *testing.T) {
	type m = map[string]string
	all := m{"auth": "a:1", "home/.one/one_auth": "b:2 \n\n", "shared/one_auth": "c:3\r\n"}
	for name, c := range map[string]struct {
		env, files     m
		user, password string
		want           string
	}{
		"given":             {m{"ONE_AUTH": "auth"}, all, "u", "p:q", "u:p:q"},
		"without password":  {nil, all, "u", "", "u:"},
		"password alone":    {nil, all, "", "p", "b:2"},
		"ONE_AUTH":          {m{"ONE_AUTH": "auth"}, all, "", "", "a:1"},
		"ONE_AUTH is wrong": {m{"ONE_AUTH": "nowhere"}, all, "", "", "b:2"},
		"ONE_AUTH is a dir": {m{"ONE_AUTH": "home"}, all, "", "", "b:2"},
		"home":              {nil, all, "", "", "b:2"},
		"shared":            {nil, m{"shared/one_auth": "c:3\r\n"}, "", "", "c:3"},
		"no home":           {m{"HOME": "none"}, all, "", "", "c:3"},
		"nowhere":           {nil, nil, "", "", ""},
		"empty":             {nil, m{"home/.one/one_auth": "\n", "shared/one_auth": "c:3"}, "", "", ""},
	} {
		got, err := place(t, c.env, c.files).Session(c.user, c.password)
		if got != c.want || (err != nil) != (c.want == "") || err != nil && (onevolume.CodeOf(err) != onevolume.Unauthenticated || onevolume.HintOf(err) == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	type m = map[string]string
	files := m{"home/.one/one_endpoint": "http://home/RPC2\n", "shared/one_endpoint": "http://shared/RPC2", "shared/onevolume_endpoint": "http://volumes/RPC2"}
	for name, c := range map[string]struct {
		env, files m
		service    Service
		given      string
		want       string
	}{
		"given":       {m{"ONE_XMLRPC": "http://env/RPC2"}, files, Oned(), "http://given/RPC2", "http://given/RPC2"},
		"variable":    {m{"ONE_XMLRPC": "http://env/RPC2"}, files, Oned(), "", "http://env/RPC2"},
		"home":        {nil, files, Oned(), "", "http://home/RPC2"},
		"shared":      {m{"HOME": "none"}, files, Oned(), "", "http://shared/RPC2"},
		"default":     {nil, nil, Oned(), "", "http://localhost:2633/RPC2"},
		"ours":        {m{"ONE_XMLRPC": "http://env/RPC2"}, files, Onevolumed(), "", "http://volumes/RPC2"},
		"our own":     {m{"ONEVOLUME_XMLRPC": "http://env/RPC2"}, files, Onevolumed(), "", "http://env/RPC2"},
		"our default": {m{"ONE_XMLRPC": "http://env/RPC2"}, nil, Onevolumed(), "", "http://localhost:2475/RPC2"},
	} {
		if got, err := place(t, c.env, c.files).Endpoint(c.service, c.given); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestTLS(t *testing.T) {
	if conf, err := place(t, nil, nil).TLS(); conf != nil || err != nil {
		t.Errorf("%v, %v", conf, err)
	}
	if conf, err := place(t, map[string]string{"ONE_DISABLE_SSL_VERIFY": "1"}, nil).TLS(); err != nil || !conf.InsecureSkipVerify {
		t.Errorf("%v", err)
	}
	if conf, err := place(t, map[string]string{"ONE_CERT_DIR": t.TempDir()}, nil).TLS(); err != nil || conf.RootCAs == nil || conf.InsecureSkipVerify {
		t.Errorf("%v", err)
	}
	if _, err := place(t, map[string]string{"ONE_CERT_DIR": "/nowhere"}, nil).TLS(); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("%v", err)
	}
}
