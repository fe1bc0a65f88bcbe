package onevolume

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Size is a number of bytes. A volume's size is exact: what the device on
// the host must have, to the byte.
type Size int64

// Units of sizes. OpenNebula's M, G and T are powers of two.
const (
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

// sector is the granule of every device's size.
const sector = 512

// ParseSize reads a size as the command line and templates have it: a bare
// number is MB (2^20 bytes) as everywhere in OpenNebula; the suffixes B, K,
// M, G, T and P (also KB, KiB …) say otherwise, and fractions are allowed
// where they make whole sectors: 64, 64G, 1.5T, 67108864B. Its error has the
// code Invalid.
func ParseSize(s string) (Size, error) {
	text := strings.ToUpper(strings.TrimSpace(s))
	digits := strings.TrimRight(text, "BIKMGTP")
	unit, ok := map[string]Size{"": MiB, "B": 1, "K": 1 << 10, "M": MiB, "G": GiB, "T": TiB, "P": 1 << 50}[unitOf(text[len(digits):])]
	bad := func(why string) (Size, error) {
		return 0, Errorf(Invalid, "size %q: %s", s, why).WithHint("write 64 (MB), 64G, 1.5T or 67108864B")
	}
	if !ok || digits == "" || strings.Trim(digits, "0123456789.") != "" || len(digits) > 32 {
		return bad("not a number with a unit")
	}
	n, ok := new(big.Rat).SetString(digits)
	if !ok {
		return bad("not a number with a unit")
	}
	n.Mul(n, new(big.Rat).SetInt64(int64(unit)))
	switch {
	case n.Sign() <= 0:
		return bad("must be more than nothing")
	case !n.IsInt() || new(big.Int).Mod(n.Num(), big.NewInt(sector)).Sign() != 0:
		return bad(fmt.Sprintf("is no multiple of %d bytes", sector))
	case n.Cmp(new(big.Rat).SetInt64(math.MaxInt64)) > 0:
		return bad("is too large")
	}
	return Size(n.Num().Int64()), nil
}

// unitOf strips what may follow a unit's letter: GB and GiB are G.
func unitOf(s string) string {
	if len(s) > 1 {
		s = strings.TrimSuffix(s, "B")
		s = strings.TrimSuffix(s, "I")
	}
	return s
}

// MB is the size in OpenNebula's unit, rounded up.
func (s Size) MB() int64 {
	n := int64(s / MiB)
	if s%MiB > 0 {
		n++
	}
	return n
}

// String prints as OpenNebula's tables do, with one decimal that is dropped
// when it is zero: 64M, 451.6G.
func (s Size) String() string {
	v, units := float64(s)/float64(MiB), "MGTP"
	if s < MiB {
		v, units = float64(s)/1024, "K"
	}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + units[i:i+1]
}

// Exact prints the size with its bytes, for messages in which two sizes that
// round to the same figure must be told apart.
func (s Size) Exact() string { return fmt.Sprintf("%s (%d bytes)", s, int64(s)) }
