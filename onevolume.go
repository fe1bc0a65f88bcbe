// Package onevolume holds the words of a block store for OpenNebula: the
// volume and what identifies it, the states it goes through, the operations
// that move it from one to the next, who may do what, and the errors. It
// knows no database, no protocol and no host, and imports the standard
// library alone; every other package of the project speaks in its types.
package onevolume

// Version is what onevolume and onevolumed say of themselves.
const Version = "0.1.0"
