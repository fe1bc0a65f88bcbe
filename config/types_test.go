package config_test

import (
	"strings"
	"testing"

	"onevolume/config"
)

const withSAN = "arrays: [{name: san1, kind: lio, host: h, portals: [x], iqn: i, vg: v}, {name: filer, kind: openfiler, host: h, portals: [x]}]\n"

func TestTypes(t *testing.T) {
	c, err := config.Parse([]byte(withSAN + "types: [{name: slow, arrays: [san1], needs: [thin, snapshots], iotune: {total_bytes_sec: 1048576, read_iops_sec: 100}}, {name: any}]"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Types[0].VolumeType()
	if err != nil || v.Tune.String() != "total_bytes_sec=1048576 read_iops_sec=100" || v.Arrays[0] != "san1" || len(v.Needs) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestBadTypes(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                            "number 1",
		"{name: a}, {name: a}":          "a is there twice",
		"{name: a, arrays: [filer]}":    `no array "filer" that makes volumes`,
		"{name: a, needs: [raid]}":      `"raid" is none of snapshots`,
		"{name: a, iotune: {bytes: 1}}": `iotune: unknown key "bytes"`,
		"{name: a, iotune: {total_bytes_sec: 1, read_bytes_sec: 1}}": "TOTAL_BYTES_SEC goes with no limit",
		"{name: a, iotune: {read_iops_sec_max: 5}}":                  "READ_IOPS_SEC_MAX",
		"{name: a, iotune: {read_iops_sec: -5}}":                     "READ_IOPS_SEC",
		"{name: a, qos: x}":                                          `unknown key "qos"`,
	} {
		if _, err := config.Parse([]byte(withSAN + "types: [" + text + "]")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that has %q", text, err, want)
		}
	}
}
