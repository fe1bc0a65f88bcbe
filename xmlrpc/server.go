// Package xmlrpc serves the methods one.volume.* in OpenNebula's style, and
// calls them: the XML documents of volumes and operations, the methods with
// their parameters, and the client. The protocol itself is package wire's.
package xmlrpc

import (
	"context"
	"errors"
	"strings"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Authenticator says who holds a session; its error has the code
// Unauthenticated, or Unreachable when oned does not answer.
type Authenticator interface {
	Authenticate(ctx context.Context, session string) (onevolume.Caller, error)
}

// Inventory is what the methods do without touching a host (package
// inventory, which documents the rules).
type Inventory interface {
	Allocate(ctx context.Context, who onevolume.Caller, template string) (onevolume.VolumeID, error)
	Info(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, secrets bool) (onevolume.Volume, error)
	Pool(ctx context.Context, who onevolume.Caller, f onevolume.Filter) ([]onevolume.Volume, error)
	PoolExtended(ctx context.Context, who onevolume.Caller, f onevolume.Filter) ([]onevolume.Volume, map[onevolume.VolumeID]onevolume.Operation, error)
	Update(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, template string, mode onevolume.UpdateMode) error
	Rename(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) error
	Chmod(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, bits [9]int) error
	Delete(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) error
	// Chown asks oned about the new owner with the caller's session.
	Chown(ctx context.Context, who onevolume.Caller, session string, id onevolume.VolumeID, uid, gid int) error
	Lock(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, level onevolume.LockLevel, test bool) error
	Unlock(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) error
	Enable(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, enable bool) error
	Resize(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, size string) error
	Operation(ctx context.Context, who onevolume.Caller, id int) (onevolume.Operation, []onevolume.Entry, error)
	Ledger(who onevolume.Caller) onevolume.Ledger

	Running(ctx context.Context, who onevolume.Caller) ([]onevolume.Operation, error)
	Recover(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, r onevolume.Recovery) error
	History(ctx context.Context, who onevolume.Caller, h onevolume.History) ([]onevolume.Deed, error)
	Audit(ctx context.Context, d onevolume.Deed) error
	Hold(ctx context.Context) (reason string, err error)
	Lift(ctx context.Context, who onevolume.Caller) error

	// Fences lists what hosts were cut off from and have not been cleaned of.
	Fences(ctx context.Context) ([]onevolume.FenceRecord, error)

	Quotas
	OnDemand
}

// Operator runs attach and detach in the daemon. Both answer as soon as the
// volume is reserved. The session is the caller's, for oned.
type Operator interface {
	Attach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, pick onevolume.Pick) (onevolume.VolumeID, error)
	Detach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, force bool) (onevolume.VolumeID, error)
	// Grow makes a volume larger that is in a VM, and waits for it. Code
	// Unknown: it is not done yet, and goes on.
	Grow(ctx context.Context, who onevolume.Caller, session string, volume onevolume.VolumeID, size onevolume.Size) error
	// Resume carries a parked operation on, Abort takes it back. Both answer
	// when that has begun. Codes: NotFound, Action.
	Resume(ctx context.Context, who onevolume.Caller, op int) error
	Abort(ctx context.Context, who onevolume.Caller, op int) error
}

// Health knows what the last comparison of the inventory with its hosts found.
type Health interface{ Checkup() onevolume.Checkup }

// Server puts the methods and what they stand on together.
type Server struct {
	Auth      Authenticator
	Inventory Inventory
	Operator  Operator
	Moves     Mover
	Hints     Hints  // nil when VMs are not followed
	Health    Health // nil when nothing compares
	Arrays    Arrays // nil when none is configured
	Spaces    Spaces // nil when no array makes volumes
	Access    Access // likewise
	Fencer    Fencer // nil when VMs are not followed

	// Unaudited hears of a refusal that could not be written into the audit.
	// It may be nil.
	Unaudited func(d onevolume.Deed, err error)
}

// Register adds the methods to a wire server and sets how it authenticates
// and describes errors.
func (s *Server) Register(w *wire.Server) {
	w.Authenticate = func(ctx context.Context, session string) (context.Context, error) {
		who, err := s.Auth.Authenticate(ctx, session)
		if err != nil {
			return nil, err
		}
		return context.WithValue(ctx, callerKey{}, who), nil
	}
	w.Describe = describe
	w.User = func(ctx context.Context) int { return caller(ctx).UID }
	w.Add(s.methods()...)
	w.Add(s.workflowMethods()...)
	w.Add(s.accessMethods()...)
	w.Add(s.moveMethods()...)
	w.Add(s.hintMethods()...)
	w.Add(s.careMethods()...)
	w.Add(s.quotaMethods()...)
	w.Add(s.arrayMethods()...)
	w.Add(s.fenceMethods()...)
	w.Add(s.snapshotMethods()...)
	w.Add(s.spaceMethods()...)
}

type callerKey struct{}

// caller is who Register's Authenticate found.
func caller(ctx context.Context) onevolume.Caller {
	who, ok := ctx.Value(callerKey{}).(onevolume.Caller)
	if !ok {
		panic("xmlrpc: a method without a session asked for its caller")
	}
	return who
}

// describe is the fault map: the text that crosses the wire, oned's code and
// the object that is missing. A hint goes along as a second sentence.
func describe(err error) (message string, code, objectID int) {
	var e *onevolume.Error
	if !errors.As(err, &e) {
		return "Internal error, see the log of onevolumed.", onevolume.Internal.OnedCode(), -1
	}
	if e.Code == onevolume.Unauthenticated {
		return "User couldn't be authenticated, aborting call.", e.Code.OnedCode(), -1
	}
	message = err.Error()
	if hint := onevolume.HintOf(err); hint != "" {
		message = strings.TrimSuffix(message, ".") + ". " + upper(hint) + "."
	}
	return message, e.Code.OnedCode(), e.ID
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
