// Package clients proves that onevolumed can be called by what people call
// oned with: the XML-RPC libraries of Python, Ruby, PHP and Perl, and
// xmlrpc-c, which oned is made with, each by a small program here; and that it
// answers what was recorded from oned as oned did.
package clients
