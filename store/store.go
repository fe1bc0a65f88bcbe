// Package store keeps the inventory in a database: volumes, the operations
// that move them, and the operations' journals. SQLite serves one machine,
// MariaDB or MySQL several daemons at once; the same statements run on all.
//
// Nothing here holds a lock longer than one transaction. A write names the
// version or the generation it read and takes effect only if that is still
// the one in the database; a transaction that loses is run again from its
// first read. A public method begins, calls functions that take the
// transaction, and commits. What may be asked is judged in package inventory;
// this package guards what must always hold.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"onevolume"
)

// Drivers that Options can name.
const (
	SQLite = "sqlite"
	MySQL  = "mysql" // MariaDB and MySQL
)

// Options say which database to open, and how.
type Options struct {
	Driver string // SQLite or MySQL

	// Path is SQLite's file. It is made with mode 0600 when it is missing;
	// its directory must exist.
	Path string

	// DSN is where MariaDB is, as go-sql-driver/mysql writes it:
	// user:password@tcp(host:3306)/database. When empty, Server says it.
	DSN    string
	Server Server

	// Key seals secrets in the database: KeySize bytes, from LoadKey. All
	// daemons on one database need the same.
	Key []byte

	// Opening says what may be done to a database to open it.
	Opening Opening

	// Tell, when set, is told what people should read in the log: that the
	// database was brought up, and where the old one is kept.
	Tell func(text string)

	// Clock is time.Now when nil. Daemons on one database should agree on
	// the time to well under a lease.
	Clock func() time.Time
}

// Opening says how a database is opened.
type Opening int

// The ways to open a database. A daemon serves it; a program that works
// beside a daemon, maybe of another version, must not bring it up under it.
const (
	Serve Opening = iota // make it when it is empty, bring it up when it is older
	Fill                 // make it when it is empty, refuse an older one
	Look                 // refuse an empty one and an older one
)

// String leaves out what only the database should see.
func (o Options) String() string {
	if o.Driver == SQLite {
		return "sqlite " + o.Path
	}
	if cfg, err := serverConfig(o); err == nil {
		return fmt.Sprintf("%s %s(%s)/%s", o.Driver, cfg.Net, cfg.Addr, cfg.DBName)
	}
	return o.Driver
}

// GoString is String, so that %#v tells no secret either.
func (o Options) GoString() string { return o.String() }

// Store is an open inventory. It may be used by many goroutines.
type Store struct {
	db    *sql.DB
	read  *reader // of db
	cache *cache  // nil where there is none
	kind  dialect
	seal  sealer
	clock func() time.Time
	tell  func(string)
	tries int // of a transaction that loses; attempts when it is 0
	// turn is held by the transaction that writes, where the database lets
	// only one do so at a time: waiting in line here is fair and wakes at
	// once, where SQLite's own waiting sleeps and tries again. Else nil.
	turn   chan struct{}
	writer *writer // for who has the turn
	copier *checkpointer
}

// dialect is what one kind of database wants differently.
type dialect struct {
	name string // for error texts: the file, or the server's address
	// tableOptions follow the closing parenthesis of CREATE TABLE.
	tableOptions string
	// wholeDDL says that CREATE TABLE is undone with its transaction.
	wholeDDL  bool
	oneWriter bool
}

// Open opens the inventory, makes it when the database is empty, and brings
// an older one to SchemaVersion. It refuses, and changes nothing, when the
// database is newer than this program (ErrNewer), damaged (ErrDamaged) or
// sealed with another key (ErrKey).
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{clock: o.Clock, tell: o.Tell}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.tell == nil {
		s.tell = func(string) {}
	}
	var err error
	if s.seal, err = newSealer(o.Key); err != nil {
		return nil, err
	}
	switch o.Driver {
	case SQLite:
		s.db, s.kind, err = openSQLite(ctx, o)
	case MySQL:
		s.db, s.kind, err = openMySQL(o)
	default:
		err = onevolume.Errorf(onevolume.Invalid, "no such database driver: %q", o.Driver).
			WithHint("use %q or %q", SQLite, MySQL)
	}
	if err != nil {
		return nil, err
	}
	s.read = &reader{DB: s.db, quick: s.kind.oneWriter}
	if s.kind.oneWriter {
		s.turn, s.writer = make(chan struct{}, 1), &writer{db: s.db}
	}
	if err := s.prepare(ctx, o.Opening); err != nil {
		s.db.Close()
		return nil, err
	}
	if o.Driver == SQLite {
		if s.cache, err = newCache(context.WithoutCancel(ctx), s.db, s.kind.name); err != nil {
			return nil, errors.Join(s.outward("opening "+s.kind.name, err), s.db.Close())
		}
		if s.cache.index != nil {
			if s.copier, err = newCheckpointer(ctx, s); err != nil {
				return nil, errors.Join(s.outward("opening "+s.kind.name, err), s.Close())
			}
		}
	}
	return s, nil
}

// prepare checks the database that was just opened, or fills it.
func (s *Store) prepare(ctx context.Context, how Opening) error {
	if how != Serve {
		version, err := s.schemaVersion(ctx)
		switch {
		case err != nil:
			return err
		case version == 0 && how == Look:
			return noInventory(s.kind.name)
		case version > 0 && version < onevolume.SchemaVersion:
			return onevolume.Errorf(onevolume.Action, "The database %s has version %d, this program works on version %d.",
				s.kind.name, version, onevolume.SchemaVersion).WithHint("start the daemon of this version first, which brings the database up")
		}
	}
	if err := s.bringUp(ctx, builtin()); err != nil {
		return err
	}
	return s.checkKey(ctx)
}

func noInventory(name string) error {
	return onevolume.Errorf(onevolume.NotFound, "There is no inventory in the database %s.", name).
		WithHint("name the daemon's configuration file by --config")
}

// Close ends all connections, when what is being written is. The store cannot
// be used afterwards.
func (s *Store) Close() error {
	s.copier.close()
	if s.turn != nil {
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
		s.writer.drop()
	}
	return errors.Join(s.cache.close(), s.db.Close())
}

// Ping says whether the database answers and takes part: a Galera node that
// lost its cluster is connected but answers nothing, and fails here with the
// code Unreachable.
func (s *Store) Ping(ctx context.Context) error {
	var n int64
	err := s.db.QueryRowContext(ctx, "SELECT value FROM one_volume_control WHERE name = 'schema'").Scan(&n)
	return s.outward("asking the inventory's database for a sign of life", err)
}

// now is the clock to the millisecond, which is what the database keeps.
func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }
