package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring is what we have to offer to one machine, in the order of ssh(1):
// keys of the agent that are configured, other keys of the agent, files.
type keyring struct {
	t       *target
	conn    net.Conn // to the agent; may be nil
	offered []string // for error texts
	skipped []string // files that were not offered, and why
	locked  []string // files that need a passphrase
}

// keys prepares the keyring; nothing is read yet.
func (t *target) keys() *keyring { return &keyring{t: t} }

func (k *keyring) close() {
	if k.conn != nil {
		k.conn.Close()
	}
}

// identity is a key file.
type identity struct {
	name   string
	public []byte     // wire form; nil when it could not be found out
	signer ssh.Signer // nil when the file cannot be used by itself
	why    string     // why there is no signer; empty for a missing default
}

// all gives the signers. It never fails: what cannot be used is remembered
// for the error text.
func (k *keyring) all() ([]ssh.Signer, error) {
	k.offered, k.skipped, k.locked = nil, nil, nil
	files := k.readFiles()
	held := k.fromAgent()
	var first, rest []ssh.Signer
	var inAgent [][]byte
	for _, s := range held {
		public := s.PublicKey().Marshal()
		inAgent = append(inAgent, public)
		configured := slices.ContainsFunc(files, func(f identity) bool { return bytes.Equal(f.public, public) })
		switch {
		case configured:
			first = append(first, s)
		case !k.t.identitiesOnly:
			rest = append(rest, s)
		}
	}
	signers := slices.Concat(first, rest)
	for _, s := range signers {
		k.offered = append(k.offered, "agent "+ssh.FingerprintSHA256(s.PublicKey()))
	}
	for _, f := range files {
		switch {
		case f.public != nil && slices.ContainsFunc(inAgent, func(p []byte) bool { return bytes.Equal(p, f.public) }):
		case f.signer != nil:
			signers = append(signers, f.signer)
			k.offered = append(k.offered, f.name+" "+ssh.FingerprintSHA256(f.signer.PublicKey()))
		case f.why != "":
			k.skipped = append(k.skipped, f.name+" ("+f.why+")")
		}
	}
	return signers, nil
}

// fromAgent gives the agent's keys.
func (k *keyring) fromAgent() []ssh.Signer {
	if k.t.agent == "" {
		return nil
	}
	conn, err := new(net.Dialer).Dial("unix", k.t.agent)
	if err == nil {
		k.conn = conn
		// It may wait for somebody to confirm the use of a key.
		_ = conn.SetDeadline(time.Now().Add(k.t.connectTimeout))
		var signers []ssh.Signer
		if signers, err = agent.NewClient(conn).Signers(); err == nil {
			return signers
		}
	}
	k.skipped = append(k.skipped, fmt.Sprintf("agent (%v)", err))
	return nil
}

// readFiles reads the key files.
func (k *keyring) readFiles() []identity {
	var ids []identity
	for _, name := range k.t.identities {
		id := identity{name: name}
		private, err := os.ReadFile(name)
		var locked *ssh.PassphraseMissingError
		switch {
		case errors.Is(err, os.ErrNotExist):
			if k.t.explicit {
				id.why = "no such file"
			}
		case err != nil:
			id.why = strings.TrimPrefix(err.Error(), "open "+name+": ")
		default:
			id.signer, err = ssh.ParsePrivateKey(private)
			switch {
			case errors.As(err, &locked):
				id.why = "it has a passphrase, and the agent does not have it"
				k.locked = append(k.locked, name)
				if locked.PublicKey != nil {
					id.public = locked.PublicKey.Marshal()
				}
			case err != nil:
				id.why = err.Error()
			}
		}
		if id.signer != nil {
			id.public = id.signer.PublicKey().Marshal()
		} else if id.public == nil {
			id.public = publicOf(name)
		}
		ids = append(ids, id)
	}
	return ids
}

// publicOf gives the public key beside a private one whose own cannot be
// read, as with keys that only the agent has.
func publicOf(name string) []byte {
	for _, file := range []string{name + ".pub", name} {
		body, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if key, _, _, _, err := ssh.ParseAuthorizedKey(body); err == nil {
			return key.Marshal()
		}
	}
	return nil
}
