//go:build lab

package linux_test

import (
	"testing"

	"onevolume/array/arraytest"
)

func TestLabLIO(t *testing.T) {
	l := open(t)
	arraytest.Run(t, func(t *testing.T) arraytest.Fixture { return newLIO(t, l, setting{}).fixture() })
}

func TestLabTgt(t *testing.T) {
	l := open(t)
	arraytest.Run(t, func(t *testing.T) arraytest.Fixture { return newTgt(t, l, setting{}).fixture() })
}
