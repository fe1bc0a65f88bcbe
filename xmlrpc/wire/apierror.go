package wire

import "fmt"

// APIError is the second of XML-RPC's two layers of errors: the method ran
// and refused.
type APIError struct {
	Method   string
	Message  string // with the method's name in brackets, as it came
	Code     int    // one of oned's, such as 0x0400
	ObjectID int    // the object that does not exist, or -1
}

func (e *APIError) Error() string { return e.Message }

// TransportError is a call without an answer. Neither the session nor the
// parameters are in it.
type TransportError struct {
	Endpoint string
	Method   string
	// Sent says that the call may have been carried out: look before calling
	// again. When it is false, nobody got the call.
	Sent bool
	Err  error
}

func (e *TransportError) Error() string {
	if e.Sent {
		return fmt.Sprintf("%s: no answer to %s: %v", e.Endpoint, e.Method, e.Err)
	}
	return fmt.Sprintf("%s: cannot call %s: %v", e.Endpoint, e.Method, e.Err)
}

func (e *TransportError) Unwrap() error { return e.Err }
