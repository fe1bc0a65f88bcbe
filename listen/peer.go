package listen

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Networks are those whose clients are told apart by nobody's address: hosts
// behind which many users sit, such as Sunstone's, or a proxy.
type Networks []netip.Prefix

// ParseNetworks reads networks such as 10.0.0.0/24, and single addresses.
func ParseNetworks(list []string) (Networks, error) {
	var n Networks
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fmt.Errorf("%q is neither a network such as 10.0.0.0/24 nor an address", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		n = append(n, p.Masked())
	}
	return n, nil
}

func (n Networks) hold(a netip.Addr) bool {
	for _, p := range n {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// origin is what counts as one address: for IPv6 the /64, which a single
// client has whole. known is false for those that have none, as on a unix
// socket.
func origin(peer string) (a netip.Addr, known bool) {
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}

func counted(a netip.Addr) netip.Addr {
	if a.Is6() {
		p, _ := a.Prefix(64) // no error: 64 is fewer than it has
		return p.Addr()
	}
	return a
}

// userAddr names who is at the other end of a unix socket.
type userAddr string

func (u userAddr) Network() string { return "unix" }
func (u userAddr) String() string  { return string(u) }

// peerOf is a connection's other end; for a unix socket the process's user.
func peerOf(c net.Conn) net.Addr {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return c.RemoteAddr()
	}
	who := userAddr("unix socket")
	raw, err := u.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			who = userAddr(fmt.Sprintf("unix socket (uid %d)", cred.Uid))
		}
	})
	return who
}
