package assemble

import (
	"fmt"
	"net"
	"os"
	"time"

	"onevolume/xmlrpc/wire"
)

// requestLog is a file with a line for each call that begins and one for each
// that ends, as oned's request manager writes them (src/rm in OpenNebula 7.4),
// so that what reads the one reads the other. Texts are **** in it.
type requestLog struct{ file *os.File }

// Lengths that oned.conf gives by default (LOG_CALL_FORMAT, %l20).
const logLength = 20

// openRequestLog opens the file at its end; nil for no path.
func openRequestLog(path string) (*requestLog, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log.requests: %w", err)
	}
	return &requestLog{file: f}, nil
}

// Close closes the file. A nil log has none.
func (l *requestLog) Close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// line writes one line, at once whole: a file that is opened to append takes
// each write at its end.
func (l *requestLog) line(level, format string, args ...any) {
	head := time.Now().Format("Mon Jan _2 15:04:05 2006") + " [Z0][ReM][" + level + "]: "
	_, _ = l.file.WriteString(head + fmt.Sprintf(format, args...) + "\n") // a full disk must not stop the calls
}

func (l *requestLog) invoked(r wire.Record) {
	host, _, err := net.SplitHostPort(r.Peer)
	if err != nil {
		host = r.Peer
	}
	l.line("D", "Req:%04d UID:%d IP:%s %s invoked %s", r.ID, r.User, host, r.Method, r.Params(logLength))
}

func (l *requestLog) done(r wire.Record) {
	level := "D"
	if r.Result != 0 {
		level = "E"
	}
	l.line(level, "Req:%04d UID:%d %s result %s", r.ID, r.User, r.Method, r.Answer(logLength))
}
