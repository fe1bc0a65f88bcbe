package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"

	"onevolume"
)

// Errors that Open wraps in what it returns.
var (
	// ErrNewer means that a later program wrote the database.
	ErrNewer = errors.New("the database is newer than this program")
	// ErrDamaged means that the database's file cannot be trusted.
	ErrDamaged = errors.New("the database file is damaged")
	// ErrKey means that the database was sealed with another key.
	ErrKey = errors.New("the database was sealed with another key")
)

// errLost is how a compare-and-set says that somebody else was first. It
// never leaves the package: the transaction is run again.
var errLost = errors.New("somebody else wrote first")

// errStop ends a transaction without a result; it never leaves the package.
var errStop = errors.New("stopped by its caller")

// trouble sorts the errors of both drivers by what can be done about them.
type trouble int

const (
	other        trouble = iota
	conflict             // run the whole transaction again
	duplicate            // a unique column holds the value already
	disconnected         // the connection is gone, and the transaction with it
	notReady             // the server is there but takes no writes, or no queries at all
	missingTable
	existing // a table, column or index is there already
	broken   // the file is no database, or a damaged one
	full
)

// sqliteTrouble: the primary result codes of https://sqlite.org/rescode.html.
func sqliteTrouble(code int) trouble {
	switch code {
	case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE
		return duplicate
	}
	switch code & 0xff {
	case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
		return conflict
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		return broken
	case 13: // SQLITE_FULL
		return full
	}
	return other
}

// serverTrouble: the numbers of https://mariadb.com/kb/en/mariadb-error-codes/.
func serverTrouble(number uint16) trouble {
	switch number {
	case 1213, 1205, 1020: // deadlock (Galera's at COMMIT too), lock wait time-out, row changed since last read
		return conflict
	case 1062: // ER_DUP_ENTRY
		return duplicate
	case 1047, // Galera: WSREP has not yet prepared node for application use
		1040, 1203, // too many connections
		1053, 1927, // server shutdown in progress, connection was killed
		1290, 1792, 1836: // read-only server or transaction
		return notReady
	case 1146: // ER_NO_SUCH_TABLE
		return missingTable
	case 1050, 1060, 1061: // table, column, key name exists
		return existing
	case 1021, 1114: // disk full, table full
		return full
	}
	return other
}

// troubleOf finds the kind of trouble in err's tree.
func troubleOf(err error) trouble {
	var lite *sqlite.Error
	var mine *onevolume.Error
	var network net.Error
	switch {
	case err == nil, errors.As(err, &mine):
		return other
	case errors.Is(err, errLost):
		return conflict
	case errors.As(err, &lite):
		return sqliteTrouble(lite.Code())
	case serverNumber(err) != 0:
		return serverTrouble(serverNumber(err))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return other
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, driver.ErrBadConn), errors.As(err, &network):
		return disconnected
	}
	return other
}

// serverNumber is the error number of a MariaDB or MySQL server, or 0.
func serverNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// outward gives an error the code and the hint that callers outside can act
// on. doing says what was attempted on which object.
func (s *Store) outward(doing string, err error) error {
	var mine *onevolume.Error
	if err == nil || errors.As(err, &mine) {
		return err
	}
	var lite *sqlite.Error
	switch kind := troubleOf(err); {
	case kind == conflict && errors.As(err, &lite):
		return onevolume.Errorf(onevolume.Busy, "%s: another program keeps the database %s locked: %w", doing, s.kind.name, err).
			WithHint("see which by fuser %s, and end it if it hangs; nothing was changed", s.kind.name)
	case kind == conflict:
		return onevolume.Errorf(onevolume.Busy, "%s: others kept writing the same: %w", doing, err).
			WithHint("try again in a moment")
	case kind == disconnected:
		return onevolume.Errorf(onevolume.Unreachable, "%s: the database %s does not answer: %w", doing, s.kind.name, err).
			WithHint("check that the database server runs and can be reached; nothing was changed")
	case kind == notReady:
		return s.refused(doing, err)
	case kind == broken:
		return damaged(s.kind.name, err)
	case kind == full:
		return onevolume.Errorf(onevolume.Internal, "%s: the disk of %s is full: %w", doing, s.kind.name, err).
			WithHint("make room there; nothing was changed")
	}
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) {
		return onevolume.Errorf(onevolume.Unreachable, "%s: the connection to the database was closed: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// refused explains a server that is there but does not serve.
func (s *Store) refused(doing string, err error) error {
	e := onevolume.Errorf(onevolume.Unreachable, "%s: the database %s takes no statements now: %w", doing, s.kind.name, err)
	if serverNumber(err) == 1047 {
		return e.WithHint("this Galera node has lost its cluster: start the other nodes, or, if they are gone for good, " +
			"SET GLOBAL wsrep_provider_options='pc.bootstrap=YES' on this one; nothing was changed")
	}
	return e.WithHint("the server is full, stopping or read-only; nothing was changed")
}

// damaged is ErrDamaged with the file's name.
func damaged(file string, err error) error {
	return onevolume.Errorf(onevolume.Internal, "database file %s: %w", file, fmt.Errorf("%w: %w", ErrDamaged, err)).
		WithHint("stop the daemon, move %s away (with its -wal and -shm), and restore a backup by onevolumed restore", file)
}
