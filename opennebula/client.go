// Package opennebula is a small client of oned: who somebody is, where a VM
// runs and whether somebody may manage it. Names are those of OpenNebula's
// own Go binding, goca, where it has the same thing, so that it could stand
// in; goca cannot be had as a module, and takes no context.
package opennebula

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// inFlight is how many calls a client has under way at once. oned serves 15
// clients and makes everybody else wait.
const inFlight = 4

// OneConfig is how oned is reached and as whom.
type OneConfig struct {
	Endpoint string      // http://host:port/RPC2; NewConfig finds it
	Token    string      // user:password or user:token; may be empty for As
	InFlight int         // calls at once; 4 when zero
	TLS      *tls.Config // for https; nil for the system's certificates
	// Umask is of users whose template has no UMASK, as DEFAULT_UMASK of
	// oned.conf, which only administrators can ask for; DefaultUmask when empty.
	Umask string
	// NoOthers is ENABLE_OTHER_PERMISSIONS = NO there: what others might do
	// is in the umask of all but administrators.
	NoOthers bool
}

// String keeps the token out of logs.
func (c OneConfig) String() string { return "oned at " + c.Endpoint }

// GoString keeps %#v from showing the token.
func (c OneConfig) GoString() string { return c.String() }

// Client asks oned with one session. It may be used by many at once. All its
// errors are *onevolume.Error.
type Client struct {
	rpc    *wire.Client
	token  string
	umask  int
	closed int // what users who are no administrators give others in no case
}

// NewClient checks the configuration; it makes no call.
func NewClient(c OneConfig) (*Client, error) {
	if c.InFlight == 0 {
		c.InFlight = inFlight
	}
	umask, err := ParseUmask(cmp.Or(c.Umask, DefaultUmask))
	if err != nil {
		return nil, err
	}
	rpc, err := wire.NewClient(wire.Config{Endpoint: c.Endpoint, InFlight: c.InFlight, TLS: c.TLS})
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Invalid, "oned: %w", err).WithHint("%s", findEndpoint)
	}
	client := &Client{rpc: rpc, token: c.Token, umask: umask}
	if c.NoOthers {
		client.closed = 0o007
	}
	return client, nil
}

// As is a client with another session. It shares the limit on calls at once.
func (c *Client) As(session string) *Client {
	as := *c
	as.token = session
	return &as
}

// Version is oned's, such as 7.4.0. oned tells it only to those it knows.
func (c *Client) Version(ctx context.Context) (string, error) {
	return c.text(ctx, "one.system.version")
}

const (
	findEndpoint = "ONE_XMLRPC, or the file ~/.one/one_endpoint, must name a running oned, such as http://localhost:2633/RPC2"
	findSession  = "check the file that ONE_AUTH names, or ~/.one/one_auth; it holds user:password or user:token"
)

// call asks a question: a call that changes nothing, and may be repeated
// whatever became of it.
func (c *Client) call(ctx context.Context, method string, params ...any) (any, error) {
	v, err := c.rpc.Call(ctx, method, append([]any{c.token}, params...)...)
	if err != nil {
		return nil, translate(err)
	}
	return v, nil
}

// change makes a call that changes something: without an answer its outcome
// is unknown.
func (c *Client) change(ctx context.Context, method string, params ...any) error {
	_, err := c.rpc.Call(ctx, method, append([]any{c.token}, params...)...)
	if err == nil {
		return nil
	}
	if lost, ok := errors.AsType[*wire.TransportError](err); ok && lost.Sent {
		return onevolume.Errorf(onevolume.Unknown, "oned: %w", err)
	}
	return translate(err)
}

// text asks a question that is answered with a string.
func (c *Client) text(ctx context.Context, method string, params ...any) (string, error) {
	v, err := c.call(ctx, method, params...)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", onevolume.Errorf(onevolume.Internal, "oned answered %s with %T, not with a text", method, v)
	}
	return s, nil
}

// translate puts an error of the protocol into the domain's words.
func translate(err error) *onevolume.Error {
	if api, ok := errors.AsType[*wire.APIError](err); ok {
		// Our own methods put their own name in front.
		message := strings.TrimPrefix(api.Message, "["+api.Method+"] ")
		e := onevolume.Errorf(onevolume.CodeOfOned(api.Code), "%s", message)
		e.Err = err
		if e.Code == onevolume.NotFound {
			e.ID = api.ObjectID
		}
		if e.Code == onevolume.Unauthenticated {
			e.Hint = findSession
		}
		return e
	}
	if _, ok := errors.AsType[*wire.Fault](err); ok {
		return onevolume.Errorf(onevolume.Internal, "oned: %w", err).WithHint("is the endpoint oned's, of a version from 5.4 on?")
	}
	return onevolume.Errorf(onevolume.Unreachable, "oned: %w", err).WithHint("%s", findEndpoint)
}

// unreadable is the error of an answer that is not what it should be.
func unreadable(method string, err error) error {
	return onevolume.Errorf(onevolume.Internal, "oned's answer to %s cannot be read: %w", method, err)
}
