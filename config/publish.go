package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Publish says who is told of what changed.
type Publish struct {
	// ZeroMQ is where a PUB socket listens, as tcp://host:port; empty for
	// none. It asks nobody who he is.
	ZeroMQ string `yaml:"zeromq"`
	// Streams is how many streams of events there may be at once, at /events
	// of the server; 0 for none.
	Streams int `yaml:"streams"`
	// Webhooks are called.
	Webhooks []Webhook `yaml:"webhooks"`
}

// Webhook is a receiver of events.
type Webhook struct {
	URL string `yaml:"url"`
	// SecretFile holds what signs the events, without white space around it;
	// empty for no signature.
	SecretFile string `yaml:"secret_file"`
}

// ListenAddress is where the PUB socket listens, as net.Listen wants it.
func (p Publish) ListenAddress() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ZeroMQ, "tcp://"), "*")
}

func (p Publish) check() error {
	if _, _, err := net.SplitHostPort(p.ListenAddress()); p.ZeroMQ != "" && (err != nil || !strings.HasPrefix(p.ZeroMQ, "tcp://")) {
		return fmt.Errorf("publish.zeromq: %q is not of the form tcp://host:port", p.ZeroMQ)
	}
	if p.Streams < 0 || p.Streams > 10_000 {
		return fmt.Errorf("publish.streams: %d is not from 0 to 10000", p.Streams)
	}
	for i, w := range p.Webhooks {
		// The address may hold a secret: it is not repeated.
		if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("publish.webhooks: the url of number %d is not of the form https://host/path", i+1)
		}
	}
	return nil
}

// Secret reads what signs the events; nothing without a file.
func (w Webhook) Secret() ([]byte, error) {
	if w.SecretFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(w.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("publish.webhooks: secret_file: %w", err)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return nil, fmt.Errorf("publish.webhooks: secret_file: %s is empty", w.SecretFile)
	}
	return []byte(secret), nil
}
