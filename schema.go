package onevolume

import _ "embed"

// Schema is the SQL that makes an empty database an inventory, for SQLite
// and MariaDB alike.
//
//go:embed schema.sql
var Schema string

// SchemaVersion is the version of the database that Schema makes and that
// this program reads and writes.
const SchemaVersion = 6
