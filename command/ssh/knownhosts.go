package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"onevolume/command"
)

// knownHosts are the host keys that the user trusts.
type knownHosts struct {
	callback ssh.HostKeyCallback
	files    []string // those that are there
	all      []string // those that were looked for
}

// knownKey is a key that the files have for a machine, or that of an
// authority which may sign the machine's key.
type knownKey struct {
	ssh.PublicKey
	authority bool
}

// readKnownHosts reads the files that are there.
func readKnownHosts(files []string) (*knownHosts, error) {
	k := &knownHosts{all: files}
	for _, name := range files {
		if _, err := os.Stat(name); err == nil && name != os.DevNull {
			k.files = append(k.files, name)
		}
	}
	var err error
	if k.callback, err = knownhosts.New(k.files...); err == nil {
		return k, nil
	}
	// A line that cannot be read, as one with a kind of key that came
	// later, makes the package knownhosts refuse all, and ssh(1) does not.
	if k.callback, err = readableHosts(k.files); err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return k, nil
}

// readableHosts reads those lines of the files that can be read. They go by
// way of a file, because the package knownhosts reads nothing else.
func readableHosts(files []string) (ssh.HostKeyCallback, error) {
	var lines []byte
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(body) {
			if _, _, _, _, _, err := ssh.ParseKnownHosts(line); err == nil {
				lines = append(append(lines, bytes.TrimRight(line, "\r\n")...), '\n')
			}
		}
	}
	f, err := os.CreateTemp("", "onevolume-known-hosts-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return knownhosts.New(f.Name())
}

// want gives the keys that the files have for a machine.
func (k *knownHosts) want(addr string) []knownKey {
	var keyErr *knownhosts.KeyError
	if !errors.As(k.callback(addr, noAddr{}, noKey{}), &keyErr) {
		return nil
	}
	var keys []knownKey
	for _, w := range keyErr.Want {
		keys = append(keys, knownKey{w.Key, isAuthority(w)})
	}
	return keys
}

// isAuthority looks at the line the key came from, as the package knownhosts
// does not tell. Where the line is gone, the key is taken for a plain one.
func isAuthority(w knownhosts.KnownKey) bool {
	body, err := os.ReadFile(w.Filename)
	if err != nil {
		return false
	}
	lines := bytes.Split(body, []byte("\n"))
	return w.Line <= len(lines) && bytes.HasPrefix(bytes.TrimSpace(lines[w.Line-1]), []byte("@cert-authority"))
}

const certSuffix = "-cert-v01@openssh.com"

// algorithms gives the host key algorithms to ask for: those of the keys that
// are known come first. Without it the server would choose a kind of key that
// the files do not have, and be refused. The others follow, so that we get to
// see the key of a server that has none of the kinds we know. Certificates
// are asked for where the files name an authority for the machine.
func (k *knownHosts) algorithms(addr string) []string {
	keys := k.want(addr)
	rank := func(algo string) int {
		plain, isCert := strings.CutSuffix(algo, certSuffix)
		for _, key := range keys {
			switch kind := key.Type(); {
			case isCert && key.authority:
				return 0
			case isCert || key.authority:
			case plain == kind, kind == ssh.KeyAlgoRSA && strings.HasPrefix(plain, "rsa-sha2-"):
				return 1
			}
		}
		switch {
		case isCert:
			return -1
		case plain == ssh.KeyAlgoED25519: // as ssh(1) would show it
			return 2
		}
		return 3
	}
	all := slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(a string) bool { return rank(a) < 0 })
	slices.SortStableFunc(all, func(a, b string) int { return rank(a) - rank(b) })
	return all
}

// check says what is wrong with a machine's key; nil means nothing.
func (k *knownHosts) check(t *target, remote net.Addr, key ssh.PublicKey) *command.DialError {
	err := k.callback(t.knownAs(), remote, key)
	if err == nil {
		return nil
	}
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		return &command.DialError{
			Kind: command.KindHostKeyChanged,
			Err:  fmt.Errorf("the host shows the key %s, which is revoked in %s", shown, strings.Join(k.files, ", ")),
			Hint: "do not connect: somebody else may have this key; find out why it was revoked",
		}
	}
	if !errors.As(err, new(*knownhosts.KeyError)) {
		// A certificate, as all else is a KeyError.
		return &command.DialError{
			Kind: command.KindHostKeyUnknown,
			Err:  fmt.Errorf("the host shows a certificate that is not valid for it: %w", err),
			Hint: "name the authority that signed it by a line @cert-authority in " + strings.Join(k.all, " or "),
		}
	}
	name := knownhosts.Normalize(t.knownAs())
	var same, others []string
	for _, w := range k.want(t.knownAs()) {
		switch {
		case w.authority:
		case w.Type() == key.Type():
			same = append(same, ssh.FingerprintSHA256(w))
		default:
			others = append(others, w.Type())
		}
	}
	if len(same) > 0 {
		return &command.DialError{
			Kind: command.KindHostKeyChanged,
			Err: fmt.Errorf("THE HOST KEY HAS CHANGED: the host shows %s, and %s has %s",
				shown, strings.Join(k.files, ", "), strings.Join(same, ", ")),
			Hint: fmt.Sprintf("if the host was installed anew, remove the old key by: ssh-keygen -R %s; otherwise somebody may be listening in between", command.Quote(name)),
		}
	}
	what := "the host key is not known"
	if len(others) > 0 {
		what = fmt.Sprintf("this kind of host key is not known (only %s)", strings.Join(others, ", "))
	}
	return &command.DialError{
		Kind: command.KindHostKeyUnknown,
		Err:  fmt.Errorf("%s: the host shows %s", what, shown),
		Hint: t.trustHint(k.all),
	}
}

// trustHint says how to make a host key known.
func (t *target) trustHint(files []string) string {
	if len(files) == 0 || files[0] == os.DevNull {
		return "no file of known hosts is configured: set UserKnownHostsFile for this host"
	}
	scan := "ssh-keyscan"
	if t.port != "22" {
		scan += " -p " + t.port
	}
	return fmt.Sprintf("compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there), then connect once by hand as %s (ssh %s@%s), or: %s %s >> %s",
		t.login, t.user, t.alias, scan, command.Quote(t.host), command.Quote(files[0]))
}

// noKey is a key that no file has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// noAddr is an address that no file has.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "0.0.0.0:0" }
