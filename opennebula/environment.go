package opennebula

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"onevolume"
)

// Environment is where credentials and endpoints are looked for.
type Environment struct {
	Getenv func(string) string
	// Shared is the directory behind the user's own ~/.one.
	Shared string
}

// SystemEnvironment is the process's own.
func SystemEnvironment() Environment {
	return Environment{Getenv: os.Getenv, Shared: "/var/lib/one/.one"}
}

// Service is something that listens for XML-RPC.
type Service struct {
	Variable string // the environment variable that names the endpoint
	File     string // the file in ~/.one that does
	Default  string
}

// Oned is OpenNebula's core.
func Oned() Service { return Service{"ONE_XMLRPC", "one_endpoint", "http://localhost:2633/RPC2"} }

// Onevolumed is our daemon, found in the same way.
func Onevolumed() Service {
	return Service{"ONEVOLUME_XMLRPC", "onevolume_endpoint", "http://localhost:2475/RPC2"}
}

// NewConfig finds the session and the endpoint as OpenNebula's tools do.
// What is not empty stands before all that is found; a password counts only
// with a user.
func NewConfig(user, password, endpoint string) (OneConfig, error) {
	e := SystemEnvironment()
	token, err := e.Session(user, password)
	if err != nil {
		return OneConfig{}, err
	}
	conf := OneConfig{Token: token}
	if conf.Endpoint, err = e.Endpoint(Oned(), endpoint); err != nil {
		return OneConfig{}, err
	}
	conf.TLS, err = e.TLS()
	return conf, err
}

// Session finds user:password: what is given, else the content of the file
// that ONE_AUTH names, of ~/.one/one_auth or of the shared one_auth, without
// the blanks at its end. Like OpenNebula's tools (client.rb) it goes on to
// the next when a file does not exist, but not when one cannot be read.
func (e Environment) Session(user, password string) (string, error) {
	if user != "" {
		return user + ":" + password, nil
	}
	paths := append([]string{e.Getenv("ONE_AUTH")}, e.files("one_auth")...)
	for _, path := range paths {
		text, ok, err := read(path)
		if err != nil {
			return "", onevolume.Errorf(onevolume.Unauthenticated, "credentials: %w", err)
		}
		if ok {
			session := strings.TrimRight(text, " \t\n\v\f\r\x00")
			if session == "" {
				return "", onevolume.Errorf(onevolume.Unauthenticated, "credentials: %s is empty", path).WithHint("%s", findSession)
			}
			return session, nil
		}
	}
	return "", onevolume.Errorf(onevolume.Unauthenticated, "ONE_AUTH file not present").WithHint("%s", findSession)
}

// Endpoint finds where the service listens: what is given, else the
// environment variable, the file in ~/.one, the shared one or the default.
func (e Environment) Endpoint(s Service, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if v := strings.TrimSpace(e.Getenv(s.Variable)); v != "" {
		return v, nil
	}
	for _, path := range e.files(s.File) {
		text, ok, err := read(path)
		if err != nil {
			return "", onevolume.Errorf(onevolume.Invalid, "endpoint: %w", err)
		}
		if ok && strings.TrimSpace(text) != "" {
			return strings.TrimSpace(text), nil
		}
	}
	return s.Default, nil
}

// TLS heeds ONE_CERT_DIR, a directory of certificates to trust besides the
// system's, and ONE_DISABLE_SSL_VERIFY. It is nil when neither is set.
func (e Environment) TLS() (*tls.Config, error) {
	dir := e.Getenv("ONE_CERT_DIR")
	insecure := e.Getenv("ONE_DISABLE_SSL_VERIFY") != ""
	if dir == "" && !insecure {
		return nil, nil
	}
	// The variable exists to switch verification off; it is the user's word.
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure}
	if dir == "" {
		return conf, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Invalid, "ONE_CERT_DIR: %w", err)
	}
	for _, entry := range entries {
		if pem, ok, err := read(filepath.Join(dir, entry.Name())); err == nil && ok {
			pool.AppendCertsFromPEM([]byte(pem))
		}
	}
	conf.RootCAs = pool
	return conf, nil
}

// files are where a file is looked for besides its own variable.
func (e Environment) files(name string) []string {
	var list []string
	if home := e.Getenv("HOME"); home != "" {
		list = append(list, filepath.Join(home, ".one", name))
	}
	return append(list, filepath.Join(e.Shared, name))
}

// maxFile bounds what is read: no such file is larger.
const maxFile = 64 << 10

// read gives a regular file's content; false when there is none.
func read(path string) (string, bool, error) {
	if path == "" {
		return "", false, nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", false, nil //nolint:nilerr // like OpenNebula's File.file?: what cannot be seen is not there
	}
	if info.Size() > maxFile {
		return "", false, fmt.Errorf("%s is too large", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", false, err
	}
	return string(b), true, nil
}
