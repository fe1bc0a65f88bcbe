package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"onevolume"
)

// Server says where MariaDB is, in parts.
type Server struct {
	Host     string // default 127.0.0.1
	Port     int    // default 3306
	Socket   string // path of a unix socket; instead of Host and Port
	User     string
	Password string
	Database string // must exist
}

// String leaves the password out.
func (v Server) String() string {
	if v.Socket != "" {
		return fmt.Sprintf("%s@unix(%s)/%s", v.User, v.Socket, v.Database)
	}
	return fmt.Sprintf("%s@tcp(%s)/%s", v.User, v.address(), v.Database)
}

// GoString is String, so that %#v tells no secret either.
func (v Server) GoString() string { return v.String() }

func (v Server) address() string {
	host, port := v.Host, v.Port
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 3306
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

const (
	// connections is less than half of what oned takes (CONNECTIONS=25): the
	// two often share a server.
	connections = 10
	// connectionAge keeps the pool from holding a connection that a proxy or
	// the server's wait_timeout is about to cut.
	connectionAge = 3 * time.Minute
	dialTimeout   = 5 * time.Second
	// readTimeout must outlast lockTimeout, else a wait for a lock looks like
	// a lost server.
	readTimeout = 30 * time.Second
	lockTimeout = 10 * time.Second

	// unknownVariable is the server's ER_UNKNOWN_SYSTEM_VARIABLE.
	unknownVariable = 1193
)

// openMySQL makes the pool; the first connection is made by the first query.
func openMySQL(o Options) (*sql.DB, dialect, error) {
	kind := dialect{tableOptions: " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE=InnoDB"}
	cfg, err := serverConfig(o)
	if err != nil {
		return nil, kind, err
	}
	kind.name = cfg.Addr + "/" + cfg.DBName
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, kind, onevolume.Errorf(onevolume.Invalid, "the database's address: %w", err)
	}
	db := sql.OpenDB(connector{inner})
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxLifetime(connectionAge)
	return db, kind, nil
}

// serverConfig is the driver's configuration, with what the store relies on
// set whatever the DSN says.
func serverConfig(o Options) (*mysql.Config, error) {
	cfg := mysql.NewConfig()
	if o.DSN != "" {
		var err error
		if cfg, err = mysql.ParseDSN(o.DSN); err != nil {
			// The driver's error can quote the DSN, password included.
			return nil, onevolume.Errorf(onevolume.Invalid, "the database's DSN cannot be read").
				WithHint("write user:password@tcp(host:3306)/database")
		}
	} else {
		cfg.User, cfg.Passwd, cfg.DBName = o.Server.User, o.Server.Password, o.Server.Database
		cfg.Net, cfg.Addr = "tcp", o.Server.address()
		if o.Server.Socket != "" {
			cfg.Net, cfg.Addr = "unix", o.Server.Socket
		}
	}
	if cfg.DBName == "" {
		return nil, onevolume.Errorf(onevolume.Invalid, "the database's name is missing")
	}
	// Compare-and-set asks how many rows matched; the server's own count
	// leaves out those that already held the values.
	cfg.ClientFoundRows = true
	// One round trip per statement instead of three; safe with utf8mb4.
	cfg.InterpolateParams = true
	cfg.MultiStatements = false
	cfg.Logger = &mysql.NopLogger{} // its news reach callers as errors
	if cfg.Timeout == 0 {
		cfg.Timeout = dialTimeout
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = readTimeout
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = readTimeout
	}
	return cfg, cfg.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin"))
}

// connector gives every new connection the session's settings.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// settle sets what the store's transactions rely on. READ COMMITTED lets a
// transaction that lost a race see what the winner wrote, where REPEATABLE
// READ would show it the old row for ever; and it takes no gap locks.
func settle(ctx context.Context, conn driver.Conn) error {
	x, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the driver's connection takes no statements")
	}
	for _, q := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET SESSION sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = %d", int(lockTimeout.Seconds())),
		// Behind a load balancer the next read may reach another Galera node:
		// it shall first catch up with what we wrote. Without Galera this
		// waits for nothing; MySQL does not know it.
		"SET SESSION wsrep_sync_wait = 1",
	} {
		_, err := x.ExecContext(ctx, q, nil)
		if err != nil && serverNumber(err) != unknownVariable {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}
