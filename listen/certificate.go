package listen

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// Certificate is a certificate with its key in files that somebody renews. It
// looks at them when a connection begins, at most once a second: new
// connections get what is there now. A file that is broken leaves the old
// certificate in force.
type Certificate struct {
	certFile, keyFile string
	tell              func(text string)
	every             time.Duration

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]stamp
	next    time.Time
}

// stamp tells one content of a file from another.
type stamp struct {
	changed time.Time
	size    int64
	inode   uint64
}

// LoadCertificate reads a certificate with its chain, and its key. tell hears
// of what becomes of them later.
func LoadCertificate(certFile, keyFile string, tell func(text string)) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, tell: tell, every: time.Second}
	seen, err := c.stamps()
	if err != nil {
		return nil, err
	}
	if c.current, err = c.load(); err != nil {
		return nil, err
	}
	c.seen = seen
	return c, nil
}

// Get is for tls.Config's GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.next) {
		return c.current, nil
	}
	c.next = now.Add(c.every)
	// The stamps are from before the reading: what changes meanwhile is read
	// again next time.
	seen, err := c.stamps()
	if err == nil && seen == c.seen {
		return c.current, nil
	}
	var renewed *tls.Certificate
	if err == nil {
		renewed, err = c.load()
	}
	switch {
	case err == nil:
		c.current = renewed
		c.tell(fmt.Sprintf("the certificate %s was read again; it is valid until %s", c.certFile, renewed.Leaf.NotAfter.Format(time.RFC3339)))
	case seen != c.seen:
		c.tell(fmt.Sprintf("the certificate stays as it was: %v", err))
	}
	c.seen = seen
	return c.current, nil
}

func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return nil, fmt.Errorf("certificate %s is valid from %s to %s only", c.certFile,
			pair.Leaf.NotBefore.Format(time.RFC3339), pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, nil
}

func (c *Certificate) stamps() ([2]stamp, error) {
	var s [2]stamp
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return [2]stamp{}, err
		}
		s[i] = stamp{changed: info.ModTime(), size: info.Size()}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			s[i].inode = st.Ino
		}
	}
	return s, nil
}
