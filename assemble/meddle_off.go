//go:build !crashpoint

package assemble

import (
	"time"

	"onevolume"
	"onevolume/daemon"
)

// meddler does nothing, unless a test on real hosts builds the programs by
// the tag crashpoint.
type meddler struct{}

func newMeddler() *meddler { return nil }

func (*meddler) ledger(l onevolume.Ledger) onevolume.Ledger { return l }

func (*meddler) store(s daemon.Store) daemon.Store { return s }

func (*meddler) now() time.Time { return time.Now() }
