package assemble

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"onevolume/config"
	"onevolume/store"
)

// openStore opens the database that the configuration names, as o says, with
// the key that seals its secrets. Only a daemon makes a key.
func openStore(ctx context.Context, conf config.Config, o store.Options) (*store.Store, error) {
	o.Clock = newMeddler().now
	var err error
	if o.Key, err = store.LoadKey(conf.KeyFile, o.Opening == store.Serve); err != nil {
		return nil, err
	}
	if o.Driver, o.Path, err = conf.DB(); err != nil {
		return nil, err
	}
	if o.Driver == store.MySQL {
		if o.Server, err = server(o.Path); err != nil {
			return nil, err
		}
	}
	return store.Open(ctx, o)
}

// server reads mysql://user:password@host:port/database?socket=PATH. The
// error shows nothing of the URL, which has a password in it.
func server(source string) (store.Server, error) {
	u, err := url.Parse(source)
	if err != nil {
		return store.Server{}, errors.New("database: not of the form mysql://user:password@host:port/database")
	}
	s := store.Server{Host: u.Hostname(), Socket: u.Query().Get("socket"), User: u.User.Username(),
		Database: strings.Trim(u.Path, "/")}
	s.Password, _ = u.User.Password()
	if p := u.Port(); p != "" {
		if s.Port, err = strconv.Atoi(p); err != nil {
			return s, fmt.Errorf("database: port %q is no number", p)
		}
	}
	return s, nil
}
