//go:build oned

package opennebula_test

import (
	"os"
	"testing"

	"onevolume/opennebula"
)

// TestOned runs the contract on the oned that ONE_XMLRPC and ONE_AUTH name,
// as a member of oneadmin, when ONEVOLUME_TEST_ONED is 1.
func TestOned(t *testing.T) {
	if os.Getenv("ONEVOLUME_TEST_ONED") != "1" {
		t.Skip("ONEVOLUME_TEST_ONED is not 1")
	}
	conf, err := opennebula.NewConfig("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := opennebula.NewClient(conf)
	if err != nil {
		t.Fatal(err)
	}
	testContract(t, c)
}
