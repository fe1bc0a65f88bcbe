package onevolume

import (
	"net/netip"
	"strconv"
	"strings"
)

// Portal is where a target listens: an IP address and a TCP port, printed as
// 10.0.0.1:3260 or [fd00::1]:3260. Names are not accepted: the kernel shows a
// session's portal by its address, and a name that resolves to another one
// later would make a session look like somebody else's.
type Portal struct{ netip.AddrPort }

// DefaultPort is the port of iSCSI targets (IANA).
const DefaultPort = 3260

// ParsePortal reads address, address:port or [address]:port, with or without
// the target portal group tag (",1") that open-iscsi prints behind it. Its
// error has the code Invalid.
func ParsePortal(s string) (Portal, error) {
	text, tag, tagged := strings.Cut(strings.TrimSpace(s), ",")
	if tagged {
		if _, err := strconv.ParseInt(tag, 10, 64); err != nil {
			return Portal{}, badPortal(s)
		}
	}
	if ap, err := netip.ParseAddrPort(text); err == nil && ap.Port() != 0 && usable(ap.Addr()) {
		return Portal{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil || !usable(addr) {
		return Portal{}, badPortal(s)
	}
	return Portal{netip.AddrPortFrom(addr.Unmap(), DefaultPort)}, nil
}

func usable(a netip.Addr) bool { return !a.IsUnspecified() && !a.IsMulticast() }

func badPortal(s string) error {
	return Errorf(Invalid, "portal %q: not an IP address with an optional port", s).
		WithHint("write 10.0.0.1:3260 or [fd00::1]:3260")
}

// ParsePortals reads a list of portals with commas or blanks between them,
// drops empty ones (arrays send them) and repeated ones, and asks for at
// least one. A number alone is a portal group tag of the portal before it.
func ParsePortals(s string) ([]Portal, error) {
	var list []Portal
	seen := map[Portal]bool{}
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if _, err := strconv.ParseUint(f, 10, 32); err == nil && len(list) > 0 {
			continue
		}
		p, err := ParsePortal(f)
		if err != nil {
			return nil, err
		}
		if !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil, Errorf(Invalid, "no portal given").WithHint("name at least one address of the target, such as 10.0.0.1:3260")
	}
	return list, nil
}

// JoinPortals prints portals as ParsePortals reads them.
func JoinPortals(list []Portal) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}
